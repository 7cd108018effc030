"""RedisStore when many ask at once: one round trip over one connection, and each gets what it would have got alone."""

from __future__ import annotations

import asyncio
import math
import signal
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
import valkey.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from asgi_session.exceptions import StoreError
from asgi_session.stores.base import Record
from asgi_session.stores.redis import RedisStore
from asgi_session.stores.redis_connection import exchange_all
from tests.event_loop import turns
from tests.servers.process import Server
from tests.servers.redis import SLOTS, Proxy, ask, commands_sent, debian_binary, redis_process, valkey_binary
from tests.stores.test_redis import DRIVERS

RETRIES: dict[str, Any] = {"redis-py": Retry, "valkey-py": valkey.asyncio.retry.Retry}
SERVERS = {"valkey": valkey_binary, "redis": debian_binary}
NOW = math.floor(time.time())


def record(name: object, seconds: float = 10_000) -> Record:
    return Record(f'{{"name":"{name}"}}', NOW + seconds)


@pytest.fixture(params=DRIVERS)
async def driver(request: pytest.FixtureRequest) -> str:
    """redis-py, valkey-py."""
    name: str = request.param
    return name


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
async def client(
    driver: str, request: pytest.FixtureRequest, valkey_server: Server, debian_redis_server: Server
) -> AsyncIterator[Any]:
    """Each driver, with each protocol and each server."""
    port = (valkey_server if driver == "valkey-py" else debian_redis_server).port
    async with DRIVERS[driver](port=port, protocol=request.param) as client:
        yield client


@pytest.fixture
async def store(client: Any, redis_prefix: str) -> RedisStore:
    """A store that holds the sessions 0 to 9, on a server that knows the scripts."""
    return await filled(RedisStore(client, prefix=redis_prefix))


@pytest.fixture
async def proxy(valkey_server: Server) -> AsyncIterator[Proxy]:
    """A proxy before the server."""
    async with Proxy(valkey_server.port) as proxy:
        yield proxy


@pytest.fixture
async def behind_proxy(driver: str, proxy: Proxy, redis_prefix: str) -> AsyncIterator[RedisStore]:
    """The same store behind the proxy, by each driver; its client tries three times more."""
    async with DRIVERS[driver](port=proxy.port, retry=RETRIES[driver](NoBackoff(), 3)) as client:
        yield await filled(RedisStore(client, prefix=redis_prefix))


async def filled(store: RedisStore) -> RedisStore:
    for number in range(10):
        await store.create(str(number), record(number))
    await store.get("none")
    await store.replace("none", record(1), expected=record(1))
    await store.touch("none", None)
    await store.destroy("none")
    return store


async def at_once(*calls: Coroutine[Any, Any, Any]) -> list[Any]:
    """What comes of so many calls at once, exceptions included."""
    async with asyncio.timeout(20):
        return await asyncio.gather(*calls, return_exceptions=True)


# One round trip


async def test_a_crowd_is_one_round_trip(behind_proxy: RedisStore, proxy: Proxy) -> None:
    store = behind_proxy
    before = proxy.requests
    assert await at_once(
        *[store.get(str(number)) for number in range(3)],
        *[store.replace(str(number), record("new"), expected=record(number)) for number in range(3, 6)],
        store.touch("6", None),
        store.destroy("7", expected=record(7)),
    ) == [*map(record, range(3)), *[True] * 5]
    assert proxy.requests == before + 1


async def test_each_script_has_one_key_so_that_any_server_takes_it(driver: str) -> None:
    """One that is a cluster of its own refuses several, and a proxy before several servers knows where to go."""
    with redis_process(valkey_binary(), "--cluster-enabled", "yes") as server:
        async with DRIVERS[driver](port=server.port) as client:
            await client.execute_command("CLUSTER ADDSLOTSRANGE", 0, SLOTS - 1)
            while "cluster_state:ok" not in await asyncio.to_thread(ask, server.port, "CLUSTER", "INFO"):
                pass
            store = await filled(RedisStore(client))
            assert (
                await at_once(
                    *[store.replace(str(number), record("new"), expected=record(number)) for number in range(10)],
                )
                == [True] * 10
            )


async def test_a_crowd_needs_few_connections(driver: str) -> None:
    with redis_process(valkey_binary()) as server:
        async with DRIVERS[driver](port=server.port) as client:
            store = await filled(RedisStore(client))
            await at_once(*[store.get("1") for _ in range(80)])
            assert (await client.info("clients"))["connected_clients"] <= 11


# To each its own


