"""Expiry: a record whose time has come does not exist, whether or not the backend has removed it."""

from __future__ import annotations

import time

from asgi_session.stores.base import Store
from asgi_session.testing.rules import LONG, TOLERANCE, Rules, record, rule

DAY = 86400.0


class Expiring(Rules):
    async def test_get_of_an_expired_record_is_none(self, store: Store) -> None:
        await self.expired(store, "a")
        await self.absent(store, "a", "get() returns no record whose time is over")

    async def test_a_record_lives_until_its_expiry(self, store: Store) -> None:
        await self.given(store, "a", record(n=1, life=self.short_life))
        await self.pass_time(self.short_life / 2)
        rule(await store.get("a") is not None, "a record lives until its expiry")

    async def test_a_touched_record_outlives_its_first_expiry(self, store: Store) -> None:
        await self.given(store, "a", record(n=1, life=self.short_life))
        await store.touch("a", time.time() + LONG)
        await self.outlive()
        rule(await store.get("a") is not None, "a touched record lives until its new expiry")

    async def test_a_record_touched_to_an_earlier_expiry_dies_then(self, store: Store) -> None:
        await self.given(store, "a", record(n=1))
        await store.touch("a", time.time() + self.short_life)
        await self.outlive()
        await self.absent(store, "a", "a touched record dies at its new expiry, an earlier one too")

    async def test_a_replaced_record_lives_until_its_new_expiry(self, store: Store) -> None:
        first = await self.given(store, "a", record(n=1, life=self.short_life))
        await store.replace("a", record(n=2), expected=first)
        await self.outlive()
        rule(await store.get("a") is not None, "a replaced record lives until its new expiry")

    async def test_a_record_replaced_with_an_earlier_expiry_dies_then(self, store: Store) -> None:
        first = await self.given(store, "a", record(n=1))
        await store.replace("a", record(n=2, life=self.short_life), expected=first)
        await self.outlive()
        await self.absent(store, "a", "a replaced record dies at its new expiry, an earlier one too")

    async def test_a_record_created_with_a_past_expiry_is_never_seen(self, store: Store) -> None:
        await store.create("a", record(n=1, life=-LONG))
        await self.absent(store, "a", "a record created with a past expiry does not exist")

    async def test_a_record_touched_to_a_past_expiry_is_gone(self, store: Store) -> None:
        await self.given(store, "a", record(n=1))
        await store.touch("a", time.time() - LONG)
        await self.absent(store, "a", "a record touched to a past expiry does not exist")

    async def test_a_record_replaced_with_a_past_expiry_is_gone(self, store: Store) -> None:
        first = await self.given(store, "a", record(n=1))
        await store.replace("a", record(n=2, life=-LONG), expected=first)
        await self.absent(store, "a", "a record replaced with a past expiry does not exist")

    async def test_create_with_expires_none_means_ttl_from_now(self, store: Store) -> None:
        got = await self.given(store, "a", record(n=1, life=None))
        self.expiry_is(got, time.time() + store.ttl, "create() with expires=None means ttl from now")

    async def test_the_end_of_a_record_without_expiry_is_set_once(self, store: Store) -> None:
        got = await self.given(store, "a", record(n=1, life=None))
        await self.pass_time(2 * TOLERANCE)
        text = "ttl from now is counted when a record is written, not each time that it is read"
        self.expiry_is(await self.found(store, "a"), got.expires, text)
        if self.reads_time_time:
            await self.pass_time(store.ttl)
            await self.absent(store, "a", text)

    async def test_replace_with_expires_none_means_ttl_from_now(self, store: Store) -> None:
        first = await self.given(store, "a", record(n=1))
        await store.replace("a", record(n=2, life=None), expected=first)
        got = await self.found(store, "a")
        self.expiry_is(got, time.time() + store.ttl, "replace() with expires=None means ttl from now")

    async def test_an_expiry_400_days_away_is_kept(self, store: Store) -> None:
        far = record(n=1, life=400 * DAY)
        got = await self.given(store, "a", far)
        self.expiry_is(got, far.expires, "a life of 400 days, the longest that browsers grant a cookie, is kept")
