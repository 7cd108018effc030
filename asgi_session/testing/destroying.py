"""destroy(): deletes a live record, on request only the one that the caller has seen."""

from __future__ import annotations

import pytest

from asgi_session.stores.base import Record, Store
from asgi_session.testing.rules import LONG, NEARLY_THE_SAME, Rules, record, rule


class Destroying(Rules):
    async def test_destroy_deletes_a_live_record(self, store: Store) -> None:
        await self.given(store, "a", record(n=1))
        rule(await store.destroy("a") is True, "destroy() of a live record returns True")
        await self.absent(store, "a", "destroy() deletes the record")

    async def test_destroy_of_an_unknown_id_is_false(self, store: Store) -> None:
        rule(await store.destroy("a") is False, "destroy() returns False where there is no record")
        rule(
            await store.destroy("a", expected=record(n=1)) is False,
            "destroy() with expected returns False where there is no record",
        )

    async def test_destroy_of_a_destroyed_record_is_false(self, store: Store) -> None:
        await self.given(store, "a", record(n=1))
        await store.destroy("a")
        rule(await store.destroy("a") is False, "destroy() returns False where nothing was deleted")

    async def test_destroy_of_an_expired_record_is_false(self, store: Store) -> None:
        old = await self.expired(store, "a")
        rule(
            await store.destroy("a", expected=old) is False,
            "an expired record does not exist: destroy() with expected returns False",
        )
        rule(await store.destroy("a") is False, "an expired record does not exist: destroy() returns False")

    async def test_destroy_deletes_the_expected_record(self, store: Store) -> None:
        first = await self.given(store, "a", record(n=1))
        rule(await store.destroy("a", expected=first) is True, "destroy() of what get() returned succeeds")
        await self.absent(store, "a", "destroy() deletes the expected record")

    async def test_destroy_spares_a_record_other_than_the_expected_one(self, store: Store) -> None:
        stale = await self.given(store, "a", record(n=1))
        await store.replace("a", record(n=2), expected=stale)
        before = await self.found(store, "a")
        rule(
            await store.destroy("a", expected=stale) is False,
            "destroy() returns False once the payload is not expected's",
        )
        await self.unchanged(store, "a", before, "destroy() deletes nothing once the payload is not expected's")

    @pytest.mark.parametrize("other", ["Value", "value ", "valu", "valué", "valueä"])
    async def test_destroy_compares_payloads_exactly(self, store: Store, other: str) -> None:
        before = await self.given(store, "a", record(key="value"))
        result = await store.destroy("a", expected=record(key=other))
        rule(result is False, "destroy() compares payloads exactly: no ignoring of case, accents, spaces or the rest")
        await self.unchanged(store, "a", before, "destroy() deletes nothing where the payload is another")

    @pytest.mark.parametrize(("stored", "expected"), NEARLY_THE_SAME.values(), ids=NEARLY_THE_SAME)
    async def test_destroy_is_not_taken_in_by_a_payload_nearly_the_same(
        self, store: Store, stored: str, expected: str
    ) -> None:
        before = await self.given(store, "a", Record(stored, None))
        result = await store.destroy("a", expected=Record(expected, None))
        rule(result is False, "destroy() compares payloads whole, and as text")
        await self.unchanged(store, "a", before, "destroy() deletes nothing where the payload is another")

    async def test_destroy_ignores_the_expected_expiry(self, store: Store) -> None:
        first = await self.given(store, "a", record(n=1))
        await store.touch("a", record(life=2 * LONG).expires)
        expected = Record(first.payload, None)
        rule(await store.destroy("a", expected=expected) is True, "destroy() compares the payload only")
