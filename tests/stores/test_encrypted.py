"""EncryptedStore and its codecs: nothing readable is stored, nothing altered is read, and no key is derived twice."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.datastructures import Secret
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from asgi_session import MemoryStore, Record, SessionMiddleware, Store
from asgi_session.ciphers import (
    AesGcm,
    ConnectMongoCrypto,
    ConnectMongoWebCrypto,
    connect_mongo_crypto,
    derived_keys,
    octet_strings,
)
from asgi_session.stores.encrypted import Codec, EncryptedStore, Undecryptable
from asgi_session.stores.mongo import MongoStore
from asgi_session.stores.redis import RedisStore
from asgi_session.testing import StoreContract
from tests.spy_store import SpyStore

ROWS = json.loads((Path(__file__).parents[1] / "vectors/encrypted.json").read_text(encoding="utf-8"))
PYTHON_NAMES = {"ivLength": "iv_length"}

KEY = bytes(range(32))
OTHER_KEY = bytes(32)
SECRET = "a secret of Express, for the tests"
TEXT = '{"cookie":{"originalMaxAge":null,"expires":null},"user":"Zażółć 🍪","quote":"\\"\\\\"}'

CODECS: dict[str, Callable[[], Codec]] = {
    "AesGcm": lambda: AesGcm(KEY),
    "ConnectMongoCrypto": lambda: ConnectMongoCrypto(SECRET),
    "ConnectMongoCrypto-cbc-hex": lambda: ConnectMongoCrypto(SECRET, algorithm="aes-256-cbc", encodeas="hex"),
    "ConnectMongoWebCrypto": lambda: ConnectMongoWebCrypto(SECRET, iterations=1),
    "ConnectMongoWebCrypto-cbc": lambda: ConnectMongoWebCrypto(SECRET, algorithm="AES-CBC", iterations=1),
}
CHECKED = ["AesGcm", "ConnectMongoCrypto", "ConnectMongoWebCrypto"]
"""Those that notice every alteration."""


@pytest.fixture(params=CODECS)
def codec(request: pytest.FixtureRequest) -> Codec:
    """Each codec in turn."""
    return CODECS[request.param]()


@pytest.fixture(params=CHECKED)
def checked(request: pytest.FixtureRequest) -> Codec:
    """Each codec that notices every alteration."""
    return CODECS[request.param]()


@pytest.fixture
def spy() -> SpyStore:
    """What is below the encryption."""
    return SpyStore()


def living(text: str = TEXT) -> Record:
    """A record with a minute to live."""
    return Record(text, time.time() + 60)


async def sealed_in(store: Store, sid: str) -> str:
    """The text that a store holds."""
    record = await store.get(sid)
    assert record is not None
    return record.payload


async def plant(store: Store, sid: str, text: str) -> None:
    """Put a text into a store, as somebody would who can write to the database."""
    await store.destroy(sid)
    assert await store.create(sid, living(text))


# The contract


class TestAesGcm(StoreContract):
    reads_time_time = True

    @pytest.fixture
    def store(self) -> Store:
        return EncryptedStore(MemoryStore(), AesGcm(KEY))


class TestConnectMongoCrypto(StoreContract):
    reads_time_time = True

    @pytest.fixture
    def store(self) -> Store:
        return EncryptedStore(MemoryStore(), ConnectMongoCrypto(SECRET))


class TestConnectMongoWebCrypto(StoreContract):
    reads_time_time = True

    @pytest.fixture
    def store(self) -> Store:
        return EncryptedStore(MemoryStore(), ConnectMongoWebCrypto(SECRET, iterations=1))


class TestWhileAStoreIsBeingEncrypted(StoreContract):
    reads_time_time = True

    @pytest.fixture
    def store(self) -> Store:
        return EncryptedStore(MemoryStore(), AesGcm(KEY), accept_plaintext=True)


async def changes_and_ends_a_record(store: Store) -> bool:
    """Whether a record can be written, read, replaced and deleted, each with what was read before."""
    assert await store.create("a", living())
    first = await store.get("a")
    assert first is not None
    assert first.payload == TEXT
    assert await store.replace("a", living('{"n":2}'), expected=first)
    assert not await store.destroy("a", expected=first)
    second = await store.get("a")
    assert second is not None
    return await store.destroy("a", expected=second)


@pytest.mark.parametrize("stringify", [True, False])
async def test_sealed_records_live_in_mongo(mongo_collection: Any, stringify: bool, codec: Codec) -> None:
    async with MongoStore(mongo_collection, stringify=stringify) as mongo:
        assert await changes_and_ends_a_record(EncryptedStore(mongo, codec))


async def test_sealed_records_live_in_redis(redis_url: str, redis_prefix: str, codec: Codec) -> None:
    async with RedisStore.from_url(redis_url, prefix=redis_prefix) as redis:
        assert await changes_and_ends_a_record(EncryptedStore(redis, codec))


# What connect-mongo wrote


def codec_of(row: dict[str, Any]) -> Codec:
    options = {PYTHON_NAMES.get(name, name): value for name, value in row["options"].items()}
    return ConnectMongoCrypto(**options) if row["option"] == "crypto" else ConnectMongoWebCrypto(**options)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join([row["option"], *map(str, row["options"].values())]))
async def test_what_connect_mongo_wrote_is_read(row: dict[str, Any]) -> None:
    store = MemoryStore()
    await store.create(row["sid"], living(row["session"]))
    found = await EncryptedStore(store, codec_of(row)).get(row["sid"])
    assert found is not None
    assert found.payload == row["payload"]


@pytest.mark.parametrize("row", ROWS[::2], ids=lambda row: row["option"])
async def test_what_connect_mongo_wrote_is_not_read_with_another_secret(row: dict[str, Any]) -> None:
    another = codec_of({**row, "options": {**row["options"], "secret": "another"}})
    with pytest.raises(Undecryptable):
        await another.open(row["sid"], row["session"])


# What is stored


async def test_what_was_sealed_is_opened(codec: Codec) -> None:
    for text in (TEXT, "", '{"a":"\ud800"}', json.dumps({"long": "ü" * 100_000})):
        assert await codec.open("a", await codec.seal("a", text)) == text


async def test_nothing_of_a_session_or_its_id_is_readable_in_the_store(codec: Codec, spy: SpyStore) -> None:
    await EncryptedStore(spy, codec).create("the-id", living('{"word":"marmalade"}'))
    stored = (await spy.only()).payload
    data = stored.rpartition(".")[2]
    for text in (stored, repr(base64.urlsafe_b64decode(data + "=" * (-len(data) % 4)))):
        assert "marmalade" not in text
        assert "the-id" not in text


async def test_a_text_sealed_twice_gives_two_texts(codec: Codec) -> None:
    assert await codec.seal("a", TEXT) != await codec.seal("a", TEXT)


async def test_the_expiry_is_the_inner_records(spy: SpyStore) -> None:
    store = EncryptedStore(spy, AesGcm(KEY))
    await store.create("a", Record(TEXT, time.time() + 500))
    await store.touch("a", time.time() + 900)
    found = await store.get("a")
    assert found is not None
    assert found.expires == (await spy.only()).expires == pytest.approx(time.time() + 900, abs=5)


def test_the_ttl_is_the_inner_stores() -> None:
    assert EncryptedStore(MemoryStore(ttl=77), AesGcm(KEY)).ttl == 77


async def test_the_store_opens_and_closes_the_inner_one() -> None:
    seen = []

    class Closing(MemoryStore):
        async def __aenter__(self) -> Self:
            seen.append("opened")
            return self

        async def aclose(self) -> None:
            seen.append("closed")

    async with EncryptedStore(Closing(), AesGcm(KEY)):
        assert seen == ["opened"]
    assert seen == ["opened", "closed"]


# Compare and set


async def test_a_write_that_expects_what_was_read_is_one_call(spy: SpyStore) -> None:
    store = EncryptedStore(spy, AesGcm(KEY))
    await store.create("a", living())
    found = await store.get("a")
    assert found is not None
    spy.calls.clear()
    assert await store.replace("a", living("{}"), expected=found)
    assert spy.calls == ["replace"]


async def test_a_write_that_expects_what_was_written_reads_first(spy: SpyStore) -> None:
    store, written = EncryptedStore(spy, AesGcm(KEY)), living()
    await store.create("a", written)
    spy.calls.clear()
    assert await store.replace("a", living("{}"), expected=written)
    assert spy.calls == ["get", "replace"]


async def test_a_write_in_between_is_noticed_although_the_payload_was_read_first(spy: SpyStore) -> None:
    store, written = EncryptedStore(spy, AesGcm(KEY)), living()
    await store.create("a", written)

    async def somebody_writes() -> None:
        spy.before.clear()
        record = await spy.only()
        await spy.inner.replace("a", living("something else"), expected=record)

    spy.before["replace"] = somebody_writes
    assert not await store.replace("a", living("{}"), expected=written)
    assert (await spy.only()).payload == "something else"


# Records that can't be opened


async def test_a_record_of_another_key_is_missing(checked: Codec, spy: SpyStore) -> None:
    await EncryptedStore(spy, checked).create("a", living())
    assert await EncryptedStore(spy, AesGcm(OTHER_KEY)).get("a") is None


async def test_an_unreadable_record_is_neither_overwritten_nor_deleted_by_those_who_expect_another(
    spy: SpyStore,
) -> None:
    store = EncryptedStore(spy, AesGcm(KEY))
    await plant(spy, "a", "what is this?")
    assert not await store.create("a", living())
    assert not await store.replace("a", living(), expected=living())
    assert not await store.destroy("a", expected=living())
    assert (await spy.only()).payload == "what is this?"


async def test_an_unreadable_record_can_be_destroyed(spy: SpyStore) -> None:
    await plant(spy, "a", "what is this?")
    assert await EncryptedStore(spy, AesGcm(KEY)).destroy("a")
    assert await spy.sids() == []


async def test_the_right_key_brings_a_record_back(spy: SpyStore) -> None:
    await EncryptedStore(spy, AesGcm(KEY)).create("a", living())
    assert await EncryptedStore(spy, AesGcm(OTHER_KEY)).get("a") is None
    assert await EncryptedStore(spy, AesGcm(KEY)).get("a") is not None


async def test_an_unreadable_record_is_logged_as_an_error_without_id_and_content(
    spy: SpyStore, caplog: pytest.LogCaptureFixture
) -> None:
    await EncryptedStore(spy, AesGcm(KEY)).create("the-id", living('{"word":"marmalade"}'))
    stored = (await spy.only()).payload
    with caplog.at_level(logging.DEBUG):
        await EncryptedStore(spy, AesGcm(OTHER_KEY)).get("the-id")
    (entry,) = caplog.records
    assert (entry.name, entry.levelname) == ("asgi_session", "ERROR")
    assert "can't be decrypted: it was sealed with a key that is not here" in entry.getMessage()
    assert entry.exc_info is None
    for word in ("the-id", "marmalade", stored, stored.split(".")[1]):
        assert word not in entry.getMessage()


async def test_a_record_that_somebody_moved_to_another_id_is_missing(spy: SpyStore) -> None:
    store = EncryptedStore(spy, AesGcm(KEY))
    await store.create("victim", living('{"user":1}'))
    await store.create("attacker", living('{"user":2}'))
    theirs, mine = await sealed_in(spy, "victim"), await sealed_in(spy, "attacker")
    await plant(spy, "attacker", theirs)
    await plant(spy, "victim", mine)
    assert await store.get("attacker") is None
    assert await store.get("victim") is None


async def test_visitors_whose_records_were_exchanged_get_new_sessions(spy: SpyStore) -> None:
    async def visit(request: Request) -> Response:
        request.session.setdefault("user", request.query_params["user"])
        return JSONResponse(request.session["user"])

    middleware = Middleware(SessionMiddleware, secret="s" * 32, store=EncryptedStore(spy, AesGcm(KEY)))
    app = Starlette(routes=[Route("/", visit)], middleware=[middleware])

    def browser() -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver")

    async with browser() as first, browser() as second:
        await first.get("/?user=first")
        await second.get("/?user=second")
        a, b = await spy.sids()
        texts = [await sealed_in(spy, sid) for sid in (a, b)]
        for sid, text in zip((b, a), texts, strict=True):
            await plant(spy, sid, text)
        assert (await first.get("/?user=nobody")).json() == "nobody"
        assert (await second.get("/?user=nobody")).json() == "nobody"


async def test_every_altered_character_is_noticed_by_aes_gcm() -> None:
    codec = AesGcm(KEY)
    sealed = await codec.seal("a", TEXT)
    for at, character in enumerate(sealed):
        altered = sealed[:at] + ("A" if character != "A" else "B") + sealed[at + 1 :]
        with pytest.raises(Undecryptable):
            await codec.open("a", altered)


@pytest.mark.parametrize("name", CHECKED)
async def test_every_altered_byte_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect_mongo_crypto, "ITERATIONS", 1)
    codec = CODECS[name]()
    sealed = await codec.seal("a", TEXT)
    front, dot, text = sealed.rpartition(".")
    data = base64.b64decode(text + "==", altchars=b"-_" if dot else None)
    for at in range(len(data)):
        altered = data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
        spelled = base64.b64encode(altered, altchars=b"-_" if dot else None).decode()
        with pytest.raises(Undecryptable):
            await codec.open("a", front + dot + (spelled.rstrip("=") if dot else spelled))


async def test_a_shortened_text_is_noticed(checked: Codec) -> None:
    sealed = await checked.seal("a", TEXT)
    for end in (0, 1, 3, 12, len(sealed) // 2, len(sealed) - 4, len(sealed) - 1):
        with pytest.raises(Undecryptable):
            await checked.open("a", sealed[:end])


@pytest.mark.parametrize("name", CODECS)
@given(garbage=st.text() | st.binary().map(bytes.hex) | st.binary().map(lambda data: base64.b64encode(data).decode()))
def test_garbage_is_undecryptable_and_nothing_worse(name: str, garbage: str) -> None:
    codec = CODECS[name]()
    with contextlib.suppress(Undecryptable):  # a mode without a check may make something of it
        asyncio.run(codec.open("a", garbage))


@given(st.binary(), st.integers(0, 6))
def test_bytes_that_are_no_sequence_of_octet_strings_are_refused(data: bytes, count: int) -> None:
    with contextlib.suppress(Undecryptable):
        assert len(octet_strings.split(data, count)) == count


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65535, 65536])
def test_octet_strings_of_any_length_are_taken_apart_as_they_were_joined(size: int) -> None:
    parts = [bytes(size), b"x", b""]
    assert octet_strings.split(octet_strings.joined(parts), 3) == parts


async def test_another_spelling_of_the_same_bytes_is_refused() -> None:
    codec = AesGcm(KEY)
    sealed = await codec.seal("a", '{"n":1}')  # whose last character has bits to spare
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = last[last.index(sealed[-1]) ^ 1]
    data = sealed.rpartition(".")[2]
    assert base64.urlsafe_b64decode(data + "=") == base64.urlsafe_b64decode(data[:-1] + other + "=")
    for spelling in (sealed[:-1] + other, sealed + "=", sealed + "\n", sealed[:20] + " " + sealed[20:]):
        with pytest.raises(Undecryptable, match="format"):
            await codec.open("a", spelling)


@pytest.mark.parametrize("part", [2, 4])  # initialization vector and tag
async def test_a_part_that_was_cut_short_is_refused(part: int) -> None:
    codec = ConnectMongoCrypto(SECRET)
    parts = octet_strings.split(base64.b64decode(await codec.seal("a", TEXT)), 6)
    parts[part] = parts[part][:4]
    with pytest.raises(Undecryptable):
        await codec.open("a", base64.b64encode(octet_strings.joined(parts)).decode())


# Plaintext


async def test_plaintext_is_never_read(codec: Codec, spy: SpyStore) -> None:
    await plant(spy, "a", TEXT)
    assert await EncryptedStore(spy, codec).get("a") is None


async def test_plaintext_is_read_where_that_is_asked_for_and_sealed_by_the_next_write(
    codec: Codec, spy: SpyStore
) -> None:
    await plant(spy, "a", TEXT)
    store = EncryptedStore(spy, codec, accept_plaintext=True)
    found = await store.get("a")
    assert found is not None
    assert found.payload == TEXT
    assert await store.replace("a", living('{"n":2}'), expected=found)
    assert not (await spy.only()).payload.startswith("{")
    strict = await EncryptedStore(spy, codec).get("a")
    assert strict is not None
    assert strict.payload == '{"n":2}'


async def test_what_is_no_json_object_is_not_taken_for_plaintext(spy: SpyStore) -> None:
    store = EncryptedStore(spy, AesGcm(KEY), accept_plaintext=True)
    for text in (await AesGcm(OTHER_KEY).seal("a", TEXT), "", "null", '"text"', "v1."):
        await plant(spy, "a", text)
        assert await store.get("a") is None


# Keys


async def test_a_sealed_text_is_what_the_documentation_says() -> None:
    version, key_id, data = (await AesGcm(KEY).seal("the-id", TEXT)).split(".")
    raw = base64.urlsafe_b64decode(data + "=" * (-len(data) % 4))
    assert (version, len(key_id)) == ("v1", 8)
    assert AESGCM(KEY).decrypt(raw[:12], raw[12:], b"the-id").decode() == TEXT
    assert base64.urlsafe_b64decode(key_id) == hmac.digest(KEY, b"asgi_session AesGcm key id", "sha256")[:6]


async def test_all_keys_open_and_the_first_one_seals() -> None:
    old = await AesGcm(OTHER_KEY).seal("a", TEXT)
    both = AesGcm(KEY, OTHER_KEY)
    assert await both.open("a", old) == TEXT
    assert await AesGcm(KEY).open("a", await both.seal("a", TEXT)) == TEXT
    with pytest.raises(Undecryptable, match="a key that is not here"):
        await AesGcm(KEY).open("a", old)


async def test_a_record_of_an_old_key_is_sealed_with_the_new_one_when_it_is_written(spy: SpyStore) -> None:
    await EncryptedStore(spy, AesGcm(OTHER_KEY)).create("a", living())
    rotated = EncryptedStore(spy, AesGcm(KEY, OTHER_KEY))
    found = await rotated.get("a")
    assert found is not None
    assert await rotated.replace("a", living('{"n":2}'), expected=found)
    assert await EncryptedStore(spy, AesGcm(KEY)).get("a") is not None


def derived_from(text: str) -> bytes:
    """The key that the documentation promises for a text."""
    return hashlib.pbkdf2_hmac("sha256", text.encode(), b"asgi_session AesGcm key v1", 600_000, 32)


async def test_a_text_gives_the_key_that_the_documentation_says() -> None:
    text = "ein Schlüsseltext von genügender Länge"
    for key in (text, Secret(text)):
        assert await AesGcm(derived_from(text)).open("a", await AesGcm(key).seal("a", TEXT)) == TEXT


@pytest.mark.parametrize("key", [b"x" * 31, b"x" * 33, b"", ""])
def test_a_key_of_another_length_is_refused(key: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"a key in bytes must|a secret is empty"):
        AesGcm(KEY, key)


def test_a_short_text_for_a_key_warns_where_it_is_given() -> None:
    with pytest.warns(UserWarning, match="shorter than 32 bytes") as warned:
        AesGcm("too short")
    assert warned[0].filename == __file__


@pytest.mark.parametrize("make", [AesGcm, ConnectMongoCrypto, ConnectMongoWebCrypto])
@pytest.mark.parametrize("secret", [None, 7, ["a"], bytearray(32)])
def test_what_is_no_secret_is_refused(make: Any, secret: Any) -> None:
    with pytest.raises(TypeError, match="a secret is none of str, bytes and Secret"):
        make(secret)


@pytest.mark.parametrize("make", [AesGcm, ConnectMongoCrypto, ConnectMongoWebCrypto])
@pytest.mark.parametrize("secret", ["", Secret(""), "\ud800"])
def test_a_secret_that_is_none_is_refused(make: Any, secret: Any) -> None:
    with pytest.raises(ValueError, match=r"a secret is empty|UTF-8 can't encode"):
        make(secret)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (ConnectMongoCrypto, {"algorithm": "aes-256-ecb"}),
        (ConnectMongoCrypto, {"algorithm": "aes-256-gcm "}),
        (ConnectMongoCrypto, {"hashing": "md5"}),
        (ConnectMongoCrypto, {"encodeas": "latin1"}),
        (ConnectMongoWebCrypto, {"algorithm": "AES-CTR"}),
        (ConnectMongoWebCrypto, {"encoding": "latin1"}),
        (ConnectMongoWebCrypto, {"iv_length": 0}),
        (ConnectMongoWebCrypto, {"iv_length": 12, "algorithm": "AES-CBC"}),
        (ConnectMongoWebCrypto, {"iterations": 0}),
    ],
)
def test_an_option_that_is_not_offered_is_refused(make: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options)) + "|AES-GCM|AES-CBC"):
        make(SECRET, **options)


@pytest.mark.parametrize("options", [{"salt": 7}, {"iterations": 1.5}, {"iterations": True}, {"iv_length": 12.0}])
def test_an_option_of_another_type_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(options))):
        ConnectMongoWebCrypto(SECRET, **options)


def test_a_store_or_codec_that_is_none_is_refused() -> None:
    store: Any = MemoryStore()
    codec: Any = AesGcm(KEY)
    with pytest.raises(TypeError, match="store"):
        EncryptedStore(codec, store)
    with pytest.raises(TypeError, match="codec"):
        EncryptedStore(store, store)
    with pytest.raises(TypeError, match="codec"):
        EncryptedStore(store, AesGcm)  # type: ignore[arg-type]


async def test_no_repr_shows_secrets_or_sessions(codec: Codec, spy: SpyStore) -> None:
    store = EncryptedStore(spy, codec)
    await store.create("the-id", living('{"word":"marmalade"}'))
    shown = repr([store, codec, await store.get("the-id")])
    for word in ("the-id", "marmalade", SECRET, repr(KEY), KEY.hex()):
        assert word not in shown


# Deriving keys


class Derivations:
    """Stands before `hashlib.pbkdf2_hmac`: notes each call, makes it cheap, holds it back while `gate` is closed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.salts: list[bytes] = []
        self.threads: list[int] = []
        self.begun = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self._real = hashlib.pbkdf2_hmac
        monkeypatch.setattr(hashlib, "pbkdf2_hmac", self._note)

    def _note(self, hashing: str, secret: bytes, salt: bytes, iterations: int, size: int | None = None) -> bytes:
        self.salts.append(salt)
        self.threads.append(threading.get_ident())
        self.begun.set()
        assert self.gate.wait(30)
        return self._real(hashing, secret, salt, min(iterations, 2), size)


