"""The TTL index: created on first use, in nobody's way."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo import MongoClient

from asgi_session.stores.base import Record
from asgi_session.stores.mongo import MongoStore
from asgi_session.stores.mongo_index import ExpiryIndex
from tests.servers.mongo import Commands, MongoServer, mongo_client, start_mongo

RECORD = Record('{"cookie":{}}', None)
SECRET_ID = "the-id-that-nobody-may-see"


@pytest.fixture(params=["pymongo", "motor"])
async def own_collection(
    request: pytest.FixtureRequest, mongo_standalone: MongoServer, mongo_commands: Commands
) -> AsyncIterator[Any]:
    """A collection on a server whose fail points may be used."""
    async with mongo_client(request.param, mongo_standalone.url, event_listeners=[mongo_commands]) as client:
        yield client["asgi_session_tests"][uuid.uuid4().hex]


async def indexes(collection: Any) -> dict[str, Any]:
    found: dict[str, Any] = await collection.index_information()
    return found


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert SECRET_ID not in caplog.text
    return [entry.getMessage() for entry in caplog.records if entry.name == "asgi_session"]


@pytest.mark.parametrize("call", ["get", "create", "replace", "touch", "destroy", "length"])
async def test_the_index_is_there_after_the_first_operation(mongo_collection: Any, call: str) -> None:
    store = MongoStore(mongo_collection)
    await {
        "get": lambda: store.get("a"),
        "create": lambda: store.create("a", RECORD),
        "replace": lambda: store.replace("a", RECORD, expected=RECORD),
        "touch": lambda: store.touch("a", None),
        "destroy": lambda: store.destroy("a"),
        "length": store.length,
    }[call]()
    assert (await indexes(mongo_collection))["expires_1"] == {"v": 2, "key": [("expires", 1)], "expireAfterSeconds": 0}


async def test_the_index_is_asked_for_once(mongo_collection: Any, mongo_commands: Commands) -> None:
    store = MongoStore(mongo_collection)
    await asyncio.gather(*(store.get("a") for _ in range(20)))
    await store.get("a")
    assert mongo_commands.names.count("createIndexes") == 1


async def test_no_index_is_created_where_that_is_left_to_somebody_else(mongo_collection: Any) -> None:
    store = MongoStore(mongo_collection, create_index=False)
    assert await store.create("a", RECORD)
    assert "expires_1" not in await indexes(mongo_collection)


async def test_connect_mongos_index_is_taken_as_it_is(
    mongo_collection: Any, mongo_commands: Commands, caplog: pytest.LogCaptureFixture
) -> None:
    await mongo_collection.create_index([("expires", 1)], background=True, expireAfterSeconds=0)
    await MongoStore(mongo_collection).get("a")
    assert warnings(caplog) == []


@pytest.mark.parametrize(
    ("keys", "options"),
    [
        ([("expires", 1)], {}),
        ([("expires", 1)], {"expireAfterSeconds": 3600}),
        ([("expires", 1)], {"expireAfterSeconds": 0, "name": "another name"}),
        ([("other", 1)], {"name": "expires_1"}),
    ],
)
async def test_an_index_with_other_options_is_accepted_with_one_warning(
    mongo_collection: Any,
    mongo_commands: Commands,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    keys: Any,
    options: dict[str, Any],
) -> None:
    await mongo_collection.create_index(keys, **options)
    before = await indexes(mongo_collection)
    store = MongoStore(mongo_collection)
    mongo_commands.events.clear()
    assert await store.create(SECRET_ID, RECORD)
    later = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: later)
    assert await store.get(SECRET_ID) is not None
    [warning] = warnings(caplog)
    assert "other options" in warning
    assert mongo_commands.names == ["createIndexes", "update", "find"]
    assert await indexes(mongo_collection) == before


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_a_user_who_may_not_create_it_gets_one_warning_and_working_sessions(
    driver: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with start_mongo(replica_set=False, options=["--auth"]) as server:
        with MongoClient[dict[str, Any]](server.url) as first:
            first.admin.command("createUser", "root", pwd="pw", roles=["root"])
        with MongoClient[dict[str, Any]](server.url, username="root", password="pw") as root:
            allowed = {"resource": {"db": "app", "collection": "sessions"}, "actions": ["find", "insert", "update"]}
            root["app"].command("createRole", "sessions", privileges=[allowed], roles=[])
            root["app"].command("createUser", "web", pwd="pw", roles=["sessions"])
        commands = Commands()
        url = server.database_url("app").replace("://", "://web:pw@")
        async with mongo_client(driver, url, event_listeners=[commands]) as client:
            store = MongoStore(client["app"]["sessions"])
            assert await store.create(SECRET_ID, RECORD)
            later = time.time() + 61
            monkeypatch.setattr(time, "time", lambda: later)
            assert await store.get(SECRET_ID) is not None
    [warning] = warnings(caplog)
    assert "may not create" in warning
    assert commands.names.count("createIndexes") == 2


async def test_a_creation_that_failed_is_tried_again_at_once_and_then_after_growing_pauses(
    mongo_standalone: MongoServer,
    own_collection: Any,
    mongo_commands: Commands,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = time.time()
    clock = [start]
    monkeypatch.setattr(time, "time", lambda: clock[-1])
    store = MongoStore(own_collection)
    tried = []
    with mongo_standalone.failing(["createIndexes"], errorCode=8000):
        for seconds in (0, 0, 0.9, 1.1, 3, 3.2, 7, 7.3, 1000, 2000, 3000, 3059, 3061):
            clock.append(start + seconds)
            await store.get(SECRET_ID)
            tried.append(mongo_commands.names.count("createIndexes"))
    assert tried == [1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 8, 9]
    clock.append(start + 4000)
    await store.get(SECRET_ID)
    assert "expires_1" in await indexes(own_collection)
    [warning] = warnings(caplog)
    assert "tried again" in warning


async def test_a_slow_creation_holds_nobody_up_for_long(
    mongo_standalone: MongoServer, own_collection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ExpiryIndex, "PATIENCE", 0.05)
    store = MongoStore(own_collection)
    await own_collection.count_documents({})  # starts the driver's own tasks
    before = asyncio.all_tasks()
    with mongo_standalone.failing(["createIndexes"], blockConnection=True, blockTimeMS=1500):
        start = time.monotonic()
        assert await store.create("a", RECORD)
        assert await store.get("a") is not None
        assert time.monotonic() - start < 1
        await asyncio.wait(asyncio.all_tasks() - before, timeout=10)
    assert "expires_1" in await indexes(own_collection)


async def test_only_the_first_moment_of_a_slow_creation_is_waited_for(
    mongo_standalone: MongoServer, own_collection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ExpiryIndex, "PATIENCE", 0.4)
    async with MongoStore(own_collection) as store:
        with mongo_standalone.failing(["createIndexes"], blockConnection=True, blockTimeMS=1500):
            await store.get("a")
            start = time.monotonic()
            await store.get("a")
            assert time.monotonic() - start < 0.3


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_a_cancelled_request_leaves_the_creation_alone(mongo_standalone: MongoServer, driver: str) -> None:
    async with mongo_client(driver, mongo_standalone.url) as client:
        collection = client["asgi_session_tests"][uuid.uuid4().hex]
        store = MongoStore(collection)
        with mongo_standalone.failing(["createIndexes"], blockConnection=True, blockTimeMS=300):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(store.get("a"), 0.1)
            await store.get("a")
        assert "expires_1" in await indexes(collection)


async def test_aclose_abandons_a_creation_without_a_trace(
    mongo_standalone: MongoServer,
    own_collection: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(ExpiryIndex, "PATIENCE", 0.05)
    tasks = asyncio.all_tasks()
    store = MongoStore(own_collection)
    with mongo_standalone.failing(["createIndexes"], blockConnection=True, blockTimeMS=1000):
        await store.get("a")
        await store.aclose()
    assert {task for task in asyncio.all_tasks() - tasks if "ExpiryIndex" in repr(task)} == set()
    assert warnings(caplog) == []
