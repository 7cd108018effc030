"""replace(): overwrites what the caller has seen, and nothing else."""

from __future__ import annotations

import pytest

from asgi_session.stores.base import Record, Store
from asgi_session.testing.rules import LONG, NEARLY_THE_SAME, Rules, payload, record, rule


class Replacing(Rules):
    async def test_replace_overwrites_the_record_that_was_read(self, store: Store) -> None:
        first = await self.given(store, "a", record(n=1))
        new = record(n=2, life=2 * LONG)
        rule(await store.replace("a", new, expected=first) is True, "replace() of what get() returned succeeds")
        got = await self.found(store, "a")
        rule(got.payload == new.payload, "replace() stores the new payload")
        self.expiry_is(got, new.expires, "replace() stores the new expiry")

    async def test_replace_of_the_record_as_last_written_succeeds(self, store: Store) -> None:
        first, second = record(n=1, life=None), record(n=2)
        await store.create("a", first)
        rule(
            await store.replace("a", second, expected=first) is True,
            "what create() was given serves as expected, even with expires=None",
        )
        rule(
            await store.replace("a", record(n=3), expected=second) is True,
            "what replace() was given serves as expected",
        )

    async def test_replace_by_an_equal_record_succeeds(self, store: Store) -> None:
        first = await self.given(store, "a", record(n=1))
        rule(
            await store.replace("a", first, expected=first) is True,
            "replace() returns True where the expected record was found, even if nothing had to be changed",
        )

    async def test_replace_by_an_equal_payload_stores_the_new_expiry(self, store: Store) -> None:
        first = await self.given(store, "a", record(n=1))
        longer = record(n=1, life=2 * LONG)
        rule(await store.replace("a", longer, expected=first) is True, "replace() by an equal payload succeeds")
        self.expiry_is(await self.found(store, "a"), longer.expires, "replace() stores the expiry of an equal payload")

    async def test_replace_does_not_change_the_records_that_it_is_given(self, store: Store) -> None:
        expected, new = Record(payload(n=1), None), Record(payload(n=2), None)
        await store.create("a", expected)
        await store.replace("a", new, expected=expected)
        rule(
            (expected, new) == (Record(payload(n=1), None), Record(payload(n=2), None)),
            "a store does not change the records that it is given",
        )

    async def test_replace_compares_text_beyond_ascii(self, store: Store) -> None:
        first = await self.given(store, "a", record(name="Zażółć 🍪"))
        rule(await store.replace("a", record(n=2), expected=first) is True, "replace() compares payloads in any script")

    async def test_replace_of_a_changed_record_writes_nothing(self, store: Store) -> None:
        stale = await self.given(store, "a", record(n=1))
        await store.replace("a", record(n=2), expected=stale)
        before = await self.found(store, "a")
        late = record(n=3, life=2 * LONG)
        rule(
            await store.replace("a", late, expected=stale) is False,
            "replace() returns False once the payload has changed",
        )
        await self.unchanged(store, "a", before, "replace() writes nothing once the payload has changed")

    @pytest.mark.parametrize("other", ["Value", "value ", "valu", "valué", "valueä"])
    async def test_replace_compares_payloads_exactly(self, store: Store, other: str) -> None:
        before = await self.given(store, "a", record(key="value"))
        result = await store.replace("a", record(n=2), expected=record(key=other))
        rule(result is False, "replace() compares payloads exactly: no ignoring of case, accents, spaces or the rest")
        await self.unchanged(store, "a", before, "replace() writes nothing where the payload is another")

    @pytest.mark.parametrize(("stored", "expected"), NEARLY_THE_SAME.values(), ids=NEARLY_THE_SAME)
    async def test_replace_is_not_taken_in_by_a_payload_nearly_the_same(
        self, store: Store, stored: str, expected: str
    ) -> None:
        before = await self.given(store, "a", Record(stored, None))
        result = await store.replace("a", record(n=2), expected=Record(expected, None))
        rule(result is False, "replace() compares payloads whole, and as text")
        await self.unchanged(store, "a", before, "replace() writes nothing where the payload is another")

    async def test_replace_ignores_the_expected_expiry(self, store: Store) -> None:
        first = await self.given(store, "a", record(n=1))
        expected = Record(first.payload, 1.0)
        rule(await store.replace("a", record(n=2), expected=expected) is True, "replace() compares the payload only")

    async def test_a_touch_in_between_does_not_make_replace_fail(self, store: Store) -> None:
        first = await self.given(store, "a", record(n=1))
        await store.touch("a", record(life=2 * LONG).expires)
        rule(
            await store.replace("a", record(n=2), expected=first) is True,
            "replace() compares the payload only, so that a touch in between never conflicts",
        )

    async def test_replace_of_an_unknown_id_creates_nothing(self, store: Store) -> None:
        result = await store.replace("a", record(n=2), expected=record(n=1))
        rule(result is False, "replace() returns False where there is no record")
        await self.absent(store, "a", "replace() never creates a record")

    async def test_replace_of_a_destroyed_record_writes_nothing(self, store: Store) -> None:
        first = await self.given(store, "a", record(n=1))
        await store.destroy("a")
        rule(
            await store.replace("a", record(n=2), expected=first) is False,
            "replace() of a destroyed record returns False",
        )
        await self.absent(store, "a", "replace() never brings a destroyed record back")

    async def test_replace_of_an_expired_record_writes_nothing(self, store: Store) -> None:
        old = await self.expired(store, "a")
        rule(
            await store.replace("a", record(n=2), expected=old) is False, "replace() of an expired record returns False"
        )
        await self.absent(store, "a", "replace() never brings an expired record back")
