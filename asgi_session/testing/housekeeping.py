"""The optional methods, where a store has them, and its end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from asgi_session.stores.base import Store, is_marked
from asgi_session.testing.rules import Rules, record, rule

T = TypeVar("T")


async def _listed(store: Store) -> list[str]:
    return [sid async for sid in store.ids()]


async def _offered(call: Awaitable[T]) -> T:
    """The result of an optional method; skips the test where the store does not have it."""
    try:
        return await call
    except NotImplementedError:
        pytest.skip("the store does not have this optional method")


class Housekeeping(Rules):
    async def test_a_method_that_is_marked_never_to_suspend_does_not(self, store: Store) -> None:
        first = record(n=1)
        calls: dict[str, Callable[[], Any]] = {
            "create": lambda: store.create("a", first),
            "get": lambda: store.get("a"),
            "replace": lambda: store.replace("a", first, expected=first),
            "touch": lambda: store.touch("a", None),
            "destroy": lambda: store.destroy("a"),
        }
        for name, call in calls.items():
            if is_marked(getattr(store, name)):
                coroutine = call()
                try:
                    coroutine.send(None)
                except StopIteration:
                    continue
                coroutine.close()
                rule(False, f"a method that is marked with never_suspends never does: {name}()")

    async def test_ids_lists_every_live_record_once(self, store: Store) -> None:
        rule(await _offered(_listed(store)) == [], "ids() of an empty store lists nothing")
        kept = [f"id.{n}:é*" for n in range(25)]
        for sid in [*kept, "destroyed"]:
            await self.given(store, sid, record(n=1))
        await store.destroy("destroyed")
        rule(sorted(await _listed(store)) == sorted(kept), "ids() lists every live record's id, as given, once")

    async def test_ids_lists_no_expired_record(self, store: Store) -> None:
        await _offered(_listed(store))
        await self.given(store, "live", record(n=1))
        await self.expired(store, "expired")
        rule(await _listed(store) == ["live"], "ids() lists no record whose time is over")

    async def test_length_counts_live_records(self, store: Store) -> None:
        rule(await _offered(store.length()) == 0, "length() of an empty store is 0")
        for sid in ("a", "b", "destroyed"):
            await self.given(store, sid, record(n=1))
        await store.destroy("destroyed")
        rule(await store.length() == 2, "length() is the number of live records")

    async def test_length_counts_no_expired_record(self, store: Store) -> None:
        await _offered(store.length())
        await self.given(store, "live", record(n=1))
        await self.expired(store, "expired")
        rule(await store.length() == 1, "length() counts no record whose time is over")

    async def test_clear_deletes_every_record(self, store: Store) -> None:
        ids = ["a", "b.c", "d*é"]
        for sid in ids:
            await self.given(store, sid, record(n=1))
        await _offered(store.clear())
        for sid in ids:
            await self.absent(store, sid, "clear() deletes every record")
        rule(await store.create("a", record(n=2)) is True, "a cleared store can be written to")

    async def test_purge_removes_expired_records_only(self, store: Store) -> None:
        before = await self.given(store, "live", record(n=1))
        await self.expired(store, "expired")
        removed = await _offered(store.purge())
        rule(type(removed) is int, "purge() returns how many records it removed, an int")
        rule(removed in (0, 1), "purge() counts the expired records that it removed")
        await self.unchanged(store, "live", before, "purge() leaves live records alone")
        rule(await store.purge() == 0, "purge() finds nothing to remove right after purge()")

    async def test_a_store_is_its_own_context_manager(self, store: Store) -> None:
        async with store as entered:
            rule(entered is store, "`async with store as s` gives the store itself")
            await self.given(entered, "a", record(n=1))

    async def test_aclose_may_be_called_twice(self, store: Store) -> None:
        await self.given(store, "a", record(n=1))
        await store.aclose()
        await store.aclose()
