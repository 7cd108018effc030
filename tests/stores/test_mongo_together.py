"""MongoStore when many ask at once: one command finds all, and each gets what it would have got alone."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import traceback
import uuid
from typing import Any

import bson
import pymongo
import pytest
from bson.raw_bson import RawBSONDocument

from asgi_session.exceptions import StoreError
from asgi_session.stores.base import Record
from asgi_session.stores.mongo import MongoStore
from tests.servers.mongo import Commands, MongoServer, mongo_client
from tests.versions import needs


def record(number: int) -> Record:
    return Record(f'{{"cookie":{{}},"n":{number}}}', time.time() // 1 + 1000)


@pytest.fixture(params=[True, False], ids=["text", "documents"])
async def stringify(request: pytest.FixtureRequest) -> bool:
    """Both forms of the document."""
    chosen: bool = request.param
    return chosen


@pytest.fixture
async def store(mongo_collection: Any, mongo_commands: Commands, stringify: bool) -> MongoStore:
    """A store that holds the sessions 0 to 9; what it did for that is not among the commands."""
    store = MongoStore(mongo_collection, stringify=stringify)
    for number in range(10):
        await store.create(str(number), record(number))
    mongo_commands.events.clear()
    return store


async def crowd(store: MongoStore, *sids: str) -> list[int | None]:
    """The numbers that so many at once find in their sessions."""
    found = await asyncio.gather(*[store.get(sid) for sid in sids])
    return [None if one is None else json.loads(one.payload)["n"] for one in found]


async def test_a_crowd_is_one_command(store: MongoStore, mongo_commands: Commands) -> None:
    assert await crowd(store, *map(str, range(8))) == [*range(8)]
    assert mongo_commands.names == ["find"]


async def test_a_crowd_gets_expiries_too(store: MongoStore) -> None:
    found = await asyncio.gather(store.get("1"), store.get("2"))
    assert [one.expires for one in found if one] == [pytest.approx(record(0).expires, abs=2)] * 2


async def test_many_can_ask_for_the_same_session(store: MongoStore, mongo_commands: Commands) -> None:
    assert await crowd(store, "3", "3", "4", "3") == [3, 3, 4, 3]
    assert mongo_commands.names == ["find"]


async def test_what_a_crowd_found_can_be_replaced(store: MongoStore) -> None:
    found = await asyncio.gather(store.get("1"), store.get("2"))
    assert found[0] is not None
    assert found[1] is not None
    assert await store.replace("1", record(11), expected=found[0])
    assert await store.replace("2", record(12), expected=found[1])
    assert not await store.replace("2", record(13), expected=found[1])


async def test_in_a_crowd_what_is_missing_is_missing(store: MongoStore, mongo_commands: Commands) -> None:
    assert await crowd(store, "1", "none", "2") == [1, None, 2]
    assert mongo_commands.names == ["find"]


async def test_in_a_crowd_the_expired_is_missing(store: MongoStore, mongo_collection: Any) -> None:
    await mongo_collection.insert_one({"_id": "old", "session": "{}", "expires": bson.DatetimeMS(0)})
    assert await crowd(store, "1", "old") == [1, None]


async def test_a_transformed_id_is_asked_for(mongo_collection: Any, stringify: bool) -> None:
    store = MongoStore(mongo_collection, stringify=stringify, transform_id=lambda sid: "x" + sid)
    await store.create("1", record(1))
    await store.create("2", record(2))
    assert await crowd(store, "1", "2", "x1") == [1, 2, None]


async def test_a_document_that_no_driver_can_decode_harms_no_other(
    store: MongoStore, mongo_collection: Any, caplog: pytest.LogCaptureFixture
) -> None:
    whole = bson.encode({"_id": "spoiled", "session": "{}", "ua": "ZZZZ"})
    await mongo_collection.insert_one(RawBSONDocument(whole.replace(b"ZZZZ", b"Z\xe9ZZ")))
    assert await crowd(store, "1", "spoiled", "2") == [1, None, 2]
    assert [entry.levelno for entry in caplog.records] == [logging.WARNING]


async def test_a_document_that_looks_like_a_reference_harms_no_other(store: MongoStore, mongo_collection: Any) -> None:
    await mongo_collection.insert_one({"_id": "a", "session": record(77).payload, "$ref": "x", "$id": 1})
    assert await crowd(store, "1", "a", "none") == [1, 77, None]


async def test_a_session_in_the_other_form_is_read(
    store: MongoStore, mongo_collection: Any, mongo_commands: Commands, stringify: bool
) -> None:
    other = MongoStore(mongo_collection, stringify=not stringify, create_index=False)
    await other.create("a", record(77))
    await other.create("b", record(78))
    assert await crowd(store, "1", "a", "b") == [1, 77, 78]


async def test_with_a_collation_a_crowd_finds_what_one_finds(mongo_collection: Any, stringify: bool) -> None:
    """A collection that takes a for A is no place for sessions, but that is not for a crowd to decide."""
    database = mongo_collection.database
    collection = await database.create_collection(uuid.uuid4().hex, collation={"locale": "en", "strength": 2})
    store = MongoStore(collection, stringify=stringify)
    await store.create("A", record(1))
    await store.create("b", record(2))
    assert await store.get("a") is not None
    assert await crowd(store, "a", "b", "c") == [1, 2, None]
    await collection.drop()


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
@pytest.mark.parametrize("fault", [{"closeConnection": True}, {"errorCode": 134}], ids=str)
async def test_a_crowd_that_met_a_passing_fault_is_served(
    mongo_replica_set: MongoServer, driver: str, fault: dict[str, Any], stringify: bool
) -> None:
    async with mongo_client(driver, mongo_replica_set.url, heartbeatFrequencyMS=500) as client:
        store = MongoStore(client["app"][f"sessions_{uuid.uuid4().hex}"], stringify=stringify)
        await store.create("1", record(1))
        await store.create("2", record(2))
        with mongo_replica_set.failing(["find"], mode={"times": 1}, **fault):
            assert await crowd(store, "1", "2") == [1, 2]


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_a_connection_that_breaks_again_and_again_is_a_store_error_for_everyone(
    mongo_replica_set: MongoServer, driver: str, stringify: bool
) -> None:
    commands = Commands()
    async with mongo_client(
        driver, mongo_replica_set.url, event_listeners=[commands], heartbeatFrequencyMS=500
    ) as client:
        store = MongoStore(client["app"][f"sessions_{uuid.uuid4().hex}"], stringify=stringify, create_index=False)
        await store.create("1", record(1))
        with mongo_replica_set.failing(["find"], closeConnection=True):
            found = await asyncio.gather(*[store.get("1") for _ in range(3)], return_exceptions=True)
        assert [type(error) for error in found] == [StoreError] * 3
        assert commands.names.count("find") == 2  # the driver tries again, for all of them


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_what_the_server_refuses_is_asked_for_by_each_alone(
    mongo_replica_set: MongoServer, driver: str, stringify: bool
) -> None:
    """It may have been because of one of them."""
    async with mongo_client(driver, mongo_replica_set.url) as client:
        store = MongoStore(client["app"][f"sessions_{uuid.uuid4().hex}"], stringify=stringify, create_index=False)
        for number in range(3):
            await store.create(str(number), record(number))
        with mongo_replica_set.failing(["find"], mode={"times": 1}, errorCode=13):
            assert await crowd(store, "0", "1", "2") == [0, 1, 2]


async def test_an_id_that_is_no_unicode_harms_no_other(store: MongoStore) -> None:
    found = await asyncio.gather(*[store.get(sid) for sid in ("1", "\ud800", "2")], return_exceptions=True)
    assert [type(one) for one in found[1:2]] == [StoreError]
    assert [json.loads(one.payload)["n"] for one in found if isinstance(one, Record)] == [1, 2]


async def test_nobodys_error_is_anothers(mongo_replica_set: MongoServer, stringify: bool) -> None:
    """What a log or an error tracker shows of one request must not show the others."""
    async with mongo_client("pymongo", mongo_replica_set.url, heartbeatFrequencyMS=500) as client:
        store = MongoStore(client["app"][f"sessions_{uuid.uuid4().hex}"], stringify=stringify, create_index=False)

        nothing: dict[str, Record] = {}

        async def within_another_error(number: int) -> Record | None:
            try:
                return nothing[f"of request {number}"]
            except KeyError:
                return await store.get(f"sid-{number}")

        with mongo_replica_set.failing(["find"], closeConnection=True):
            errors = await asyncio.gather(
                *[within_another_error(number) for number in range(3)], return_exceptions=True
            )
    for number, error in enumerate(errors):
        assert isinstance(error, StoreError)
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
        assert f"of request {number}" in shown
        assert not any(f"{what}{other}" in shown for what in ("of request ", "sid-") for other in {0, 1, 2} - {number})


async def test_a_limit_of_one_caller_is_for_that_one_alone(mongo_replica_set: MongoServer, stringify: bool) -> None:
    async with mongo_client("pymongo", mongo_replica_set.url) as client:
        store = MongoStore(client["app"][f"sessions_{uuid.uuid4().hex}"], stringify=stringify, create_index=False)
        await store.create("1", record(1))

        async def within(seconds: float | None) -> str:
            with pymongo.timeout(seconds):
                try:
                    return "found" if await store.get("1") else "missing"
                except StoreError as error:
                    return type(error.__cause__).__name__

        with mongo_replica_set.failing(["find"], blockConnection=True, blockTimeMS=300):
            found = await asyncio.gather(*[within(seconds) for seconds in (0.05, None, 10, 0.05, None)])
    assert found == ["NetworkTimeout", "found", "found", "NetworkTimeout", "found"]


@needs("pymongo", "4.17")
async def test_no_part_is_taken_in_a_transaction_of_the_caller(mongo_replica_set: MongoServer, stringify: bool) -> None:
    """What was saved is saved, a sign-out above all, even if the transaction is aborted."""
    async with mongo_client("pymongo", mongo_replica_set.url) as client:
        collection = client["app"][f"sessions_{uuid.uuid4().hex}"]
        store = MongoStore(collection, stringify=stringify)
        for number in range(3):
            await store.create(str(number), record(number))
        async with client.start_session() as session, session.bind(end_session=False):
            await session.start_transaction()
            await collection.database["orders"].insert_one({"at": collection.name})
            found = await store.get("1")
            assert found is not None
            assert await store.replace("1", record(11), expected=found)
            assert await store.destroy("2")
            assert await store.create("3", record(3))
            assert await store.touch("0", time.time() + 9000)
            assert await store.length() == 3
            assert await crowd(store, "0", "1", "2", "3") == [0, 11, None, 3]  # and not as the transaction began
            await session.abort_transaction()
        assert await crowd(store, "0", "1", "2", "3") == [0, 11, None, 3]
        assert await collection.database["orders"].count_documents({"at": collection.name}) == 0


@needs("pymongo", "4.17")
async def test_a_transaction_of_the_caller_survives_that_the_index_is_created(mongo_replica_set: MongoServer) -> None:
    async with mongo_client("pymongo", mongo_replica_set.url) as client:
        collection = client["app"][f"sessions_{uuid.uuid4().hex}"]
        await collection.insert_one({"_id": "of another program"})  # or there could be an index at once
        store = MongoStore(collection)
        async with client.start_session() as session, session.bind(end_session=False):
            await session.start_transaction()
            await collection.database["orders"].insert_one({"at": collection.name})
            assert await store.get("1") is None
            await session.commit_transaction()
        assert "expires_1" in await collection.index_information()
        assert await collection.database["orders"].count_documents({"at": collection.name}) == 1


async def test_sessions_that_do_not_fit_into_one_reply_are_all_found(mongo_collection: Any) -> None:
    """A reply of the server holds 16 MB."""
    store = MongoStore(mongo_collection)
    large = [Record(f'{{"n":{number},"x":"{"x" * 6_000_000}"}}', time.time() + 1000) for number in range(4)]
    for number, one in enumerate(large):
        await store.create(str(number), one)
    assert await crowd(store, "0", "1", "2", "3") == [0, 1, 2, 3]
