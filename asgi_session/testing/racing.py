"""Concurrent writers: of those that saw the same, one wins and the others learn of it."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from asgi_session.stores.base import Store
from asgi_session.testing.rules import LONG, Rules, comparing, payload, record, rule

CROWD = 20
INCREMENTS = 50


class Racing(Rules):
    async def test_of_concurrent_creates_exactly_one_wins(self, store: Store) -> None:
        results = await asyncio.gather(*(store.create("a", record(n=n)) for n in range(CROWD)))
        rule(results.count(True) == 1, "of concurrent creates under one id exactly one returns True")
        stored = (await self.found(store, "a")).payload
        rule(stored == payload(n=results.index(True)), "the record of the create that returned True is the stored one")

    async def test_of_concurrent_replaces_of_one_record_exactly_one_wins(self, store: Store) -> None:
        first = await self.given(store, "a", record(n="first"))
        results = await asyncio.gather(*(store.replace("a", record(n=n), expected=first) for n in range(CROWD)))
        rule(results.count(True) == 1, "of concurrent replaces that expect one record exactly one returns True")
        stored = (await self.found(store, "a")).payload
        rule(stored == payload(n=results.index(True)), "the record of the replace that returned True is the stored one")

    async def test_no_update_is_lost_among_concurrent_writers(self, store: Store) -> None:
        await self.given(store, "a", record(n=0))

        async def increment() -> None:
            # A try fails only if another writer's succeeded meanwhile, and that happens once per other writer.
            for _ in range(INCREMENTS):
                seen = await self.found(store, "a")
                count = json.loads(seen.payload)["n"] + 1
                if await store.replace("a", record(n=count), expected=seen):
                    return
            rule(False, "replace() returns False only if the payload has changed since it was read")

        await asyncio.gather(*(increment() for _ in range(INCREMENTS)))
        stored = (await self.found(store, "a")).payload
        rule(stored == payload(n=INCREMENTS), "no update is lost: comparing and writing are one atomic step")

    async def test_of_concurrent_destroys_exactly_one_is_true(self, store: Store) -> None:
        await self.given(store, "a", record(n=1))
        results = await asyncio.gather(*(store.destroy("a") for _ in range(CROWD)))
        rule(results.count(True) == 1, "of concurrent destroys of one record exactly one returns True")

    async def test_of_concurrent_destroys_of_the_expected_record_exactly_one_is_true(self, store: Store) -> None:
        first = await self.given(store, "a", record(n=1))
        results = await asyncio.gather(*(store.destroy("a", expected=first) for _ in range(CROWD)))
        rule(results.count(True) == 1, "of concurrent destroys that expect one record exactly one returns True")

    async def test_a_record_is_gone_after_destroy_whatever_writes_beside_it(self, store: Store) -> None:
        first = await self.given(store, "a", record(n=1))
        writes = [store.replace("a", record(n=2), expected=first), store.destroy("a")]
        writes += [store.touch("a", None) for _ in range(CROWD)]
        await asyncio.gather(*writes)
        await self.absent(store, "a", "neither replace() nor touch() brings back what destroy() deletes beside them")

    @pytest.mark.parametrize("order", [("replace", "destroy"), ("destroy", "replace")], ids=" then ".join)
    async def test_of_a_replace_and_a_destroy_of_one_expected_record_exactly_one_wins(
        self, store: Store, order: tuple[str, str]
    ) -> None:
        first = await self.given(store, "a", record(n=1))
        calls = {
            "replace": store.replace("a", record(n=2), expected=first),
            "destroy": store.destroy("a", expected=first),
        }
        done = dict(zip(order, await asyncio.gather(*(calls[name] for name in order)), strict=True))
        rule(
            done["replace"] is not done["destroy"],
            "of a replace and a destroy that expect one record exactly one returns True",
        )
        rule(
            (await store.get("a") is None) is done["destroy"],
            "the record is gone if and only if destroy() returned True",
        )

    async def test_a_destroy_that_overtakes_touches_is_not_undone_by_them(self, store: Store) -> None:
        await self.given(store, "a", record(n=1))
        await asyncio.gather(*(store.touch("a", None) for _ in range(CROWD)), store.destroy("a"))
        await self.absent(
            store, "a", "touch() is one atomic step: it does not bring back what destroy() deletes beside it"
        )

    async def test_a_replace_that_overtakes_touches_is_not_undone_by_them(self, store: Store) -> None:
        first = await self.given(store, "a", record(n=1))
        await asyncio.gather(
            *(store.touch("a", None) for _ in range(CROWD)), store.replace("a", record(n=2), expected=first)
        )
        rule((await self.found(store, "a")).payload == payload(n=2), "touch() is one atomic step: it writes no payload")

    async def test_touches_of_the_expected_record_do_not_undo_the_age_that_a_replace_sets(self, store: Store) -> None:
        touch = comparing(store)
        first = await self.given(store, "a", record(n=1))
        second = record(n=2, life=2 * LONG)
        touches = [touch("a", time.time() + LONG / 2, expected=first) for _ in range(2 * CROWD)]
        await asyncio.gather(*touches[:CROWD], store.replace("a", second, expected=first), *touches[CROWD:])
        self.expiry_is(
            await self.found(store, "a"),
            second.expires,
            "touch() of an expected record is one atomic step: comparing and setting the expiry",
        )

    async def test_touches_beside_a_replace_do_not_undo_it(self, store: Store) -> None:
        first = await self.given(store, "a", record(n=1))
        expires = record(life=2 * LONG).expires
        results = await asyncio.gather(
            *(store.touch("a", expires) for _ in range(CROWD)),
            store.replace("a", record(n=2), expected=first),
            *(store.touch("a", expires) for _ in range(CROWD)),
        )
        rule(all(result is True for result in results), "touches and a replace of one live record never conflict")
        rule(
            (await self.found(store, "a")).payload == payload(n=2),
            "touch() writes no payload, not even the one it found",
        )