async def test_a_crowd_gets_what_each_would_get_alone(store: RedisStore) -> None:
    later = NOW + 50_000
    found = await at_once(
        store.get("0"),
        store.get("none"),
        store.create("new", record("new")),
        store.create("1", record("another")),
        store.replace("2", record("changed"), expected=record(2)),
        store.replace("3", record("changed"), expected=record("else")),
        store.touch("4", later),
        store.touch("none", later),
        store.touch("5", later, expected=record("else")),
        store.touch("6", later, expected=record(6)),
        store.destroy("7"),
        store.destroy("none"),
        store.destroy("8", expected=record("else")),
        store.destroy("9", expected=record(9)),
    )
    assert found == [record(0), None, True, False, True, False, True, False, False, True, True, False, False, True]
    assert await at_once(*[store.get(sid) for sid in ["new", *map(str, range(10))]]) == [
        *(record("new"), record(0), record(1), record("changed"), record(3)),
        *(Record(record(4).payload, later), record(5), Record(record(6).payload, later), None, record(8), None),
    ]


@pytest.mark.parametrize("length", [0, 1, 4096, 4097, 60_000])
async def test_a_crowd_gets_payloads_of_any_length(store: RedisStore, length: int) -> None:
    large = Record(" x" * length, NOW + 10_000)
    await store.create("large", large)
    assert await at_once(store.get("large"), store.get("1"), store.get("large")) == [large, record(1), large]


async def test_in_a_crowd_each_payload_lives_as_long_as_it_should(store: RedisStore, client: Any) -> None:
    sids = ["1", "2", "3"]
    found = await at_once(*[store.touch(sid, NOW + 10_000 * int(sid)) for sid in sids])
    assert found == [True] * 3
    assert [one.expires for one in await at_once(*[store.get(sid) for sid in sids])] == [
        NOW + seconds for seconds in (10_000, 20_000, 30_000)
    ]


async def test_of_a_crowd_that_creates_one_session_one_succeeds(store: RedisStore) -> None:
    assert sorted(await at_once(*[store.create("new", record(number)) for number in range(16)])) == [False] * 15 + [
        True
    ]


async def test_of_a_crowd_that_replaces_one_record_one_succeeds(store: RedisStore) -> None:
    found = await at_once(*[store.replace("1", record(f"by {n}"), expected=record(1)) for n in range(16)])
    assert sorted(found) == [False] * 15 + [True]
    assert await store.get("1") == record(f"by {found.index(True)}")


async def test_one_that_the_server_refuses_fails_alone(store: RedisStore, client: Any, redis_prefix: str) -> None:
    """Here, for what is under its key is no string."""
    await client.rpush(redis_prefix + "list", "x")
    found = await at_once(
        store.get("1"),
        store.get("list"),
        store.replace("2", record("changed"), expected=record(2)),
        store.replace("list", record("changed"), expected=record(2)),
        store.replace("3", record("changed"), expected=record(3)),
    )
    assert [type(one) if isinstance(one, Exception) else one for one in found] == [
        *(record(1), StoreError, True, StoreError, True)
    ]
    assert "WRONGTYPE" in str(found[3].__cause__)
    await client.delete(redis_prefix + "list")


async def test_one_that_the_user_may_not_touch_fails_alone(driver: str) -> None:
    with redis_process(valkey_binary()) as server:
        async with DRIVERS[driver](port=server.port) as client:
            await filled(RedisStore(client))
            rules = ["on", ">long-password-of-a-user", "~sess:1", "~sess:2", "+@all"]
            await client.execute_command("ACL SETUSER", "limited", *rules)
        async with DRIVERS[driver](port=server.port, username="limited", password="long-password-of-a-user") as client:
            store = RedisStore(client)
            found = await at_once(
                *[store.replace(str(number), record("new"), expected=record(number)) for number in range(4)],
                *[store.get(str(number)) for number in range(4)],
            )
        assert [type(one) if isinstance(one, Exception) else one for one in found] == [
            *(StoreError, True, True, StoreError),
            *(StoreError, record("new"), record("new"), StoreError),
        ]


# Scripts that the server does not know


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_crowd_teaches_the_server_its_scripts(driver: str, kind: str) -> None:
    with redis_process(SERVERS[kind]()) as server:
        async with DRIVERS[driver](port=server.port) as client:
            store = RedisStore(client)
            assert await at_once(*[store.create(str(n), record(n)) for n in range(20)]) == [True] * 20
            assert await at_once(*[store.get(str(n)) for n in range(20)]) == [record(n) for n in range(20)]
            await client.script_flush()
            assert await at_once(
                store.get("1"), store.replace("2", record("changed"), expected=record(2)), store.destroy("3")
            ) == [record(1), True, True]


# Connections that break


async def test_writes_whose_replies_are_lost_fail_and_are_not_sent_again_while_reads_are(
    behind_proxy: RedisStore, proxy: Proxy, valkey_server: Server
) -> None:
    store = behind_proxy
    async with commands_sent(valkey_server.port) as commands:
        proxy.lose_next_reply()
        found = await at_once(
            store.get("1"),
            store.replace("2", record("changed"), expected=record(2)),
            store.replace("3", record("changed"), expected=record(3)),
            store.get("4"),
        )
    assert [one if isinstance(one, Record) else type(one) for one in found] == [
        *(record(1), StoreError, StoreError, record(4))
    ]
    assert commands.count("EVALSHA") == 6  # the four, and the reads once more
    assert await store.get("2") == record("changed")


