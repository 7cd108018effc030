"""One visitor, two servers, encrypted sessions: connect-mongo's options `crypto` and `cryptoAdapter`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar
from typing import Any

import httpx2
import pytest

from asgi_session.ciphers import ConnectMongoCrypto, ConnectMongoWebCrypto
from asgi_session.stores.encrypted import Codec, EncryptedStore
from tests.interop import asgi_app
from tests.interop.both import Both, Side
from tests.interop.database import opened
from tests.interop.options import Options
from tests.interop.test_express import alternate
from tests.interop.test_express_storage import while_ours_is_at_work
from tests.servers.mongo import MongoServer

SECRET = "an encryption secret of the interop tests"


@dataclass(frozen=True, kw_only=True)
class EncryptedOptions(Options):
    """Options with an encryption.

    Args:
        option: connect-mongo's: "crypto" or "webCrypto" (which stands for a `cryptoAdapter`).
        details: what it is given besides the secret, as JSON.
        codec: the same on this side.
        accept_plaintext: this side's alone.
    """

    option: str
    details: str
    codec: Callable[[], Codec]
    accept_plaintext: bool = False

    def for_express(self) -> dict[str, Any]:
        return {**super().for_express(), self.option: {"secret": SECRET, **json.loads(self.details)}}


# connect-mongo's option, what it is given, and the codec of this package
PAIRS: dict[str, tuple[str, dict[str, Any], Callable[[], Codec]]] = {
    "crypto": ("crypto", {}, lambda: ConnectMongoCrypto(SECRET)),
    "crypto-hex": (
        "crypto",
        {"algorithm": "aes-128-gcm", "hashing": "sha256", "encodeas": "hex"},
        lambda: ConnectMongoCrypto(SECRET, algorithm="aes-128-gcm", hashing="sha256", encodeas="hex"),
    ),
    "crypto-cbc": (
        "crypto",
        {"algorithm": "aes-192-cbc", "hashing": "sha384", "encodeas": "base64url"},
        lambda: ConnectMongoCrypto(SECRET, algorithm="aes-192-cbc", hashing="sha384", encodeas="base64url"),
    ),
    "webcrypto": ("webCrypto", {}, lambda: ConnectMongoWebCrypto(SECRET)),
    "webcrypto-hex": (
        "webCrypto",
        {"ivLength": 16, "encoding": "hex", "salt": "sól", "iterations": 1000},
        lambda: ConnectMongoWebCrypto(SECRET, iv_length=16, encoding="hex", salt="sól", iterations=1000),
    ),
    "webcrypto-cbc": (
        "webCrypto",
        {"algorithm": "AES-CBC", "encoding": "base64url", "iterations": 1000},
        lambda: ConnectMongoWebCrypto(SECRET, algorithm="AES-CBC", encoding="base64url", iterations=1000),
    ),
}


@pytest.fixture(params=[True, False], ids=["text", "document"])
def stringify(request: pytest.FixtureRequest) -> bool:
    """connect-mongo's `stringify`: what is encrypted is the same, what is not yet is stored in either form."""
    value: bool = request.param
    return value


@pytest.fixture(params=PAIRS)
def encrypted_options(request: pytest.FixtureRequest, mongo_replica_set: MongoServer, stringify: bool) -> Options:
    """Each format in turn."""
    option, details, codec = PAIRS[request.param]
    return EncryptedOptions(
        store="mongo",
        url=mongo_replica_set.url,
        database=f"interop-{request.param}-{stringify}",
        stringify=stringify,
        option=option,
        details=json.dumps(details),
        codec=codec,
    )


@asynccontextmanager
async def meeting(options: Options, express_url: Callable[[Options], str]) -> AsyncIterator[Both]:
    """Both sides over one database, which is empty at first."""
    assert isinstance(options, EncryptedOptions)
    jar = CookieJar()
    over_http = httpx2.AsyncHTTPTransport(verify=False)
    async with opened(options) as database:
        await database.clear()
        database.store = EncryptedStore(database.store, options.codec(), accept_plaintext=options.accept_plaintext)
        app = asgi_app.build(options, database.store)
        in_process = httpx2.ASGITransport(app=app)
        async with (
            httpx2.AsyncClient(base_url=express_url(options), cookies=jar, transport=over_http) as to_express,
            httpx2.AsyncClient(base_url="http://127.0.0.1", cookies=jar, transport=in_process) as to_ours,
        ):
            yield Both(options, Side("express", to_express), Side("ours", to_ours), app, jar, database)


@pytest.fixture
async def sealed(encrypted_options: Options, express_url: Callable[[Options], str]) -> AsyncIterator[Both]:
    """Both sides, a new browser: each format in turn."""
    async with meeting(encrypted_options, express_url) as both:
        yield both


async def test_both_sides_agree_with_a_model_over_encrypted_sessions(sealed: Both) -> None:
    await alternate(sealed, seed=11, steps=60)


async def test_a_session_of_either_side_is_stored_sealed_and_read_by_the_other(sealed: Both, first: str) -> None:
    value = {"ü": [1, "two", None, True, {"a": '\ud800 🍵 \u2028 \x07 " \\'}], "word": "marmalade"}
    side = sealed.side(first)
    for writer, reader in ((side, sealed.other(side)), (sealed.other(side), side)):
        await writer.post("/put", key="k", value=value)
        stored = await sealed.database.content(sealed.sid)
        assert isinstance(stored, str)
        assert "marmalade" not in stored
        assert not stored.startswith("{")
        assert (await reader.get("/session"))["k"] == value


async def test_a_session_that_is_read_only_keeps_its_text_whoever_reads(sealed: Both, first: str) -> None:
    side = sealed.side(first)
    await side.post("/counter")
    stored = await sealed.database.content(sealed.sid)
    assert await sealed.ours.get("/session") == await sealed.express.get("/session") == {"count": 1}
    assert await sealed.database.content(sealed.sid) == stored


async def test_what_express_wrote_meanwhile_is_neither_lost_nor_brought_back(sealed: Both) -> None:
    await sealed.express.post("/put", key="a", value=0)
    await while_ours_is_at_work(sealed, sealed.express.post("/put", key="a", value=1))
    assert await sealed.express.get("/session") == {"a": 1, "late": 1}
    old = sealed.cookie
    assert old is not None
    sealed.app.state.held.clear()
    sealed.app.state.release.clear()
    await while_ours_is_at_work(sealed, sealed.express.post("/destroy"))
    sealed.jar.set_cookie(old)
    assert await sealed.express.get("/session") == {}


async def test_what_express_left_unencrypted_is_sealed_by_the_next_write(
    encrypted_options: Options, express_url: Callable[[Options], str]
) -> None:
    assert isinstance(encrypted_options, EncryptedOptions)
    options = EncryptedOptions(**{**vars(encrypted_options), "accept_plaintext": True})
    plain = Options(**{name: getattr(options, name) for name in Options.__dataclass_fields__})
    async with meeting(options, express_url) as both:
        old_app = httpx2.AsyncHTTPTransport(verify=False)
        async with httpx2.AsyncClient(base_url=express_url(plain), cookies=both.jar, transport=old_app) as client:
            await Side("express before", client).post("/counter")
        assert isinstance(await both.database.content(both.sid), str if options.stringify else dict)
        assert await both.ours.get("/session") == {"count": 1}
        assert await both.ours.post("/counter") == 2
        assert not str(await both.database.content(both.sid)).startswith("{")
        assert await both.express.post("/counter") == 3
