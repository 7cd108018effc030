"""MongoStore on real servers, through both drivers."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import time
import uuid
import warnings
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import bson
import pytest
from bson import json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from bson.son import SON
from pymongo import AsyncMongoClient, MongoClient, ReadPreference, WriteConcern
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from starlette.requests import Request

from asgi_session.exceptions import StoreError
from asgi_session.stores.base import Record
from asgi_session.stores.mongo import MongoStore
from asgi_session.stores.mongo_document import MAX_DEPTH
from asgi_session.testing import StoreContract
from tests.clients import Browser, put
from tests.servers.mongo import Commands, MongoServer, mongo_client, start_mongo
from tests.test_json_text import nested

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "mongo.json").read_text(encoding="utf-8"))
BEFORE_THE_VECTORS_EXPIRE = 1795233903.0
COOKIE = '"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}'
SECRET_ID = "the-id-that-nobody-may-see"


def record(text: str = "", expires: float | None = None) -> Record:
    return Record(f"{{{COOKIE}{text and ','}{text}}}", expires)


def plus_one(found: Record) -> Record:
    data = json.loads(found.payload)
    return Record(json.dumps(data | {"n": data["n"] + 1}), found.expires)


async def read(store: MongoStore, sid: str = "a") -> Record:
    found = await store.get(sid)
    assert found is not None
    return found


@pytest.fixture
async def store(mongo_collection: Any) -> AsyncIterator[MongoStore]:
    async with MongoStore(mongo_collection) as store:
        yield store


@pytest.fixture
async def document_store(mongo_collection: Any) -> AsyncIterator[MongoStore]:
    """A store that keeps sessions as sub-documents."""
    async with MongoStore(mongo_collection, stringify=False) as store:
        yield store


class TestMongoContract(StoreContract):
    reads_time_time = True

    @pytest.fixture
    async def store(self, mongo_collection: Any) -> AsyncIterator[MongoStore]:
        async with MongoStore(mongo_collection) as store:
            yield store


# Construction


def test_a_synchronous_collection_is_refused_with_a_hint() -> None:
    with MongoClient[dict[str, Any]](connect=False) as client, pytest.raises(TypeError, match="AsyncMongoClient"):
        MongoStore(client["app"]["sessions"])  # type: ignore[arg-type]


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_a_database_or_a_client_is_refused_with_a_hint(driver: str) -> None:
    async with mongo_client(driver, "mongodb://127.0.0.1:1") as client:
        for wrong in (client, client["app"]):
            with pytest.raises(TypeError, match="collection"):
                MongoStore(wrong)


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_a_collection_that_does_not_acknowledge_writes_is_refused(driver: str) -> None:
    async with mongo_client(driver, "mongodb://127.0.0.1:1/?w=0") as client:
        with pytest.raises(ValueError, match="w=0"):
            MongoStore(client["app"]["sessions"])


def test_a_url_that_does_not_acknowledge_writes_is_refused() -> None:
    with pytest.raises(ValueError, match="w=0"):
        MongoStore.from_url("mongodb://127.0.0.1:1/?w=0")


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf")])
def test_a_ttl_that_is_not_positive_is_refused(ttl: float) -> None:
    with pytest.raises(ValueError, match="ttl"):
        MongoStore.from_url("mongodb://127.0.0.1:1", ttl=ttl)


@pytest.mark.parametrize("ttl", [True, "60", None])
def test_a_ttl_that_is_no_number_is_refused(ttl: Any) -> None:
    with pytest.raises(TypeError, match="ttl"):
        MongoStore.from_url("mongodb://127.0.0.1:1", ttl=ttl)


def test_motor_is_never_imported() -> None:
    code = "import sys, asgi_session.stores.mongo; sys.exit('motor' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# from_url


@pytest.fixture
async def admin(mongo_standalone: MongoServer) -> AsyncIterator[AsyncMongoClient[dict[str, Any]]]:
    async with AsyncMongoClient[dict[str, Any]](mongo_standalone.url) as client:
        yield client


async def test_from_url_takes_the_database_from_the_path(
    mongo_standalone: MongoServer, admin: AsyncMongoClient[dict[str, Any]]
) -> None:
    name = f"db_{uuid.uuid4().hex[:12]}"
    async with MongoStore.from_url(mongo_standalone.database_url(name)) as store:
        await store.create("a", record())
    assert await admin[name]["sessions"].count_documents({"_id": "a"}) == 1
    await admin.drop_database(name)


async def test_from_url_without_a_path_uses_the_database_test(
    mongo_standalone: MongoServer, admin: AsyncMongoClient[dict[str, Any]]
) -> None:
    collection = f"sessions_{uuid.uuid4().hex[:12]}"
    async with MongoStore.from_url(mongo_standalone.url, collection=collection) as store:
        await store.create("a", record())
    assert await admin["test"][collection].count_documents({"_id": "a"}) == 1
    await admin["test"].drop_collection(collection)


async def test_from_url_takes_the_options_of_the_class(mongo_standalone: MongoServer) -> None:
    name = f"db_{uuid.uuid4().hex[:12]}"
    async with MongoStore.from_url(
        mongo_standalone.url + name, ttl=60, stringify=False, transform_id=lambda sid: "x:" + sid
    ) as store:
        await store.create("a", record())
        assert (await read(store)).expires == pytest.approx(time.time() + 60, abs=5)
        assert '"domain":null' in (await read(store)).payload
        assert [sid async for sid in store.ids()] == ["x:a"]


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://ada:s3/cret@db",
        "mongodb://ada:s3?cret@db",
        "mongodb://ada:s3@cret@db",
        "mongodb://ada:s3:cret@db",
        "mongodb://ada:s3%cret@db",
        "mongodb://ada:s3cret@db:port",
        "mongodb://ada:s3cret@",
        "mongodb+srv://ada:s3/cret@db",
    ],
)
def test_a_url_that_the_driver_does_not_take_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises((ValueError, PyMongoError)) as caught:
        MongoStore.from_url(url)
    assert "s3" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "seconds"), [("", 5), ("?waitQueueTimeoutMS=700", 0.7), ("?waitqueuetimeoutms=700", 0.7)]
)
async def test_a_call_does_not_queue_for_ever_for_the_client_that_from_url_made(options: str, seconds: float) -> None:
    async with MongoStore.from_url(f"mongodb://127.0.0.1:1/{options}") as store:
        assert store._collection.database.client.options.pool_options.wait_queue_timeout == seconds


async def test_aclose_closes_the_client_that_from_url_made(mongo_standalone: MongoServer) -> None:
    store = MongoStore.from_url(mongo_standalone.url)
    await store.get("a")
    await store.aclose()
    with pytest.raises(StoreError):
        await store.get("a")


def test_a_store_that_was_closed_can_be_opened_again_by_another_event_loop(mongo_standalone: MongoServer) -> None:
    """As two `with TestClient(app)` do, one after the other."""
    store = MongoStore.from_url(mongo_standalone.database_url("reopened"), collection="visits", ttl=60)

    async def lifetime(sid: str) -> int:
        async with store:
            assert await store.create(sid, record())
            assert store._collection.database.client.options.pool_options.wait_queue_timeout == 5
            return await store.length()

    assert [asyncio.run(lifetime(sid)) for sid in ("a", "b", "c")] == [1, 2, 3]


def test_in_other_event_loops_it_can_be_closed_again_and_opened_again(mongo_standalone: MongoServer) -> None:
    store = MongoStore.from_url(mongo_standalone.database_url("reopened"))

    async def use() -> None:
        async with store:
            assert await store.get("1") is None

    asyncio.run(use())
    asyncio.run(store.aclose())
    asyncio.run(use())


def test_what_is_asked_in_another_event_loop_than_the_clients_is_a_failure_of_the_store(
    mongo_standalone: MongoServer,
) -> None:
    store = MongoStore.from_url(mongo_standalone.database_url("elsewhere"), create_index=False)

    async def use() -> None:
        assert await store.get("1") is None

    async def use_elsewhere() -> None:
        for call in (store.get("1"), store.create("1", Record('{"cookie":{}}', None)), store.destroy("1")):
            with pytest.raises(StoreError):
                await call

    with closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(use())
        asyncio.run(use_elsewhere())
        loop.run_until_complete(store.aclose())


async def test_aclose_leaves_a_client_that_was_handed_in_open(mongo_collection: Any) -> None:
    async with MongoStore(mongo_collection) as store:
        await store.create("a", record())
    assert await mongo_collection.count_documents({}) == 1


# Wire format


async def test_a_session_is_stored_in_connect_mongos_document(store: MongoStore, mongo_collection: Any) -> None:
    await store.create("a", record('"user":"ü"', 1893553445.678 + 86400))
    collection = mongo_collection.with_options(
        codec_options=mongo_collection.codec_options.with_options(datetime_conversion=DatetimeConversion.DATETIME_MS)
    )
    assert await collection.find_one() == {
        "_id": "a",
        "expires": DatetimeMS(1893553445678 + 86_400_000),
        "session": f'{{{COOKIE},"user":"ü"}}',
    }


@pytest.mark.parametrize("options", sorted({row["options"] for row in VECTORS["documents"]}))
async def test_connect_mongos_own_documents_are_read(
    mongo_collection: Any, monkeypatch: pytest.MonkeyPatch, options: str
) -> None:
    rows = [row for row in VECTORS["documents"] if row["options"] == options]
    await mongo_collection.create_index("expires")  # no TTL index: by the server's clock they have expired
    await mongo_collection.insert_many([json_util.loads(json.dumps(row["document"])) for row in rows])
    monkeypatch.setattr(time, "time", lambda: BEFORE_THE_VECTORS_EXPIRE)
    for row in rows:
        expires = int(row["document"]["expires"]["$date"]["$numberLong"]) / 1000
        for stringify in (True, False):
            store = MongoStore(mongo_collection, stringify=stringify)
            assert await store.get(row["document"]["_id"]) == Record(row["payload"], expires)


@pytest.mark.parametrize("stringify", [True, False])
async def test_writes_leave_connect_mongos_other_fields_alone(mongo_collection: Any, stringify: bool) -> None:
    others = {"lastModified": 1, "createdAt": 2, "user": "x"}
    store = MongoStore(mongo_collection, stringify=stringify)
    await store.create("a", record())
    await mongo_collection.update_one({}, {"$set": others})
    assert await store.replace("a", record('"n":1'), expected=await read(store))
    assert await store.touch("a", None)
    assert (await mongo_collection.find_one()).items() >= others.items()


@pytest.mark.parametrize("transformed", [None, "", b"id"])
async def test_a_transform_id_that_gives_no_id_stores_nothing(mongo_collection: Any, transformed: Any) -> None:
    store = MongoStore(mongo_collection, transform_id=lambda sid: transformed)
    for call in (store.create("a", record()), store.get("a"), store.destroy("a")):
        with pytest.raises(TypeError, match="transform_id"):
            await call
    assert await mongo_collection.count_documents({}) == 0


async def test_transform_id_makes_the_stored_id_in_every_operation(mongo_collection: Any) -> None:
    store = MongoStore(mongo_collection, transform_id=lambda sid: "pfx:" + sid)
    assert await store.create("a", record())
    assert [document["_id"] async for document in mongo_collection.find()] == ["pfx:a"]
    assert [sid async for sid in store.ids()] == ["pfx:a"]
    assert await store.touch("a", None)
    assert await store.replace("a", record('"n":1'), expected=await read(store))
    assert await store.destroy("a", expected=await read(store))
    assert await mongo_collection.count_documents({}) == 0


async def test_an_id_that_looks_like_an_operator_is_text(store: MongoStore, mongo_collection: Any) -> None:
    for sid in ("$ne", "a.b", "$where: 1", "x\0y", ""):
        assert await store.create(sid, record())
        assert await mongo_collection.count_documents({"_id": {"$eq": sid}}) == 1


@pytest.mark.parametrize("concern", [WriteConcern(w="majority", wtimeout=4000), WriteConcern(w=1, j=True)])
async def test_the_collections_write_concern_is_used(
    mongo_collection: Any, mongo_commands: Commands, concern: WriteConcern
) -> None:
    store = MongoStore(mongo_collection.with_options(write_concern=concern))
    await store.create("a", record())
    await store.touch("a", None)
    await store.destroy("a")
    assert [event.command["writeConcern"] for event in mongo_commands.events[-3:]] == [concern.document] * 3


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
@pytest.mark.parametrize("stringify", [True, False])
@pytest.mark.parametrize("callers", [1, 2])
async def test_the_collections_read_concern_and_preference_are_used(
    driver: str, mongo_replica_set: MongoServer, stringify: bool, callers: int
) -> None:
    commands = Commands()
    async with mongo_client(driver, mongo_replica_set.url, event_listeners=[commands]) as client:
        collection = client["app"][f"sessions_{uuid.uuid4().hex}"].with_options(
            read_concern=ReadConcern("majority"), read_preference=ReadPreference.SECONDARY_PREFERRED
        )
        store = MongoStore(collection, stringify=stringify, create_index=False)
        await asyncio.gather(*[store.get(str(number)) for number in range(callers)])
        [sent] = [event.command for event in commands.events]
        assert commands.names == ["find"]
        assert sent["readConcern"]["level"] == "majority"
        assert sent["$readPreference"]["mode"] == "secondaryPreferred"


async def test_the_collections_codec_options_do_not_matter(mongo_collection: Any) -> None:
    options = CodecOptions[SON[str, Any]](document_class=SON, tz_aware=True)
    store = MongoStore(mongo_collection.with_options(codec_options=options), stringify=False)
    expires = time.time() // 1 + 100
    await store.create("a", record('"d":{"n":1}', expires))
    found = await read(store)
    assert found.expires == expires
    assert await store.replace("a", record('"n":2'), expected=found)


# Round trips


@pytest.mark.parametrize("stringify", [True, False])
async def test_each_operation_is_one_round_trip(
    mongo_collection: Any, mongo_commands: Commands, stringify: bool
) -> None:
    store = MongoStore(mongo_collection, stringify=stringify)
    await store.get("first use makes the index")
    mongo_commands.events.clear()
    await store.create("a", record('"n":1'))
    found = await read(store)
    await store.replace("a", record('"n":2'), expected=found)
    await store.replace("a", record('"n":3'), expected=record('"n":2'))  # as it was written
    await store.touch("a", None)
    await store.destroy("a", expected=await read(store))
    await store.destroy("a")
    assert mongo_commands.names == ["update", "find", "update", "update", "update", "find", "delete", "delete"]


async def test_a_lost_race_is_one_round_trip(mongo_collection: Any, mongo_commands: Commands) -> None:
    store = MongoStore(mongo_collection, stringify=False)
    await store.create("a", record('"n":1'))
    stale = await read(store)
    await store.replace("a", record('"n":2'), expected=stale)
    mongo_commands.events.clear()
    assert not await store.replace("a", record('"n":3'), expected=stale)
    assert not await store.create("a", record())
    assert mongo_commands.names == ["update", "update"]


# Expiry


async def test_a_document_without_expiry_lives_for_ttl_from_now(mongo_collection: Any) -> None:
    store = MongoStore(mongo_collection, ttl=60)
    await mongo_collection.insert_one({"_id": "a", "session": record().payload})
    found = await read(store)
    assert found.expires == pytest.approx(time.time() + 60, abs=5)
    assert not await store.create("a", record())
    assert await store.length() == 1
    assert await store.replace("a", record('"n":1'), expected=found)


@pytest.mark.parametrize("expires", [None, "soon", 5])
async def test_a_document_whose_expiry_is_no_date_does_not_exist(mongo_collection: Any, expires: Any) -> None:
    store = MongoStore(mongo_collection)
    await mongo_collection.insert_one({"_id": "a", "session": record().payload, "expires": expires})
    assert await store.get("a") is None
    assert not await store.touch("a", None)
    assert await store.create("a", record())
    assert await store.get("a") is not None


async def test_an_expiry_beyond_the_year_9999_is_read(mongo_collection: Any) -> None:
    far = 400_000_000_000_000
    await mongo_collection.insert_one({"_id": "a", "session": record().payload, "expires": DatetimeMS(far)})
    assert (await read(MongoStore(mongo_collection))).expires == far / 1000


@pytest.mark.parametrize("expires", [1e18, float("inf")])
async def test_an_expiry_beyond_the_year_9999_is_stored_as_its_end(store: MongoStore, expires: float) -> None:
    await store.create("a", record(expires=expires))
    assert (await read(store)).expires == 253402300799.999


@pytest.mark.parametrize("expires", [float("nan"), float("-inf"), -1e18])
async def test_an_absurd_expiry_has_passed(store: MongoStore, expires: float) -> None:
    assert await store.create("a", record(expires=expires))
    assert await store.get("a") is None


async def test_an_expired_document_that_nobody_swept_is_taken_over(
    store: MongoStore, mongo_collection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.create("a", record('"old":1', time.time() + 100))
    later = time.time() + 101
    monkeypatch.setattr(time, "time", lambda: later)
    assert await mongo_collection.count_documents({"_id": "a"}) == 1
    assert await store.create("a", record('"new":1'))
    assert (await read(store)).payload == record('"new":1').payload


async def test_mongodb_itself_removes_expired_sessions(
    mongo_standalone: MongoServer, admin: AsyncMongoClient[dict[str, Any]]
) -> None:
    collection = admin[f"db_{uuid.uuid4().hex[:12]}"]["sessions"]
    store = MongoStore(collection)
    await store.create("expired", record(expires=time.time() - 10))
    await store.create("live", record())
    for _ in range(200):
        if await collection.count_documents({}) == 1:
            break
        await asyncio.sleep(0.1)  # the server sweeps every second
    assert [document["_id"] async for document in collection.find()] == ["live"]


# Sub-documents


async def test_without_stringify_a_session_is_a_sub_document(document_store: MongoStore, mongo_collection: Any) -> None:
    await document_store.create("a", record('"n":1,"s":"x","l":[1,null,true,0.5],"d":{"e":{}}'))
    session = (await mongo_collection.find_one())["session"]
    assert list(session) == ["cookie", "n", "s", "l", "d"]
    assert {key: session[key] for key in "nsld"} == {"n": 1, "s": "x", "l": [1, None, True, 0.5], "d": {"e": {}}}
    assert session["cookie"]["domain"] is None


async def test_the_deepest_document_that_is_written_is_one_that_the_server_takes(document_store: MongoStore) -> None:
    deepest = json.dumps(nested(MAX_DEPTH - 1))
    written, read_again = record(f'"a":{deepest}'), record(f'"b":{deepest}')
    assert await document_store.create("a", written)
    assert await document_store.replace("a", read_again, expected=written)
    assert await document_store.replace("a", written, expected=await read(document_store))
    assert await document_store.destroy("a", expected=await read(document_store))


@pytest.mark.parametrize("stringify", [True, False])
async def test_the_other_form_is_read_and_replaced_in_one_step(
    mongo_collection: Any, mongo_commands: Commands, stringify: bool
) -> None:
    await MongoStore(mongo_collection, stringify=not stringify).create("a", record('"n":1'))
    store = MongoStore(mongo_collection, stringify=stringify)
    found = await read(store)
    mongo_commands.events.clear()
    assert await store.replace("a", plus_one(found), expected=found)
    assert mongo_commands.names == ["update"]
    assert isinstance((await mongo_collection.find_one())["session"], str) is stringify
    assert json.loads((await read(store)).payload)["n"] == 2


async def test_a_date_that_express_wrote_stays_a_date(document_store: MongoStore, mongo_collection: Any) -> None:
    document = json_util.loads(json.dumps({"cookie": {}, "n": 1, "when": {"$date": "2030-01-01T00:00:00Z"}}))
    await mongo_collection.insert_one({"_id": "a", "session": document})
    found = await read(document_store)
    assert await document_store.replace("a", plus_one(found), expected=found)
    assert await mongo_collection.count_documents({"session.n": 2, "session.when": {"$type": "date"}}) == 1


async def test_a_record_that_was_written_is_expected_even_where_express_types_were_kept(
    document_store: MongoStore, mongo_collection: Any
) -> None:
    document = json_util.loads(json.dumps({"cookie": {}, "n": 1, "when": {"$date": "2030-01-01T00:00:00Z"}}))
    await mongo_collection.insert_one({"_id": "a", "session": document})
    found = await read(document_store)
    second = plus_one(found)
    third = plus_one(second)
    assert await document_store.replace("a", second, expected=found)
    assert await document_store.replace("a", third, expected=second)
    assert await mongo_collection.count_documents({"session.n": 3, "session.when": {"$type": "date"}}) == 1
    assert await document_store.destroy("a", expected=third)


async def test_a_record_that_was_written_is_not_expected_once_it_has_changed(
    document_store: MongoStore, mongo_collection: Any
) -> None:
    written = record('"n":1')
    await document_store.create("a", written)
    await mongo_collection.update_one({}, {"$set": {"session.n": True}})
    assert not await document_store.replace("a", record('"n":2'), expected=written)
    assert not await document_store.destroy("a", expected=written)
    assert (await mongo_collection.find_one())["session"]["n"] is True


@pytest.mark.parametrize(
    "change", [{"session.n": 2}, {"session.m": 1}, {"session.cookie.path": "/x"}, {"session": "x"}]
)
async def test_a_change_that_express_made_is_noticed(
    document_store: MongoStore, mongo_collection: Any, change: dict[str, Any]
) -> None:
    await document_store.create("a", record('"n":1'))
    found = await read(document_store)
    await mongo_collection.update_one({}, {"$set": change})
    assert not await document_store.replace("a", record('"n":9'), expected=found)
    assert not await document_store.destroy("a", expected=found)


@pytest.mark.parametrize(
    "text",
    [
        '"a.b":1,"c":{"d.e":2}',
        '"$set":{"x":1},"$eq":2',
        '"":0',
        '"_id":1,"$ref":"c","$id":1',
        '"__proto__":{"x":1}',
        '"ü\u2028":"\U0001f36a"',
        f'"n":{2**63 - 1}',
    ],
)
async def test_odd_keys_survive_in_a_sub_document(document_store: MongoStore, text: str) -> None:
    written = record(text)
    assert await document_store.create("a", written)
    found = await read(document_store)
    assert json.loads(found.payload).items() >= (json.loads(written.payload) | {"cookie": ANY}).items()
    assert await document_store.replace("a", record('"n":1'), expected=found)
    assert await document_store.replace("a", written, expected=record('"n":1'))
    assert await document_store.destroy("a", expected=written)


async def test_a_sub_document_whose_first_key_is_an_operator_is_compared_as_data(
    document_store: MongoStore, mongo_collection: Any
) -> None:
    await document_store.create("a", Record('{"$exists":true}', None))
    found = await read(document_store)
    await mongo_collection.update_one({}, {"$set": {"session": {"other": 1}}})
    assert not await document_store.replace("a", record(), expected=found)


async def test_a_sub_document_that_looks_like_a_reference_can_be_written(
    store: MongoStore, document_store: MongoStore
) -> None:
    await document_store.create("a", record('"$ref":"x","$id":1'))
    assert await store.replace("a", record('"b":2'), expected=await read(store))
    assert json.loads((await read(store)).payload)["b"] == 2


@pytest.mark.parametrize("spoiled", ["session", "ua"])
@pytest.mark.parametrize("stringify", [True, False])
async def test_a_document_that_is_no_utf8_is_missing(
    mongo_collection: Any, spoiled: str, stringify: bool, caplog: pytest.LogCaptureFixture
) -> None:
    whole = bson.encode({"_id": SECRET_ID, "session": "{}", spoiled: "ZZZZ"})
    await mongo_collection.insert_one(RawBSONDocument(whole.replace(b"ZZZZ", b"Z\xe9ZZ")))
    async with MongoStore(mongo_collection, stringify=stringify) as store:
        assert await store.get(SECRET_ID) is None
    assert "treated as missing" in caplog.text
    assert SECRET_ID not in caplog.text


@pytest.mark.parametrize("stringify", [True, False])
async def test_a_document_that_looks_like_a_reference_is_read(mongo_collection: Any, stringify: bool) -> None:
    store = MongoStore(mongo_collection, stringify=stringify)
    await mongo_collection.insert_one({"_id": "a", "session": record('"n":1').payload, "$ref": "x", "$id": 1})
    assert json.loads((await read(store)).payload)["n"] == 1


@pytest.mark.parametrize("text", [r'"k":"\ud800"', f'"k":{2**64 + 1}', r'"k\u0000":1', '"k":' + "[" * 190 + "]" * 190])
async def test_what_a_sub_document_can_not_hold_is_a_store_error(document_store: MongoStore, text: str) -> None:
    with pytest.raises(StoreError):
        await document_store.create("a", record(text))
    assert await document_store.get("a") is None


@pytest.mark.parametrize("session", [None, 5, [1, {"a": 1}]])
async def test_what_is_no_session_can_be_replaced_once_it_was_read(
    store: MongoStore, mongo_collection: Any, session: Any
) -> None:
    await mongo_collection.insert_one({"_id": "a", "session": session})
    found = await read(store)
    assert json.loads(found.payload) == session
    assert await store.replace("a", record(), expected=found)


# Concurrency


@pytest.mark.parametrize("stringify", [True, False])
async def test_of_fifty_creates_of_one_id_one_succeeds(mongo_collection: Any, stringify: bool) -> None:
    store = MongoStore(mongo_collection, stringify=stringify)
    results = await asyncio.gather(*(store.create("a", record(f'"n":{n}')) for n in range(50)))
    assert results.count(True) == 1
    assert json.loads((await read(store)).payload)["n"] == results.index(True)


async def test_of_fifty_creates_over_an_expired_document_one_succeeds(
    store: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.create("a", record('"n":"old"', time.time() + 100))
    later = time.time() + 101
    monkeypatch.setattr(time, "time", lambda: later)
    results = await asyncio.gather(*(store.create("a", record(f'"n":{n}')) for n in range(50)))
    assert results.count(True) == 1
    assert json.loads((await read(store)).payload)["n"] == results.index(True)


@pytest.mark.parametrize("stringify", [True, False])
@pytest.mark.parametrize("as_read", [True, False])
async def test_of_fifty_replaces_of_one_record_one_succeeds(
    mongo_collection: Any, stringify: bool, as_read: bool
) -> None:
    store = MongoStore(mongo_collection, stringify=stringify)
    written = record('"n":"old"')
    await store.create("a", written)
    expected = await read(store) if as_read else written
    results = await asyncio.gather(*(store.replace("a", record(f'"n":{n}'), expected=expected) for n in range(50)))
    assert results.count(True) == 1
    assert json.loads((await read(store)).payload)["n"] == results.index(True)


async def test_a_violated_unique_index_of_the_callers_own_is_an_error(store: MongoStore, mongo_collection: Any) -> None:
    await mongo_collection.create_index("user", unique=True)
    await store.create("a", record())
    with pytest.raises(StoreError):
        await store.create("b", record())


# Failures


async def test_an_error_of_the_server_is_a_store_error_that_shows_no_data(
    mongo_replica_set: MongoServer, mongo_standalone: MongoServer
) -> None:
    for server in (mongo_replica_set, mongo_standalone):
        for driver in ("pymongo", "motor"):
            async with mongo_client(driver, server.url) as client:
                store = MongoStore(client["app"]["sessions"])
                await store.get(SECRET_ID)
                with server.failing(["find", "update", "delete", "aggregate"], errorCode=8000):
                    for call in _every_call(store):
                        with pytest.raises(StoreError) as caught:
                            await call
                        assert isinstance(caught.value.__cause__, PyMongoError)
                        assert SECRET_ID not in str(caught.value)
                        assert "8000" in str(caught.value)


def _every_call(store: MongoStore) -> list[Any]:
    async def first_id() -> str:
        return await anext(store.ids())

    calls: Mapping[str, Any] = {
        "get": store.get(SECRET_ID),
        "create": store.create(SECRET_ID, record()),
        "replace": store.replace(SECRET_ID, record(), expected=record()),
        "touch": store.touch(SECRET_ID, None),
        "destroy": store.destroy(SECRET_ID),
        "destroy the expected": store.destroy(SECRET_ID, expected=record()),
        "ids": first_id(),
        "length": store.length(),
        "clear": store.clear(),
        "purge": store.purge(),
    }
    return list(calls.values())


# PyMongo's monitor thread, which Motor uses, at times leaves a refused connection's socket to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_a_server_that_died_is_a_store_error(driver: str) -> None:
    with start_mongo(replica_set=False) as server:
        async with mongo_client(driver, server.url, serverSelectionTimeoutMS=300) as client:
            store = MongoStore(client["app"]["sessions"])
            await store.create(SECRET_ID, record())
            server.kill()
            with pytest.raises(StoreError) as caught:
                await store.get(SECRET_ID)
            assert isinstance(caught.value.__cause__, PyMongoError)
    gc.collect()


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_acknowledged_sessions_outlive_a_crash_of_a_replica_set(driver: str) -> None:
    with start_mongo(replica_set=True) as server:
        async with mongo_client(driver, server.url) as client:
            store = MongoStore(client["app"]["sessions"])
            assert all(await asyncio.gather(*(store.create(f"s{n}", record()) for n in range(100))))
        server.kill()
        server.start()
        async with MongoStore.from_url(server.database_url("app")) as store:
            assert await store.length() == 100


@pytest.mark.parametrize("stringify", [True, False])
@pytest.mark.parametrize("driver", ["pymongo", "motor"])
@pytest.mark.parametrize("fault", [{"closeConnection": True}, {"errorCode": 91}, {"errorCode": 134}], ids=str)
async def test_a_read_that_met_a_passing_fault_is_tried_again(
    mongo_replica_set: MongoServer, driver: str, fault: dict[str, Any], stringify: bool
) -> None:
    async with mongo_client(driver, mongo_replica_set.url, heartbeatFrequencyMS=500) as client:
        store = MongoStore(client["app"][f"sessions_{uuid.uuid4().hex}"], stringify=stringify)
        await store.create("a", record('"n":1'))
        with mongo_replica_set.failing(["find"], mode={"times": 1}, **fault):
            assert json.loads((await read(store)).payload)["n"] == 1


@pytest.mark.parametrize("stringify", [True, False])
@pytest.mark.parametrize("driver", ["pymongo", "motor"])
@pytest.mark.parametrize(
    ("options", "fault", "tries"),
    [
        ({}, {"closeConnection": True}, 2),
        ({"retryReads": False}, {"closeConnection": True}, 1),
        ({}, {"errorCode": 13}, 1),
        ({"socketTimeoutMS": 100}, {"blockConnection": True, "blockTimeMS": 500}, 2),
        ({"timeoutMS": 100}, {"blockConnection": True, "blockTimeMS": 500}, 1),
    ],
    ids=str,
)
async def test_a_read_is_tried_as_often_as_the_clients_options_say(
    mongo_replica_set: MongoServer,
    driver: str,
    options: dict[str, Any],
    fault: dict[str, Any],
    tries: int,
    stringify: bool,
) -> None:
    commands = Commands()
    async with mongo_client(
        driver, mongo_replica_set.url, event_listeners=[commands], heartbeatFrequencyMS=500, **options
    ) as client:
        store = MongoStore(client["app"][f"sessions_{uuid.uuid4().hex}"], stringify=stringify, create_index=False)
        await store.create("a", record())
        with mongo_replica_set.failing(["find"], **fault), pytest.raises(StoreError):
            await store.get("a")
        assert commands.names.count("find") == tries
    with warnings.catch_warnings():  # now and then PyMongo leaves a connection that broke to the garbage collector
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_a_write_whose_connection_broke_is_applied_exactly_once_on_a_replica_set(
    mongo_replica_set: MongoServer, driver: str
) -> None:
    commands = Commands()
    # A driver that has met an error waits for the server's next sign of life.
    async with mongo_client(
        driver, mongo_replica_set.url, event_listeners=[commands], heartbeatFrequencyMS=500
    ) as client:
        store = MongoStore(client["app"][f"sessions_{uuid.uuid4().hex}"])
        await store.get("a")
        with mongo_replica_set.failing(["update"], mode={"times": 1}, closeConnection=True):
            assert await store.create("a", record('"n":1'))
        found = await read(store)
        commands.events.clear()
        # The write happens, and its reply is lost: the driver's second try is recognised by the server.
        lost = {"errmsg": "stepped down", "code": 91, "errorLabels": ["RetryableWriteError"]}
        with mongo_replica_set.failing(["update"], mode={"times": 1}, writeConcernError=lost):
            assert await store.replace("a", plus_one(found), expected=found)
        assert commands.names == ["update", "update"]
        assert json.loads((await read(store)).payload)["n"] == 2


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_a_write_whose_connection_broke_is_not_repeated_on_a_standalone(
    mongo_standalone: MongoServer, driver: str
) -> None:
    commands = Commands()
    async with mongo_client(driver, mongo_standalone.url, event_listeners=[commands]) as client:
        store = MongoStore(client["app"][f"sessions_{uuid.uuid4().hex}"])
        await store.create("a", record('"n":1'))
        found = await read(store)
        commands.events.clear()
        with (
            mongo_standalone.failing(["update"], mode={"times": 1}, closeConnection=True),
            pytest.raises(StoreError),
        ):
            await store.replace("a", plus_one(found), expected=found)
        assert commands.names == ["update"]


async def test_text_that_is_no_unicode_is_a_store_error(store: MongoStore) -> None:
    with pytest.raises(StoreError):
        await store.get("\ud800")
    with pytest.raises(StoreError):
        await store.create("a", record('"k":"\ud800"'))


# Housekeeping


async def test_ids_skips_what_has_no_text_for_an_id(store: MongoStore, mongo_collection: Any) -> None:
    await mongo_collection.insert_one({"session": "x"})
    await store.create("a", record())
    assert [sid async for sid in store.ids()] == ["a"]


async def test_ids_can_be_abandoned(store: MongoStore) -> None:
    for n in range(200):
        await store.create(f"s{n}", record())
    ids = store.ids()
    assert (await anext(ids)).startswith("s")
    await ids.aclose()  # type: ignore[attr-defined]


async def test_purge_removes_and_counts_what_has_expired(
    store: MongoStore, mongo_collection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(3):
        await store.create(f"short{n}", record(expires=time.time() + 100))
    await store.create("long", record())
    later = time.time() + 101
    monkeypatch.setattr(time, "time", lambda: later)
    assert await store.purge() == 3
    assert [document["_id"] async for document in mongo_collection.find()] == ["long"]


async def test_a_session_that_gets_another_id_keeps_the_types_that_express_wrote(
    document_store: MongoStore, mongo_collection: Any
) -> None:
    def sign_in(request: Request) -> None:
        request.state.session.regenerate(keep=True)
        request.session["user"] = 7

    browser = Browser(store=document_store)
    await browser.visit(put(n=1))
    when = json_util.loads('{"$date": "2030-01-01T00:00:00Z"}')
    await mongo_collection.update_one({}, {"$set": {"session.when": when}})
    await browser.visit(sign_in)
    wanted = {"session.n": 1, "session.user": 7, "session.when": {"$type": "date"}}
    assert await mongo_collection.count_documents(wanted) == await mongo_collection.count_documents({}) == 1


async def test_a_session_of_eight_megabytes_can_be_changed_and_a_larger_one_is_a_store_error(store: MongoStore) -> None:
    fits, too_large = record(f'"k":"{"x" * 8_300_000}"'), record(f'"k":"{"x" * 8_400_000}"')
    await store.create("a", fits)
    assert await store.replace("a", fits, expected=fits)
    await store.create("b", too_large)
    with pytest.raises(StoreError):
        await store.replace("b", too_large, expected=too_large)
    assert await store.destroy("b")
