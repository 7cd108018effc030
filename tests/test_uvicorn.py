"""The middleware under a real server: bytes over sockets, against memory, MongoDB and Redis."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, WebSocket
from starlette.background import BackgroundTask
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.types import ASGIApp
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from asgi_session import Cookie, SessionMiddleware, Store
from asgi_session.fastapi import FlashDep, SessionDep
from asgi_session.stores.mongo import MongoStore
from asgi_session.stores.redis import RedisStore
from tests.clients import SECRET
from tests.servers.mongo import MongoServer, mongo_client
from tests.servers.process import Server
from tests.spy_store import SpyStore


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[int]:
    """Serve an app on a free port of 127.0.0.1; gives the port."""
    config = uvicorn.Config(
        app,
        port=0,
        lifespan="off",
        log_config=None,
        proxy_headers=False,
        ws="websockets-sansio",
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.wait([task], timeout=0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


class Pages:
    """An API with one of everything, and the switches that its tests throw."""

    def __init__(self, store: Store, **options: Any) -> None:
        self.go_on = asyncio.Event()
        self.done = asyncio.Event()
        self.api = api = FastAPI()
        api.add_middleware(SessionMiddleware, **{"secret": SECRET, "store": store, **options})

        @api.get("/count")
        async def count(session: SessionDep) -> int:
            n: int = session.increment("n")
            return n

        @api.get("/session")
        async def whole(session: SessionDep) -> dict[str, Any]:
            return dict(session)

        @api.get("/sign-in")
        async def sign_in(session: SessionDep, flash: FlashDep) -> Response:
            session.regenerate()
            session["user"] = "ann"
            flash.info("Welcome")
            return RedirectResponse("/home")

        @api.get("/home")
        async def home(session: SessionDep, flash: FlashDep) -> list[Any]:
            return [session.get("user"), flash("info")]

        @api.get("/sign-out")
        async def sign_out(session: SessionDep) -> None:
            session.destroy()

        @api.get("/stream")
        async def stream(session: SessionDep) -> Response:
            session["begun"] = True

            async def body() -> AsyncIterator[str]:
                yield "first"
                await self.go_on.wait()
                session["ended"] = True
                yield "last"

            return StreamingResponse(body())

        @api.get("/background")
        async def background(session: SessionDep) -> Response:
            session["begun"] = True

            async def work() -> None:
                session["worked"] = True
                await session.save()
                self.done.set()

            return PlainTextResponse("ok", background=BackgroundTask(work))

        @api.get("/broken")
        async def broken(session: SessionDep) -> None:
            session["broken"] = True
            raise LookupError

        @api.websocket("/ws")
        async def ws(websocket: WebSocket, session: SessionDep) -> None:
            session["opened"] = True
            await websocket.accept()
            async for text in websocket.iter_text():
                session["heard"] = text
                if text == "save":
                    await session.save()
                await websocket.send_json(dict(session))


@pytest.fixture(params=["memory", "mongo", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """Each kind of store, on a real database where there is one."""
    if request.param == "memory":
        yield SpyStore()
    elif request.param == "mongo":
        mongo: MongoServer = request.getfixturevalue("mongo_replica_set")
        async with mongo_client("pymongo", mongo.url) as client:
            database = client[f"uvicorn_{uuid.uuid4().hex[:8]}"]
            yield MongoStore(database["sessions"])
            await client.drop_database(database.name)
    else:
        redis: Server = request.getfixturevalue("valkey_server")
        url = f"redis://127.0.0.1:{redis.port}"
        async with RedisStore.from_url(url, prefix=f"uvicorn-{uuid.uuid4().hex}:") as opened:
            yield opened


@asynccontextmanager
async def site(pages: Pages) -> AsyncIterator[tuple[int, httpx.AsyncClient]]:
    """The port of the API's server, and a client with a cookie jar."""
    async with (
        serving(pages.api) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as client,
    ):
        yield port, client


