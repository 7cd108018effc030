"""RedisStore on a cluster of three nodes, through redis-py and valkey-py."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import pytest
import redis.asyncio
import redis.crc
import valkey.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from asgi_session.exceptions import StoreError
from asgi_session.stores.base import Record
from asgi_session.stores.redis import RedisStore
from asgi_session.testing import StoreContract
from tests.event_loop import turns
from tests.servers.process import Server
from tests.servers.redis import Proxy, ask, cluster_processes, commands_sent, valkey_binary

DRIVERS: dict[str, Any] = {"redis-py": redis.asyncio.RedisCluster, "valkey-py": valkey.asyncio.ValkeyCluster}
MANY = [str(number) for number in range(300)]  # ids, of which every node holds some


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> Any:
    """The cluster client class of redis-py, of valkey-py."""
    return DRIVERS[request.param]


@pytest.fixture
async def client(driver: Any, redis_cluster: list[Server]) -> AsyncIterator[Any]:
    """A client as one makes it; it has not talked to the cluster yet."""
    async with AsyncExitStack() as stack:
        client = driver(host="127.0.0.1", port=redis_cluster[0].port)
        stack.push_async_callback(client.aclose)
        yield client


@pytest.fixture
def store(client: Any, redis_prefix: str) -> RedisStore:
    """A store on the cluster."""
    return RedisStore(client, prefix=redis_prefix)


def soon(seconds: float = 60) -> float:
    """A time to come, in whole seconds so that ms hold it exactly."""
    return math.floor(time.time()) + seconds


class TestContractOnACluster(StoreContract):
    """The rules of all stores, by this process's clock, which is moved."""

    reads_time_time = True

    @pytest.fixture
    async def store(self, redis_cluster: list[Server], redis_prefix: str) -> AsyncIterator[RedisStore]:
        async with redis.asyncio.RedisCluster(host="127.0.0.1", port=redis_cluster[0].port) as client:
            yield RedisStore(client, prefix=redis_prefix)


async def test_records_on_all_nodes_come_back(store: RedisStore) -> None:
    records = [Record(sid, soon()) for sid in MANY]
    assert all(await asyncio.gather(*(store.create(sid, record) for sid, record in zip(MANY, records, strict=True))))
    assert await asyncio.gather(*(store.get(sid) for sid in MANY)) == records


async def test_a_record_lives_and_dies_as_on_one_server(store: RedisStore) -> None:
    old, new = Record("old", soon()), Record("new", soon(90))
    assert await store.create("a", old)
    assert not await store.create("a", new)
    assert await store.replace("a", new, expected=old)
    assert not await store.replace("a", old, expected=old)
    assert await store.touch("a", soon(100))
    assert await store.get("a") == Record("new", soon(100))
    assert not await store.destroy("a", expected=old)
    assert await store.destroy("a", expected=new)
    assert await store.get("a") is None


async def test_ids_length_and_clear_reach_all_nodes(store: RedisStore) -> None:
    await asyncio.gather(*(store.create(sid, Record("payload", soon())) for sid in MANY))
    assert {sid async for sid in store.ids()} == set(MANY)
    assert await store.length() == len(MANY)
    await store.clear()
    assert await store.length() == 0


async def test_more_calls_than_connections_wait(driver: Any, redis_cluster: list[Server], redis_prefix: str) -> None:
    async with driver(host="127.0.0.1", port=redis_cluster[0].port, max_connections=3) as client:
        store = RedisStore(client, prefix=redis_prefix)
        await asyncio.gather(*(store.create(sid, Record(sid, soon())) for sid in MANY))
        found = await asyncio.gather(*(store.get(sid) for sid in MANY))
    assert [record.payload for record in found if record] == MANY


Call = Callable[[RedisStore], Coroutine[Any, Any, object]]
CALLS: dict[str, Call] = {
    "get": lambda store: store.get("old"),
    "create": lambda store: store.create("new", Record("payload", soon())),
    "replace": lambda store: store.replace("old", Record("new", soon()), expected=Record("payload", None)),
    "touch": lambda store: store.touch("old", soon()),
    "destroy": lambda store: store.destroy("old"),
}


async def prepare(call: Call, store: RedisStore) -> None:
    """Teach the cluster the call's script, and let there be "old" and no "new"."""
    await call(store)
    await store.destroy("new")
    await store.create("old", Record("payload", soon()))


async def sent_to_all(nodes: list[Server], stack: AsyncExitStack) -> list[list[str]]:
    """The commands that each node will have been sent when `stack` is closed."""
    return [await stack.enter_async_context(commands_sent(node.port)) for node in nodes]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_call_is_one_round_trip_to_one_node(call: Call, store: RedisStore, redis_cluster: list[Server]) -> None:
    await prepare(call, store)
    async with AsyncExitStack() as stack:
        sent = await sent_to_all(redis_cluster, stack)
        assert await call(store)
    assert [name for names in sent for name in names] == ["EVALSHA"]


