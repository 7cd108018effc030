"""Many requests in one session at once, on every store, in one process and in two: nothing is lost, nobody fails."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from asgi_session import MemoryStore, Store
from asgi_session.stores.mongo import MongoStore
from asgi_session.stores.redis import RedisStore
from tests.concurrency.crowd_app import ENVIRONMENT, crowd_app
from tests.servers.mongo import MongoServer, mongo_client
from tests.servers.process import Server


class Crowd:
    """Clients that share one session.

    Args:
        clients: one for each process that serves them.
    """

    def __init__(self, clients: list[httpx.AsyncClient]) -> None:
        self._clients = clients

    async def ask(self, path: str) -> Any:
        """The answer to one request."""
        return (await self.ask_all([path]))[0]

    async def ask_all(self, paths: list[str]) -> list[Any]:
        """The answers to requests sent at once, spread over the processes; all of them must succeed."""
        requests = [self._clients[number % len(self._clients)].get(path) for number, path in enumerate(paths)]
        responses = await asyncio.gather(*requests)
        assert {response.status_code for response in responses} == {200}
        cookies = {response.cookies["connect.sid"] for response in responses if "connect.sid" in response.cookies}
        for client in self._clients:
            for cookie in cookies:
                client.cookies.set("connect.sid", cookie)
        return [response.json() for response in responses]


@pytest.fixture(scope="module")
def two_processes(mongo_replica_set: MongoServer, debian_redis_server: Server) -> Iterator[list[str]]:
    """The URLs of two uvicorn processes that serve the app on the same stores."""
    urls = {
        "CROWD_MONGO": mongo_replica_set.url,
        "CROWD_REDIS": f"redis://127.0.0.1:{debian_redis_server.port}",
    }

    def command(port: int, folder: Path) -> list[str]:
        settings = [f"{name}={value}" for name, value in urls.items()]
        options = ["--factory", "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
        return ["env", *settings, sys.executable, "-m", "uvicorn", *options, "tests.concurrency.crowd_app:served"]

    def serves(port: int) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/redis/data").status_code == 200
        except httpx.TransportError:
            return False

    servers = [Server(command, serves) for _ in range(2)]
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(Server.start, servers))
        yield [f"http://127.0.0.1:{server.port}" for server in servers]
    finally:
        for server in servers:
            server.stop()


async def _empty_store(kind: str, request: pytest.FixtureRequest, stack: AsyncExitStack) -> Store:
    if kind == "memory":
        return MemoryStore()
    name = uuid.uuid4().hex
    if kind == "redis":
        port = request.getfixturevalue("debian_redis_server").port
        return await stack.enter_async_context(RedisStore.from_url(f"redis://127.0.0.1:{port}", prefix=f"{name}:"))
    url = request.getfixturevalue("mongo_replica_set").url
    client = await stack.enter_async_context(mongo_client(kind, url))
    return MongoStore(client["asgi_session_tests"][name])


@pytest.fixture(params=["memory", *ENVIRONMENT, *(f"{kind}, two processes" for kind in ENVIRONMENT)])
async def crowd(request: pytest.FixtureRequest) -> AsyncIterator[Crowd]:
    """Clients in one new session."""
    kind, _, processes = request.param.partition(", ")
    async with AsyncExitStack() as stack:
        if processes:
            urls = [f"{url}/{kind}" for url in request.getfixturevalue("two_processes")]
            limits = httpx.Limits(max_connections=100)
            clients = [httpx.AsyncClient(base_url=url, limits=limits, timeout=60) for url in urls]
        else:
            store = await _empty_store(kind, request, stack)
            transport = httpx.ASGITransport(crowd_app(store))
            clients = [httpx.AsyncClient(transport=transport, base_url="http://testserver")]
        for client in clients:
            await stack.enter_async_context(client)
        crowd = Crowd(clients)
        await crowd.ask("/start")
        yield crowd


async def test_each_of_200_requests_adds_its_own_key(crowd: Crowd) -> None:
    await crowd.ask_all([f"/key/key{number}" for number in range(200)])
    assert {f"key{number}" for number in range(200)} <= set(await crowd.ask("/data"))


async def test_200_increments_add_up_to_200(crowd: Crowd) -> None:
    await crowd.ask_all(["/increment"] * 200)
    assert (await crowd.ask("/data"))["n"] == 200


async def test_of_50_claims_of_one_message_one_gets_it(crowd: Crowd) -> None:
    answers = await crowd.ask_all(["/claim"] * 50)
    assert sorted(answers) == [[]] * 49 + [["hello"]]
    assert "flash" not in await crowd.ask("/data")


async def test_of_50_drains_of_one_message_at_least_one_gets_it_and_it_is_gone(crowd: Crowd) -> None:
    answers = await crowd.ask_all(["/drain"] * 50)
    assert ["hello"] in answers
    assert "flash" not in await crowd.ask("/data")


async def test_every_added_message_is_claimed_once_or_still_there(crowd: Crowd) -> None:
    added = [f"message{number}" for number in range(60)]
    paths = [path for message in added for path in (f"/add/{message}", "/claim")]
    answers = await crowd.ask_all(paths)
    claimed = [message for path, answer in zip(paths, answers, strict=True) if path == "/claim" for message in answer]
    left = (await crowd.ask("/data")).get("flash", {}).get("info", [])
    assert sorted(claimed + left) == sorted(["hello", *added])