@pytest.fixture
def derivations(monkeypatch: pytest.MonkeyPatch) -> Derivations:
    """Derivations are noted; the gate is open."""
    return Derivations(monkeypatch)


SLOW: dict[str, Callable[[], Codec]] = {
    "ConnectMongoCrypto": lambda: ConnectMongoCrypto(SECRET),
    "ConnectMongoWebCrypto": lambda: ConnectMongoWebCrypto(SECRET),
}
"""Codecs that derive keys while they serve."""


@pytest.fixture(params=SLOW)
def slow(request: pytest.FixtureRequest) -> Callable[[], Codec]:
    """Makes each of them in turn."""
    return SLOW[request.param]


async def test_a_record_is_read_any_number_of_times_for_one_derivation(
    slow: Callable[[], Codec], spy: SpyStore, derivations: Derivations
) -> None:
    await EncryptedStore(spy, slow()).create("a", living())
    store = EncryptedStore(spy, slow())
    derivations.salts.clear()
    for _ in range(5):
        assert await store.get("a") is not None
    assert len(derivations.salts) == 1


async def test_all_that_a_codec_writes_costs_one_derivation(
    slow: Callable[[], Codec], spy: SpyStore, derivations: Derivations
) -> None:
    store = EncryptedStore(spy, slow())
    for sid in "abcdef":
        await store.create(sid, living())
        found = await store.get(sid)
        assert found is not None
        await store.replace(sid, living("{}"), expected=found)
    assert len(derivations.salts) == 1