async def stored(store: Store) -> list[dict[str, Any]]:
    """The data of all sessions that are in the store."""
    records = [await store.get(sid) async for sid in store.ids()]
    payloads = [json.loads(record.payload) for record in records if record is not None]
    return [{key: value for key, value in payload.items() if key != "cookie"} for payload in payloads]


async def test_a_counter_counts(store: Store) -> None:
    async with site(Pages(store)) as (_, client):
        assert [(await client.get("/count")).json() for _ in range(5)] == [1, 2, 3, 4, 5]
    assert await stored(store) == [{"n": 5}]


async def test_a_counter_loses_nothing_to_requests_at_the_same_time(store: Store) -> None:
    async with site(Pages(store)) as (_, client):
        await client.get("/count")
        responses = await asyncio.gather(*[client.get("/count") for _ in range(30)])
        assert {response.status_code for response in responses} == {200}
        assert (await client.get("/count")).json() == 32


async def test_the_page_behind_a_redirect_sees_what_the_redirect_stored(store: Store) -> None:
    async with site(Pages(store)) as (_, client):
        for _ in range(10):
            response = await client.get("/sign-in", follow_redirects=True)
            assert response.json() == ["ann", ["Welcome"]]
        assert (await client.get("/home")).json() == ["ann", []]
    assert len(await stored(store)) == 1


async def test_a_sign_out_ends_the_session_for_all_copies_of_its_cookie(store: Store) -> None:
    async with site(Pages(store)) as (port, client):
        await client.get("/sign-in")
        copy = dict(client.cookies)
        await client.get("/sign-out")
        assert dict(client.cookies) == {}
        async with httpx.AsyncClient(cookies=copy, trust_env=False) as thief:
            assert (await thief.get(f"http://127.0.0.1:{port}/home")).json() == [None, []]
    assert await stored(store) == []


async def test_who_has_seen_a_header_can_rely_on_the_store(store: Store) -> None:
    pages = Pages(store)
    async with site(pages) as (port, client):
        async with client.stream("GET", "/stream") as response:
            assert "set-cookie" in response.headers
            assert await stored(store) == [{"begun": True}]
            other = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", cookies=response.cookies, trust_env=False)
            async with other:
                assert (await other.get("/session")).json() == {"begun": True}
            pages.go_on.set()
            assert await response.aread() == b"firstlast"
        assert (await client.get("/session")).json() == {"begun": True, "ended": True}


async def test_a_whole_body_means_that_late_changes_are_in_the_store(store: Store) -> None:
    pages = Pages(store)
    pages.go_on.set()
    async with site(pages) as (_, client):
        await client.get("/stream")
        assert await stored(store) == [{"begun": True, "ended": True}]


async def test_a_background_tasks_change_is_saved(store: Store) -> None:
    pages = Pages(store)
    async with site(pages) as (_, client):
        await client.get("/background")
        await pages.done.wait()
        assert (await client.get("/session")).json() == {"begun": True, "worked": True}


async def test_a_websocket_shares_the_session(store: Store) -> None:
    async with site(Pages(store)) as (port, client):
        await client.get("/count")
        async with connect(f"ws://127.0.0.1:{port}/ws", additional_headers=cookie_of(client)) as websocket:
            assert await stored(store) == [{"n": 1, "opened": True}]  # the handshake is over
            await websocket.send("save")
            assert json.loads(await websocket.recv()) == {"n": 1, "opened": True, "heard": "save"}
            assert (await client.get("/session")).json() == {"n": 1, "opened": True, "heard": "save"}
            assert (await client.get("/count")).json() == 2
            await websocket.send("bye")
            await websocket.recv()
    assert await stored(store) == [{"n": 2, "opened": True, "heard": "bye"}]


async def test_a_handshake_can_make_the_session(store: Store) -> None:
    async with site(Pages(store)) as (port, client):
        async with connect(f"ws://127.0.0.1:{port}/ws") as websocket:
            assert websocket.response is not None
            name, value = websocket.response.headers["set-cookie"].partition(";")[0].split("=", 1)
        client.cookies.set(name, value)
        assert (await client.get("/session")).json() == {"opened": True}


