"""touch(): moves a live record's expiry, and nothing else."""

from __future__ import annotations

import time

from asgi_session.stores.base import Store
from asgi_session.testing.rules import LONG, Rules, comparing, payload, record, rule


class Touching(Rules):
    async def test_touch_sets_a_later_expiry(self, store: Store) -> None:
        await self.given(store, "a", record(n=1))
        later = time.time() + 2 * LONG
        rule(await store.touch("a", later) is True, "touch() of a live record returns True")
        self.expiry_is(await self.found(store, "a"), later, "touch() sets the expiry")

    async def test_touch_sets_an_earlier_expiry(self, store: Store) -> None:
        await self.given(store, "a", record(n=1))
        earlier = time.time() + LONG / 2
        rule(await store.touch("a", earlier) is True, "touch() of a live record returns True")
        self.expiry_is(await self.found(store, "a"), earlier, "touch() sets the expiry, an earlier one too")

    async def test_touch_with_the_same_expiry_succeeds(self, store: Store) -> None:
        first = await self.given(store, "a", record(n=1))
        rule(
            await store.touch("a", first.expires) is True,
            "touch() returns True where a live record was found, even if nothing had to be changed",
        )

    async def test_touch_with_none_sets_the_full_ttl(self, store: Store) -> None:
        await self.given(store, "a", record(n=1))
        rule(await store.touch("a", None) is True, "touch() of a live record returns True")
        self.expiry_is(await self.found(store, "a"), time.time() + store.ttl, "touch(sid, None) means ttl from now")

    async def test_touch_never_alters_the_payload(self, store: Store) -> None:
        text = payload(name="Zażółć 🍪", n=1)
        first = await self.given(store, "a", record(name="Zażółć 🍪", n=1))
        await store.touch("a", time.time() + 2 * LONG)
        rule((await self.found(store, "a")).payload == text, "touch() never alters the payload")
        await store.replace("a", record(n=2), expected=first)
        await store.touch("a", None)
        rule(
            (await self.found(store, "a")).payload == payload(n=2),
            "touch() never alters the payload, nor brings an old one back",
        )

    async def test_touch_of_the_expected_record_sets_its_expiry(self, store: Store) -> None:
        touch = comparing(store)
        first = await self.given(store, "a", record(n=1))
        await store.touch("a", time.time() + 2 * LONG)
        later = time.time() + 3 * LONG
        rule(await touch("a", later, expected=first) is True, "touch() of what get() returned succeeds")
        self.expiry_is(await self.found(store, "a"), later, "touch() of the expected record sets the expiry")

    async def test_touch_spares_a_record_other_than_the_expected_one(self, store: Store) -> None:
        touch = comparing(store)
        stale = await self.given(store, "a", record(n=1))
        await store.replace("a", record(n=2), expected=stale)
        before = await self.found(store, "a")
        later = time.time() + 2 * LONG
        rule(await touch("a", later, expected=stale) is False, "touch() returns False once the payload is another")
        await self.unchanged(store, "a", before, "touch() writes nothing once the payload is not expected's")

    async def test_touch_of_an_unknown_id_creates_nothing(self, store: Store) -> None:
        rule(await store.touch("a", time.time() + LONG) is False, "touch() returns False where there is no record")
        await self.absent(store, "a", "touch() never creates a record")
        rule(
            await store.create("a", record(n=1)) is True, "touch() leaves nothing behind that is in the way of create()"
        )

    async def test_touch_of_a_destroyed_record_creates_nothing(self, store: Store) -> None:
        await self.given(store, "a", record(n=1))
        await store.destroy("a")
        rule(await store.touch("a", None) is False, "touch() of a destroyed record returns False")
        await self.absent(store, "a", "touch() never brings a destroyed record back")

    async def test_touch_of_an_expired_record_does_not_revive_it(self, store: Store) -> None:
        await self.expired(store, "a")
        rule(await store.touch("a", time.time() + LONG) is False, "touch() of an expired record returns False")
        await self.absent(store, "a", "touch() never brings an expired record back")
