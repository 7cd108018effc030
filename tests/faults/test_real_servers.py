"""Servers that crash, hang or lose a reply: 503 in time, nothing acknowledged is lost, service returns by itself."""

from __future__ import annotations

import asyncio
import gc
import signal
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import httpx
import pytest

from asgi_session import Store
from asgi_session.stores.mongo import MongoStore
from asgi_session.stores.redis import RedisStore
from tests.faults.load import PATIENCE, Client, Load, app_on, load
from tests.servers.mongo import MongoServer, mongo_client, start_mongo
from tests.servers.process import Server
from tests.servers.redis import Proxy, debian_binary, redis_process, valkey_binary

TIMEOUT = 1.0
KINDS = ["pymongo", "motor", "redis", "valkey"]

AT_ONCE = 4
"""How many clients each store has."""

pymongo_leaves_sockets = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"
)
"""PyMongo leaves the socket of a connection attempt that was cancelled to the garbage collector."""


@pytest.fixture(scope="module")
def mongo() -> Iterator[MongoServer]:
    """A replica set of these tests' own: what it acknowledges is in its journal."""
    with start_mongo(replica_set=True) as server:
        yield server


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    """A Redis that writes to disk before it acknowledges."""
    with redis_process(debian_binary(), "--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


@pytest.fixture(scope="module")
def valkey() -> Iterator[Server]:
    """The same of Valkey."""
    with redis_process(valkey_binary(), "--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


@pytest.fixture(scope="module")
def servers(mongo: MongoServer, redis: Server, valkey: Server) -> list[Server]:
    return [mongo, redis, valkey]


@pytest.fixture
async def stores(mongo: MongoServer, redis: Server, valkey: Server) -> AsyncIterator[dict[str, Store]]:
    """A store of each kind, by name."""
    name = uuid.uuid4().hex
    stack = AsyncExitStack()
    found: dict[str, Store] = {}
    for driver in ("pymongo", "motor"):
        client = await stack.enter_async_context(mongo_client(driver, mongo.url))
        found[driver] = MongoStore(client["asgi_session_tests"][name + driver])
    for kind, server in (("redis", redis), ("valkey", valkey)):
        store = RedisStore.from_url(f"redis://127.0.0.1:{server.port}", prefix=name)
        found[kind] = await stack.enter_async_context(store)
    yield found
    async with asyncio.timeout(PATIENCE):  # a driver that hangs must not hang the whole run
        await stack.aclose()


@pytest.fixture(autouse=True)
def _silence(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", logger="asgi_session")


async def check_the_books(crew: Load) -> None:
    """Nothing acknowledged was lost, and nobody waited much longer than the deadline."""
    await crew.stop()
    for client in crew.clients:
        await client.check()
        assert client.slowest < TIMEOUT + 1


async def test_servers_that_are_killed_and_started_again(stores: dict[str, Store], servers: list[Server]) -> None:
    async with load(stores, store_timeout=TIMEOUT, clients=AT_ONCE) as crew:
        await crew.until_all_are_served()
        for server in servers:
            server.kill()
        await crew.until_all_are_refused()
        await asyncio.gather(*(asyncio.to_thread(server.start) for server in servers))
        await crew.until_all_are_served()
        await check_the_books(crew)


@pymongo_leaves_sockets
async def test_servers_that_hang_and_go_on(stores: dict[str, Store], servers: list[Server]) -> None:
    async with load(stores, store_timeout=TIMEOUT, clients=AT_ONCE) as crew:
        await crew.until_all_are_served()
        for server in servers:
            server.signal(signal.SIGSTOP)
        try:
            await crew.until_all_are_refused()
        finally:
            for server in servers:
                server.signal(signal.SIGCONT)
        begin = time.monotonic()
        await crew.until_all_are_served()
        assert time.monotonic() - begin < 10
        await check_the_books(crew)
    gc.collect()  # so that the warning comes here


@pymongo_leaves_sockets
@pytest.mark.parametrize("kind", KINDS)
async def test_requests_cancelled_at_any_time_leave_the_connections_clean(stores: dict[str, Store], kind: str) -> None:
    async with load({kind: stores[kind]}, store_timeout=5, clients=20) as crew:
        await crew.stop()
        for delay in range(20):
            requests = [asyncio.create_task(client.count()) for client in crew.clients]
            await asyncio.sleep(delay * 0.001)
            for request in requests:
                request.cancel()
            await asyncio.gather(*requests, return_exceptions=True)
        await asyncio.gather(*(client.check() for client in crew.clients))
        await asyncio.gather(*(client.count() for client in crew.clients))
    gc.collect()  # so that the warning comes here


@pytest.mark.parametrize("kind", KINDS)
async def test_a_write_whose_reply_was_lost_is_refused_and_made_once(
    kind: str, mongo: MongoServer, redis: Server, valkey: Server
) -> None:
    server = {"redis": redis, "valkey": valkey}.get(kind, mongo)
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(Proxy(server.port))
        app = app_on(await store_at(proxy.port, kind, stack), store_timeout=TIMEOUT)
        http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver")
        client = Client(kind, await stack.enter_async_context(http))
        await client.count()
        app.state.interludes.append(proxy.lose_next_reply)
        await client.count()
        assert client.refused == 1
        assert (await http.get("/look")).json() == [kind, 2]
        await client.count()
        assert (await http.get("/look")).json() == [kind, 3]


async def store_at(port: int, kind: str, stack: AsyncExitStack) -> Store:
    name = uuid.uuid4().hex
    if kind in ("redis", "valkey"):
        return await stack.enter_async_context(RedisStore.from_url(f"redis://127.0.0.1:{port}", prefix=name))
    url = f"mongodb://127.0.0.1:{port}/?directConnection=true&retryWrites=false"
    client = await stack.enter_async_context(mongo_client(kind, url))
    if kind == "motor":  # its `close` blocks until the server answers, and the proxy lives on this event loop
        stack.push_async_callback(asyncio.to_thread, client.close)
    return MongoStore(client["asgi_session_tests"][name])