@pytest.mark.parametrize("call", [call for name, call in CALLS.items() if name != "get"])
async def test_a_write_whose_reply_is_lost_fails_and_is_not_sent_again(
    call: Call, driver: Any, redis_cluster: list[Server], redis_prefix: str
) -> None:
    async with AsyncExitStack() as stack:
        proxies = {node.port: await stack.enter_async_context(Proxy(node.port)) for node in redis_cluster}
        client = driver(
            host="127.0.0.1",
            port=proxies[redis_cluster[0].port].port,
            address_remap=lambda address: (address[0], proxies[address[1]].port),
        )
        stack.push_async_callback(client.aclose)
        # Both keys on one node, of which we know which one it is.
        store = RedisStore(client, prefix="{" + redis_prefix + "}")
        await prepare(call, store)
        async with AsyncExitStack() as watch:
            sent = await sent_to_all(redis_cluster, watch)
            port = client.get_node_from_key("{" + redis_prefix + "}").port
            next(proxy for proxy in proxies.values() if proxy.port == port).lose_next_reply()
            with pytest.raises(StoreError):
                await call(store)
        await store.length()  # redis-py closes nothing while a failure is the last that it has seen
    assert [name for names in sent for name in names if name.startswith("EVAL")] == ["EVALSHA"]


async def test_a_write_follows_a_slot_that_has_moved(
    store: RedisStore, client: Any, redis_cluster: list[Server], redis_prefix: str
) -> None:
    await store.get("a")  # learns where the slots are

    def home(slot: int) -> int:
        return 3 * slot // 16384

    def is_empty(slot: int) -> bool:
        """Whether no other test has left a key there, which would keep it from moving."""
        return ask(redis_cluster[home(slot)].port, "CLUSTER", "COUNTKEYSINSLOT", str(slot)) == ":0\r\n"

    slots = {sid: redis.crc.key_slot(f"{redis_prefix}{sid}".encode()) for sid in map(str, range(50))}
    sid, slot = next((sid, slot) for sid, slot in slots.items() if is_empty(slot))
    names = [ask(node.port, "CLUSTER", "MYID").split("\r\n")[1] for node in redis_cluster]

    def move(source: int, target: int) -> None:
        """As in a migration: who was importing the slot takes a higher epoch, so that gossip does not give it back."""

        def set_slot(node: int, *how: str) -> None:
            assert ask(redis_cluster[node].port, "CLUSTER", "SETSLOT", str(slot), *how).startswith("+OK")

        set_slot(target, "IMPORTING", names[source])
        for node in (target, source, 3 - source - target):
            set_slot(node, "NODE", names[target])

    move(home(slot), (home(slot) + 1) % 3)
    try:
        record = Record("payload", soon())
        assert await store.create(sid, record)
        assert await store.get(sid) == record
        assert await store.destroy(sid)
    finally:
        move((home(slot) + 1) % 3, home(slot))


async def test_a_dead_node_is_a_store_error_and_a_restarted_one_serves_again(driver: Any) -> None:
    with cluster_processes(valkey_binary()) as nodes:
        async with AsyncExitStack() as stack:
            client = driver(host="127.0.0.1", port=nodes[0].port)
            stack.push_async_callback(client.aclose)
            store = RedisStore(client)
            await store.create("a", Record("payload", soon()))
            home = next(node for node in nodes if node.port == client.get_node_from_key("sess:a").port)
            home.kill()
            with pytest.raises(StoreError):
                await store.touch("a", soon())
            home.start()
            deadline = time.monotonic() + 20
            while True:
                try:
                    assert await store.create("a", Record("payload", soon()))
                    break
                except StoreError:
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.1)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_after_a_cancelled_call_nobody_gets_its_reply(call: Call, store: RedisStore) -> None:
    mine = Record("mine", soon())
    await store.create("mine", mine)
    for steps in range(20):
        task = asyncio.create_task(call(store))
        await turns(steps)
        task.cancel()
        await asyncio.wait([task])
        async with asyncio.timeout(5):
            assert await store.get("mine") == mine
            assert not await store.destroy("never there")


async def test_a_cluster_that_is_not_there_is_a_store_error() -> None:
    client: Any = redis.asyncio.RedisCluster(host="127.0.0.1", port=1, retry=Retry(NoBackoff(), 0))
    store = RedisStore(client)
    for call in (lambda: store.get("a"), lambda: store.touch("a", soon()), store.length):
        with pytest.raises(StoreError):
            await call()
    await client.aclose()


@pytest.mark.parametrize("name", DRIVERS)
def test_a_sync_cluster_client_is_refused_with_advice(name: str, redis_cluster: list[Server]) -> None:
    sync = redis.RedisCluster if name == "redis-py" else valkey.ValkeyCluster
    wrong: Any = sync(host="127.0.0.1", port=redis_cluster[0].port)
    with pytest.raises(TypeError, match="RedisCluster"):
        RedisStore(wrong)
    wrong.close()