async def test_each_salt_costs_one_derivation(spy: SpyStore, derivations: Derivations) -> None:
    for sid in "abc":  # as Express does, a salt for every record
        await EncryptedStore(spy, ConnectMongoCrypto(SECRET)).create(sid, living())
    derivations.salts.clear()
    store = EncryptedStore(spy, ConnectMongoCrypto(SECRET))
    for sid in "abcabc":
        await store.get(sid)
    assert len(derivations.salts) == len(set(derivations.salts)) == 3


async def test_requests_at_the_same_time_share_one_derivation(
    slow: Callable[[], Codec], spy: SpyStore, derivations: Derivations
) -> None:
    await EncryptedStore(spy, slow()).create("a", living())
    store = EncryptedStore(spy, slow())
    derivations.salts.clear()
    found = await asyncio.gather(*(store.get("a") for _ in range(20)))
    assert None not in found
    assert len(derivations.salts) == 1


async def test_the_event_loop_runs_on_while_a_key_is_derived(
    slow: Callable[[], Codec], derivations: Derivations
) -> None:
    derivations.gate.clear()
    sealing = asyncio.create_task(slow().seal("a", TEXT))
    assert await asyncio.to_thread(derivations.begun.wait, 30)
    assert derivations.threads != [threading.get_ident()]
    derivations.gate.set()  # from the event loop, which the derivation waits for
    await sealing