async def test_what_was_answered_before_the_connection_broke_is_an_answer(
    behind_proxy: RedisStore, proxy: Proxy, valkey_server: Server
) -> None:
    store = behind_proxy
    async with commands_sent(valkey_server.port) as commands:
        proxy.lose_next_reply(but=len(":1\r\n:0\r\n"))
        found = await at_once(
            store.replace("2", record("changed"), expected=record(2)),
            store.replace("3", record("changed"), expected=record("else")),
            store.touch("4", None),
            store.get("1"),
        )
    assert found[:2] == [True, False]
    assert isinstance(found[2], StoreError)
    assert found[3] == record(1)
    assert commands.count("EVALSHA") == 5  # the four, and the read once more


class Broken:
    """A connection that fails at the second reply and does not close itself, as the drivers' own do."""

    def __init__(self) -> None:
        self.is_connected, self.health_check_interval, self.socket_timeout = True, 0, 5.0
        self.reads = 0
        self.closed = False

    async def send_packed_command(self, packed: bytes, *, check_health: bool) -> None: ...

    async def read_response(self, *, disable_decoding: bool) -> int:
        self.reads += 1
        if self.reads == 2:
            raise ConnectionError
        return self.reads

    async def disconnect(self, *, nowait: bool) -> None:
        self.closed = True


async def test_replies_that_were_not_read_are_for_nobody() -> None:
    connection = Broken()
    replies = await exchange_all(connection, [(b"PING",)] * 4)
    assert (replies[0], [type(reply) for reply in replies[1:]]) == (1, [ConnectionError] * 3)
    assert (connection.reads, connection.closed) == (2, True)


async def test_a_dead_server_is_a_store_error_for_everyone(driver: str) -> None:
    with redis_process(valkey_binary()) as server:
        async with DRIVERS[driver](port=server.port, retry=RETRIES[driver](NoBackoff(), 0)) as client:
            store = await filled(RedisStore(client))
            server.kill()
            found = await at_once(store.get("1"), store.touch("2", None), store.destroy("3"))
            assert [type(error) for error in found] == [StoreError] * 3
            server.start()
            assert await at_once(store.get("1"), store.create("2", record(2))) == [None, True]


async def test_a_connection_that_was_closed_while_idle_is_no_failure(driver: str) -> None:
    with redis_process(valkey_binary()) as server:
        async with DRIVERS[driver](port=server.port, retry=RETRIES[driver](NoBackoff(), 0)) as client:
            store = await filled(RedisStore(client))
            async with DRIVERS[driver](port=server.port) as other:
                await other.client_kill_filter(_type="normal", skipme=True)
            await asyncio.sleep(0.05)  # until the client's end has noticed
            assert await at_once(store.get("1"), store.touch("2", None)) == [record(1), True]


# Callers that are cancelled


@pytest.mark.parametrize("steps", range(0, 30, 3))
async def test_after_a_cancelled_crowd_nobody_gets_its_replies(
    driver: str, steps: int, valkey_server: Server, redis_prefix: str
) -> None:
    """Cancelled after so many steps of the event loop, one after the other."""
    async with DRIVERS[driver](port=valkey_server.port, max_connections=1) as client:
        store = await filled(RedisStore(client, prefix=redis_prefix))
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(store.get(str(number))) for number in range(4)]
        tasks += [asyncio.create_task(store.touch(str(number), None)) for number in range(4)]
        await turns(steps)
        for task in tasks:
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait(tasks)
        for _ in range(2):
            found = await at_once(*[store.get(str(number)) for number in range(8)])
            assert [one.payload for one in found] == [record(number).payload for number in range(8)]
            assert not await store.destroy("never there")


async def test_one_that_is_cancelled_while_the_server_hangs_harms_no_other(driver: str) -> None:
    with redis_process(valkey_binary()) as server:
        async with DRIVERS[driver](port=server.port) as client:
            store = await filled(RedisStore(client))
            server.signal(signal.SIGSTOP)
            tasks = [asyncio.create_task(store.get(str(number))) for number in range(5)]
            await asyncio.wait(tasks, timeout=0.05)
            tasks[0].cancel()
            tasks[3].cancel()
            await asyncio.wait(tasks, timeout=0.05)
            server.signal(signal.SIGCONT)
            found = await asyncio.gather(*tasks, return_exceptions=True)
            assert [one for one in found if not isinstance(one, asyncio.CancelledError)] == [
                record(number) for number in (1, 2, 4)
            ]


async def test_the_clients_limit_ends_a_crowd(driver: str) -> None:
    with redis_process(valkey_binary()) as server:
        async with DRIVERS[driver](
            port=server.port, socket_timeout=0.2, retry=RETRIES[driver](NoBackoff(), 0)
        ) as client:
            store = await filled(RedisStore(client))
            server.signal(signal.SIGSTOP)
            found = await at_once(*[store.touch(str(number), None) for number in range(5)])
            server.signal(signal.SIGCONT)
            assert [type(error.__cause__).__name__ for error in found] == ["TimeoutError"] * 5
            assert await store.get("1") is not None