async def test_an_error_page_comes_without_cookie_and_leaves_no_trace(store: Store) -> None:
    async with site(Pages(store)) as (_, client):
        response = await client.get("/broken")
        assert response.status_code == 500
        assert "set-cookie" not in response.headers
    assert await stored(store) == []


def cookie_of(client: httpx.AsyncClient) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in client.cookies.items())}


# What needs a store that does as it is told


async def test_not_one_byte_leaves_before_the_save_is_done() -> None:
    store = SpyStore()
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        reached.set()
        await go_on.wait()

    store.before["create"] = wait
    async with serving(Pages(store).api) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /count HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        await reached.wait()
        byte = asyncio.create_task(reader.read(1))
        await asyncio.wait([byte], timeout=0.1)
        assert not byte.done()
        go_on.set()
        assert await byte == b"H"
        assert await store.data() == {"n": 1}
        assert b"set-cookie: connect.sid=s%3A" in await reader.read()
        writer.close()


async def test_a_client_that_hangs_up_during_the_save_does_not_stop_it() -> None:
    store = SpyStore()
    reached, go_on, saved = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        reached.set()
        await go_on.wait()

    async def note() -> None:
        saved.set()

    store.before["create"], store.after["create"] = wait, note
    async with serving(Pages(store).api) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /count HTTP/1.1\r\nHost: here\r\n\r\n")
        await reached.wait()
        writer.transport.abort()
        go_on.set()
        async with asyncio.timeout(5):
            await saved.wait()
    assert await store.data() == {"n": 1}


async def test_a_store_that_fails_is_503_on_the_wire() -> None:
    store = SpyStore()
    store.fail()
    async with site(Pages(store)) as (_, client):
        response = await client.get("/count")
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) > 0
        head = await client.head("/count")
        assert head.content == b""


async def test_a_store_that_fails_refuses_a_websocket_with_503() -> None:
    store = SpyStore()
    store.fail()
    async with serving(Pages(store).api) as port:
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{port}/ws")
        assert refused.value.response.status_code == 503
        assert "retry-after" in refused.value.response.headers


async def test_a_save_that_fails_on_an_open_websocket_closes_it_with_1013() -> None:
    store = SpyStore()
    async with serving(Pages(store).api) as port, connect(f"ws://127.0.0.1:{port}/ws") as websocket:
        store.fail()
        await websocket.send("save")
        with pytest.raises(ConnectionClosedError) as closed:
            await websocket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1013


async def test_two_cookie_lines_on_the_wire_are_read_as_one() -> None:
    store = SpyStore()
    async with site(Pages(store)) as (port, client):
        await client.get("/count")
        cookie = cookie_of(client)["Cookie"]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        lines = f"Cookie: a=1\r\nCookie: {cookie}\r\nConnection: close\r\n"
        writer.write(f"GET /count HTTP/1.1\r\nHost: here\r\n{lines}\r\n".encode())
        assert (await reader.read()).endswith(b"\r\n2")
        writer.close()


async def test_raw_bytes_in_a_cookie_line_do_no_harm() -> None:
    async with serving(Pages(SpyStore()).api) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b'GET /count HTTP/1.1\r\nHost: here\r\nCookie: connect.sid=\xff\xfe%zz"\r\nConnection: close\r\n\r\n'
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_behind_a_proxy_the_cookie_is_secure_where_it_is_trusted() -> None:
    for proxy, secure in ((True, True), (False, False)):
        pages = Pages(SpyStore(), proxy=proxy, cookie=Cookie(max_age=60))
        async with site(pages) as (_, client):
            response = await client.get("/count", headers={"x-forwarded-proto": "https, http"})
            assert ("secure" in response.headers["set-cookie"].lower()) is secure
