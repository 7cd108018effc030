"""create(): takes a free id, and never another's."""

from __future__ import annotations

from asgi_session.stores.base import Record, Store
from asgi_session.testing.rules import LONG, Rules, payload, record, rule


class Creating(Rules):
    async def test_create_stores_a_record_under_a_free_id(self, store: Store) -> None:
        new = record(n=1)
        got = await self.given(store, "a", new)
        rule(got.payload == new.payload, "create() stores the payload")
        self.expiry_is(got, new.expires, "create() stores the expiry, and get() returns it")

    async def test_create_never_overwrites_a_live_record(self, store: Store) -> None:
        before = await self.given(store, "a", record(n=1))
        rule(
            await store.create("a", record(n=2, life=2 * LONG)) is False, "create() returns False where a record lives"
        )
        await self.unchanged(store, "a", before, "create() writes nothing where a record lives")

    async def test_create_of_an_equal_record_is_refused_too(self, store: Store) -> None:
        same = record(n=1)
        await self.given(store, "a", same)
        rule(await store.create("a", same) is False, "create() returns False where a record lives, even an equal one")

    async def test_create_takes_the_id_of_a_destroyed_record(self, store: Store) -> None:
        await self.given(store, "a", record(n=1))
        await store.destroy("a")
        rule(await store.create("a", record(n=2)) is True, "create() takes the id of a destroyed record")
        rule((await self.found(store, "a")).payload == payload(n=2), "create() stores the payload")

    async def test_create_takes_the_id_of_an_expired_record(self, store: Store) -> None:
        await self.expired(store, "a")
        rule(
            await store.create("a", record(n=2)) is True,
            "an expired record does not exist: create() takes its id, whether or not the backend has removed it",
        )
        rule(
            (await self.found(store, "a")).payload == payload(n=2), "create() over an expired record stores the new one"
        )

    async def test_create_does_not_change_the_record_that_it_is_given(self, store: Store) -> None:
        new = Record(payload(n=1), None)
        await store.create("a", new)
        rule(new == Record(payload(n=1), None), "a store does not change the records that it is given")