async def test_a_request_that_was_cancelled_leaves_its_derivation_to_the_others(
    slow: Callable[[], Codec], derivations: Derivations
) -> None:
    codec = slow()
    derivations.gate.clear()
    first, second = (asyncio.create_task(codec.seal("a", TEXT)) for _ in range(2))
    assert await asyncio.to_thread(derivations.begun.wait, 30)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    derivations.gate.set()
    assert await codec.open("a", await second) == TEXT
    assert len(derivations.salts) == 1


async def test_the_least_recently_used_key_is_forgotten(
    monkeypatch: pytest.MonkeyPatch, derivations: Derivations
) -> None:
    monkeypatch.setattr(derived_keys, "MOST", 2)
    texts = [await ConnectMongoCrypto(SECRET).seal("a", TEXT) for _ in range(3)]
    codec = ConnectMongoCrypto(SECRET)
    derivations.salts.clear()
    for text in (texts[0], texts[1], texts[0], texts[2], texts[0]):
        await codec.open("a", text)
    assert len(derivations.salts) == 3
    await codec.open("a", texts[1])
    assert len(derivations.salts) == 4


def test_a_codec_serves_one_event_loop_after_another(slow: Callable[[], Codec], derivations: Derivations) -> None:
    codec = slow()
    derivations.gate.clear()

    async def give_up() -> None:
        sealing = asyncio.create_task(codec.seal("a", TEXT))
        assert await asyncio.to_thread(derivations.begun.wait, 30)
        sealing.cancel()
        derivations.gate.set()

    def run(step: Coroutine[Any, Any, object]) -> object:
        return asyncio.run(step)

    run(give_up())
    assert run(codec.open("a", str(run(codec.seal("a", TEXT))))) == TEXT


def test_the_salt_is_another_in_every_codec(derivations: Derivations) -> None:
    texts = [asyncio.run(ConnectMongoCrypto(SECRET).seal("a", TEXT)) for _ in range(2)]
    assert len(texts) == len(set(derivations.salts)) == 2
    assert {len(salt) for salt in derivations.salts} == {128}


# Imports


def test_the_store_itself_needs_no_cryptography() -> None:
    code = "import sys; sys.modules['cryptography'] = None; import asgi_session, asgi_session.stores.encrypted"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False
    )
    assert done.returncode == 0, done.stderr
