"""RedisStore on real servers: Valkey and Debian's Redis, through redis-py and valkey-py, RESP2 and RESP3."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
import redis
import redis.asyncio
import valkey
import valkey.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from asgi_session.exceptions import StoreError
from asgi_session.stores.base import Record, Store
from asgi_session.stores.redis import RedisStore
from asgi_session.testing import StoreContract
from tests.event_loop import turns
from tests.servers.process import Server
from tests.servers.redis import Proxy, commands_sent, debian_binary, redis_process, valkey_binary

SECRET_SID = "sid-that-stays-secret"
SECRET_PAYLOAD = '{"cookie":{},"user":"payload-that-stays-secret"}'
DRIVERS: dict[str, Any] = {"redis-py": redis.asyncio.Redis, "valkey-py": valkey.asyncio.Valkey}
WAYS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "redis-py, RESP3": ("valkey", "redis-py", {"protocol": 3}),
    "redis-py, RESP2, decoded": ("valkey", "redis-py", {"protocol": 2, "decode_responses": True}),
    "valkey-py, RESP2": ("valkey", "valkey-py", {"protocol": 2}),
    "valkey-py, RESP3, decoded": ("valkey", "valkey-py", {"protocol": 3, "decode_responses": True}),
    "redis-py, Redis": ("redis", "redis-py", {}),
}


@pytest.fixture(params=WAYS)
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """Every way to talk to a server that should make no difference."""
    kind, driver, options = WAYS[request.param]
    server = request.getfixturevalue("valkey_server" if kind == "valkey" else "debian_redis_server")
    async with DRIVERS[driver](port=server.port, **options) as client:
        yield client


@pytest.fixture
def store(client: Any, redis_prefix: str) -> RedisStore:
    """A store for which one of the ways serves."""
    return RedisStore(client, prefix=redis_prefix)


@pytest.fixture(params=DRIVERS)
async def driver(request: pytest.FixtureRequest) -> Any:
    """The client class of redis-py, of valkey-py."""
    return DRIVERS[request.param]


@pytest.fixture
async def raw(valkey_server: Server) -> AsyncIterator[Any]:
    """A client that looks behind the store's back."""
    async with redis.asyncio.Redis(port=valkey_server.port) as client:
        yield client


@pytest.fixture
def plain(raw: Any, redis_prefix: str) -> RedisStore:
    """A store on `raw`, for what does not depend on the client."""
    return RedisStore(raw, prefix=redis_prefix)


@pytest.fixture
def move_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Stop the clock of this process at a time."""
    return lambda now: monkeypatch.setattr(time, "time", lambda: now)


def soon(seconds: float = 60) -> float:
    """A time to come, in whole seconds so that ms hold it exactly."""
    return math.floor(time.time()) + seconds


# The rules of all stores


class TestContractOnValkey(StoreContract):
    """By the server's clock: these tests wait for records to expire."""

    short_life = 0.4

    @pytest.fixture
    def store(self, plain: RedisStore) -> RedisStore:
        return plain


class TestContractOnRedis(StoreContract):
    """By this process's clock, which is moved."""

    reads_time_time = True

    @pytest.fixture
    async def store(self, debian_redis_server: Server, redis_prefix: str) -> AsyncIterator[RedisStore]:
        async with RedisStore.from_url(f"redis://127.0.0.1:{debian_redis_server.port}", prefix=redis_prefix) as store:
            yield store


# What it stores, and how


async def test_a_record_comes_back_as_it_went_in(store: RedisStore) -> None:
    record = Record('{"cookie":{},"name":"Zoë \\ud800 𝄞"}', soon())
    assert await store.create("a", record)
    assert await store.get("a") == record


async def test_an_unknown_id_is_missing(store: RedisStore) -> None:
    assert await store.get("a") is None


async def test_create_never_overwrites(store: RedisStore) -> None:
    first = Record("first", soon())
    await store.create("a", first)
    assert not await store.create("a", Record("second", soon(90)))
    assert await store.get("a") == first


async def test_replace_overwrites_what_was_expected(store: RedisStore) -> None:
    old, new = Record("ö", soon()), Record("new", soon(90))
    await store.create("a", old)
    assert await store.replace("a", new, expected=old)
    assert await store.get("a") == new


async def test_replace_writes_nothing_over_another_payload(store: RedisStore) -> None:
    theirs = Record('{"a": 1}', soon())
    await store.create("a", theirs)
    assert not await store.replace("a", Record("mine", soon()), expected=Record('{"a":1}', soon()))
    assert await store.get("a") == theirs


async def test_replace_of_a_destroyed_session_writes_nothing(store: RedisStore) -> None:
    old = Record("old", soon())
    await store.create("a", old)
    await store.destroy("a")
    assert not await store.replace("a", Record("new", soon()), expected=old)
    assert await store.get("a") is None


async def test_touch_moves_the_expiry_and_nothing_else(store: RedisStore) -> None:
    await store.create("a", Record("payload", soon()))
    later = soon(500)
    assert await store.touch("a", later)
    assert await store.get("a") == Record("payload", later)


async def test_touch_creates_nothing(store: RedisStore) -> None:
    assert not await store.touch("a", soon())
    assert await store.get("a") is None


async def test_destroy_says_whether_there_was_something(store: RedisStore) -> None:
    await store.create("a", Record("payload", soon()))
    assert [await store.destroy("a"), await store.destroy("a")] == [True, False]


async def test_destroy_spares_another_payload_than_expected(store: RedisStore) -> None:
    await store.create("a", Record("theirs", soon()))
    assert not await store.destroy("a", expected=Record("mine", None))
    assert await store.destroy("a", expected=Record("theirs", None))


async def test_the_form_in_the_database_is_connect_rediss(plain: RedisStore, raw: Any, redis_prefix: str) -> None:
    await plain.create("a", Record('{"cookie":{},"name":"Zoë"}', time.time() + 60))
    assert await raw.get(redis_prefix + "a") == '{"cookie":{},"name":"Zoë"}'.encode()
    assert 58_000 < await raw.pttl(redis_prefix + "a") <= 60_000


async def test_the_default_prefix_is_connect_rediss(raw: Any, valkey_server: Server) -> None:
    async with redis.asyncio.Redis(port=valkey_server.port, db=1) as client:
        await RedisStore(client).create("a", Record("payload", soon()))
        assert await client.getdel("sess:a") == b"payload"


@pytest.mark.parametrize("row", json.loads((Path(__file__).parents[1] / "vectors" / "redis.json").read_text()), ids=str)
async def test_what_connect_redis_sends_is_understood(row: dict[str, Any], valkey_server: Server) -> None:
    """Each command as connect-redis sent it, on a live session; the store sees the session that Express means."""
    verb, key, *rest = row["command"]
    prefix = row["options"].get("prefix", "sess:")
    client: Any = redis.asyncio.Redis(port=valkey_server.port, db=2)
    async with client:
        await client.flushdb()
        store = RedisStore(client, prefix=prefix, ttl=1000)
        sid = key.removeprefix(prefix)
        await store.create(sid, Record("before", soon(30)))
        await client.execute_command(verb, key, *rest)
        found = await store.get(sid)
    if verb == "DEL" or rest == ["-1"]:
        assert found is None
        return
    seconds = 1000 if row["options"].get("disableTTL") else int(rest[-1])
    assert found is not None
    assert found.payload == ("before" if verb == "EXPIRE" else rest[0])
    assert found.expires == pytest.approx(time.time() + seconds, abs=1.5)


# When it ends


async def test_a_record_without_expiry_lives_for_the_stores_ttl(raw: Any, redis_prefix: str) -> None:
    store = RedisStore(raw, prefix=redis_prefix, ttl=100)
    await store.create("a", Record("payload", None))
    found = await store.get("a")
    assert found is not None
    assert found.expires == pytest.approx(time.time() + 100, abs=1)


async def test_the_default_ttl_is_that_of_all_stores(plain: RedisStore) -> None:
    assert plain.ttl == Store.ttl == 1_209_600


@pytest.mark.parametrize("length", [0, 1, 511, 512, 513, 5000])
@pytest.mark.parametrize("lasts", [True, False])
async def test_a_payload_of_any_length_comes_with_its_expiry(
    plain: RedisStore, raw: Any, redis_prefix: str, length: int, lasts: bool
) -> None:
    await raw.set(redis_prefix + "a", " x" * length, px=None if lasts else 100_000)
    found = await plain.get("a")
    assert found is not None
    assert found.payload == " x" * length
    assert found.expires == pytest.approx(time.time() + (plain.ttl if lasts else 100), abs=1)


async def test_a_touch_leaves_a_key_without_expiry_as_it_is(plain: RedisStore, raw: Any, redis_prefix: str) -> None:
    await raw.set(redis_prefix + "a", "{}")
    assert await plain.touch("a", soon())
    assert await raw.ttl(redis_prefix + "a") == -1


async def test_a_key_without_expiry_lives_for_the_ttl_from_now(plain: RedisStore, raw: Any, redis_prefix: str) -> None:
    await raw.set(redis_prefix + "a", "payload")
    found = await plain.get("a")
    await raw.delete(redis_prefix + "a")
    assert found is not None
    assert found.expires == pytest.approx(time.time() + plain.ttl, abs=1)


# The clock of this process against the server's, in seconds.
CLOCKS = {"right": 0, "ahead": 3600, "behind": -2 * 86400}


@pytest.mark.parametrize("off", [CLOCKS["right"], CLOCKS["ahead"]], ids=["right", "ahead"])
async def test_a_record_ends_when_this_clock_says_so(
    off: float, plain: RedisStore, move_clock: Callable[[float], None]
) -> None:
    start = math.floor(time.time()) + off
    move_clock(start)
    await plain.create("a", Record("payload", start + 100))
    move_clock(start + 99)
    assert await plain.get("a") is not None
    move_clock(start + 100)
    assert await plain.get("a") is None


@pytest.mark.parametrize("off", CLOCKS.values(), ids=CLOCKS)
async def test_the_expiry_read_is_the_expiry_written(
    off: float, plain: RedisStore, move_clock: Callable[[float], None]
) -> None:
    start = math.floor(time.time()) + off
    move_clock(start)
    await plain.create("a", Record("payload", start + 100))
    found = await plain.get("a")
    assert found is not None
    assert found.expires == pytest.approx(start + 100, abs=0.5)


async def test_a_session_of_a_process_whose_clock_is_behind_lives_its_full_time_on_the_server(
    plain: RedisStore, raw: Any, redis_prefix: str, move_clock: Callable[[float], None]
) -> None:
    move_clock(1_000_000_000)
    await plain.create("a", Record("payload", 1_000_000_060))
    assert 58_000 < await raw.pttl(redis_prefix + "a") <= 60_000


@pytest.fixture
async def expired(plain: RedisStore, move_clock: Callable[[float], None]) -> RedisStore:
    """A store that holds "a", which has expired by this clock and not by the server's."""
    end = soon()
    await plain.create("a", Record("payload", end))
    move_clock(end)
    return plain


async def test_an_expired_record_can_be_created_anew(expired: RedisStore) -> None:
    new = Record("new", soon())
    assert await expired.create("a", new)
    assert await expired.get("a") == new


async def test_an_expired_record_is_not_replaced(expired: RedisStore) -> None:
    assert not await expired.replace("a", Record("new", soon()), expected=Record("payload", None))
    assert await expired.get("a") is None


async def test_an_expired_record_is_not_revived_by_a_touch(expired: RedisStore) -> None:
    assert not await expired.touch("a", soon())
    assert await expired.get("a") is None


async def test_an_expired_record_is_not_there_to_be_destroyed(expired: RedisStore) -> None:
    assert not await expired.destroy("a")


async def test_an_expired_record_is_not_listed(expired: RedisStore) -> None:
    assert [sid async for sid in expired.ids()] == []


async def test_redis_6_which_cannot_tell_the_time_of_death_will_do(move_clock: Callable[[float], None]) -> None:
    """Played by a newer server without the command that Redis 6 lacks."""
    with redis_process(debian_binary(), "--rename-command", "PEXPIRETIME", "") as server:
        client: Any = redis.asyncio.Redis(port=server.port)
        async with client:
            store, end = RedisStore(client), soon()
            await store.create("a", Record("payload", end))
            await client.set("sess:b", "payload")
            found = await store.get("a")
            assert found is not None
            assert found.expires == pytest.approx(end, abs=0.01)
            assert await store.length() == 2
            move_clock(end)
            assert [sid async for sid in store.ids()] == ["b"]


PAST = {"a second ago": -1.0, "the epoch": -math.inf, "not a number": math.nan}


@pytest.mark.parametrize("off", PAST.values(), ids=PAST)
async def test_what_has_expired_already_is_not_stored(off: float, plain: RedisStore) -> None:
    assert await plain.create("a", Record("payload", time.time() + off))
    assert await plain.get("a") is None


@pytest.mark.parametrize("off", PAST.values(), ids=PAST)
async def test_replacing_by_what_has_expired_already_deletes(
    off: float, plain: RedisStore, raw: Any, redis_prefix: str
) -> None:
    old = Record("old", soon())
    await plain.create("a", old)
    assert await plain.replace("a", Record("new", time.time() + off), expected=old)
    assert not await raw.exists(redis_prefix + "a")


@pytest.mark.parametrize("off", PAST.values(), ids=PAST)
async def test_a_touch_into_the_past_deletes(off: float, plain: RedisStore, raw: Any, redis_prefix: str) -> None:
    await plain.create("a", Record("payload", soon()))
    assert await plain.touch("a", time.time() + off)
    assert not await raw.exists(redis_prefix + "a")


async def test_an_absurdly_late_expiry_is_accepted(plain: RedisStore) -> None:
    assert await plain.create("a", Record("payload", math.inf))
    assert await plain.get("a") == Record("payload", 253402300799)


# One round trip

Call = Callable[[RedisStore], Coroutine[Any, Any, object]]
CALLS: dict[str, Call] = {
    "get": lambda store: store.get("old"),
    "create": lambda store: store.create("new", Record("payload", soon())),
    "replace": lambda store: store.replace("old", Record("new", soon()), expected=Record("payload", None)),
    "touch": lambda store: store.touch("old", soon()),
    "destroy": lambda store: store.destroy("old"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_call_is_one_round_trip(call: Call, plain: RedisStore, valkey_server: Server) -> None:
    await call(plain)  # teaches the server the script
    await plain.destroy("new")
    await plain.create("old", Record("payload", soon()))
    async with commands_sent(valkey_server.port) as commands:
        assert await call(plain)
    assert commands == ["EVALSHA"]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_call_after_the_server_forgot_its_scripts_costs_one_more(
    call: Call, plain: RedisStore, raw: Any, valkey_server: Server
) -> None:
    await plain.create("old", Record("payload", soon()))
    await raw.script_flush()
    async with commands_sent(valkey_server.port) as commands:
        assert await call(plain)
    assert commands == ["EVALSHA", "EVAL"]


# All records together


async def test_ids_are_those_of_this_prefix(store: RedisStore, client: Any, redis_prefix: str) -> None:
    other = RedisStore(client, prefix="other-" + redis_prefix)
    for sid in ("a", "b", "ü:{x}"):
        await store.create(sid, Record("payload", soon()))
    await other.create("c", Record("payload", soon()))
    assert {sid async for sid in store.ids()} == {"a", "b", "ü:{x}"}


async def test_wildcards_in_a_prefix_are_no_wildcards(raw: Any, redis_prefix: str) -> None:
    special = RedisStore(raw, prefix=redis_prefix + "[a]*?\\")
    await special.create("x", Record("payload", soon()))
    await RedisStore(raw, prefix=redis_prefix + "aYZ").create("x", Record("payload", soon()))
    await special.clear()
    assert [sid async for sid in RedisStore(raw, prefix=redis_prefix).ids()] == ["aYZx"]


async def test_length_counts_across_batches(store: RedisStore) -> None:
    await asyncio.gather(*(store.create(str(n), Record("payload", soon())) for n in range(1234)))
    assert await store.length() == 1234


async def test_clear_deletes_this_prefix_only(store: RedisStore, client: Any, redis_prefix: str) -> None:
    other = RedisStore(client, prefix="other-" + redis_prefix)
    await other.create("c", Record("payload", soon()))
    await asyncio.gather(*(store.create(str(n), Record("payload", soon())) for n in range(1234)))
    await store.clear()
    assert [await store.length(), await other.length()] == [0, 1]


async def test_going_through_all_keys_never_uses_keys(plain: RedisStore, valkey_server: Server) -> None:
    await plain.length()
    await plain.clear()
    async with commands_sent(valkey_server.port) as commands:
        await plain.length()
        await plain.clear()
    assert set(commands) == {"EVALSHA"}


async def test_clear_refuses_an_empty_prefix(raw: Any) -> None:
    with pytest.raises(ValueError, match="every key"):
        await RedisStore(raw, prefix="").clear()


async def test_clear_of_everything_must_be_asked_for(valkey_server: Server) -> None:
    async with redis.asyncio.Redis(port=valkey_server.port, db=3) as client:
        store = RedisStore(client, prefix="")
        await store.create("a", Record("payload", soon()))
        await store.clear(everything=True)
        assert await client.dbsize() == 0


async def test_an_id_that_is_not_utf8_is_not_listed(plain: RedisStore, raw: Any, redis_prefix: str) -> None:
    await raw.set(redis_prefix.encode() + b"\xff", "payload", ex=60)
    assert [sid async for sid in plain.ids()] == []


# Never applied twice


def retrying(driver: Any, port: int, **options: Any) -> Any:
    """A client that is set to send again when a connection breaks, at once."""
    if driver is redis.asyncio.Redis:
        return driver(port=port, retry=Retry(NoBackoff(), 3), retry_on_error=[redis.ConnectionError], **options)
    patient = valkey.asyncio.retry.Retry(valkey.backoff.NoBackoff(), 3)
    return driver(port=port, retry=patient, retry_on_error=[valkey.ConnectionError], **options)


@pytest.fixture
async def proxy(valkey_server: Server) -> AsyncIterator[Proxy]:
    """A proxy before the server."""
    async with Proxy(valkey_server.port) as proxy:
        yield proxy


async def test_the_drivers_themselves_do_send_twice(driver: Any, proxy: Proxy, redis_prefix: str) -> None:
    """Else the tests below would show nothing."""
    async with retrying(driver, proxy.port) as client:
        await client.ping()
        proxy.lose_next_reply()
        assert await client.incr(redis_prefix) == 2
        await client.delete(redis_prefix)


WRITES = {name: call for name, call in CALLS.items() if name != "get"}


@pytest.mark.parametrize("call", WRITES.values(), ids=WRITES)
async def test_a_write_whose_reply_is_lost_fails_and_is_not_sent_again(
    call: Call, driver: Any, proxy: Proxy, valkey_server: Server, redis_prefix: str
) -> None:
    async with retrying(driver, proxy.port) as client:
        store = RedisStore(client, prefix=redis_prefix)
        await call(store)  # teaches the server the script
        await store.destroy("new")
        await store.create("old", Record("payload", soon()))
        async with commands_sent(valkey_server.port) as commands:
            proxy.lose_next_reply()
            with pytest.raises(StoreError):
                await call(store)
    assert commands == ["EVALSHA"]


async def test_a_replace_whose_reply_was_lost_has_happened_once(driver: Any, proxy: Proxy, redis_prefix: str) -> None:
    async with retrying(driver, proxy.port) as client:
        store = RedisStore(client, prefix=redis_prefix)
        old, new = Record("old", soon()), Record("new", soon())
        await store.create("a", old)
        await store.replace("a", old, expected=old)
        proxy.lose_next_reply()
        with pytest.raises(StoreError):
            await store.replace("a", new, expected=old)
        assert await store.get("a") == new


async def test_a_read_whose_reply_is_lost_follows_the_clients_retry_settings(
    driver: Any, proxy: Proxy, redis_prefix: str
) -> None:
    async with retrying(driver, proxy.port) as client:
        store = RedisStore(client, prefix=redis_prefix)
        record = Record("payload", soon())
        await store.create("a", record)
        await store.get("a")
        proxy.lose_next_reply()
        assert await store.get("a") == record


async def test_the_callers_retry_settings_stay_as_they_are(driver: Any, proxy: Proxy, redis_prefix: str) -> None:
    async with retrying(driver, proxy.port, max_connections=1) as client:
        await RedisStore(client, prefix=redis_prefix).create("a", Record("payload", soon()))
        proxy.lose_next_reply()
        assert await client.ping()


# More calls than connections


async def test_300_calls_at_once_wait_for_the_default_pool(store: RedisStore) -> None:
    await store.create("a", Record("payload", soon()))
    found = await asyncio.gather(*(store.get("a") for _ in range(150)), *(store.touch("a", soon()) for _ in range(150)))
    assert all(found)


async def test_300_calls_at_once_take_turns_in_a_small_pool(
    driver: Any, valkey_server: Server, redis_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody finds the pool empty and has to ask again.
    monkeypatch.setattr("asgi_session.stores.redis_pool._RECHECK", 3600)
    async with driver(port=valkey_server.port, max_connections=3) as client:
        store = RedisStore(client, prefix=redis_prefix)
        await asyncio.gather(*(store.create(str(n), Record(str(n), soon())) for n in range(300)))
        found = await asyncio.gather(*(store.get(str(n)) for n in range(300)))
    assert [record.payload for record in found if record] == [str(n) for n in range(300)]


async def test_300_calls_at_once_open_100_connections_of_an_unlimited_pool() -> None:
    """Each goes alone, as the server does not know the script yet."""
    with redis_process(valkey_binary()) as server:
        unlimited: Any = valkey.asyncio.Valkey(port=server.port)
        async with unlimited, redis.asyncio.Redis(port=server.port, max_connections=1) as raw:
            store = RedisStore(unlimited)
            await asyncio.gather(*(store.get("a") for _ in range(300)))
            assert await connections(raw) == 100


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_call_waits_for_connections_that_others_use(
    call: Call, driver: Any, valkey_server: Server, redis_prefix: str
) -> None:
    async with driver(port=valkey_server.port, max_connections=1) as client:
        store = RedisStore(client, prefix=redis_prefix)
        await store.create("old", Record("payload", soon()))
        block = asyncio.create_task(client.blpop([redis_prefix + "never"], timeout=0.2))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(call(store))
        await asyncio.wait([block, waiting], return_when=asyncio.FIRST_COMPLETED)
        assert block.done()
        assert await waiting


async def test_one_store_serves_one_event_loop_after_the_other(valkey_server: Server, redis_prefix: str) -> None:
    """As a store made at import does under test clients, each of which runs a loop of its own."""
    store = RedisStore.from_url(f"redis://127.0.0.1:{valkey_server.port}?max_connections=2", prefix=redis_prefix)

    async def crowd() -> list[bool]:
        try:
            return await asyncio.gather(*(store.touch("a", soon()) for _ in range(10)))
        finally:
            await store.aclose()

    for _ in range(2):
        assert await asyncio.to_thread(asyncio.run, crowd()) == [False] * 10


# Cancelled calls


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_after_a_cancelled_call_nobody_gets_its_reply(
    call: Call, driver: Any, valkey_server: Server, redis_prefix: str
) -> None:
    """Cancelled after so many steps of the event loop; with one connection, which is lost if it isn't given back."""
    async with driver(port=valkey_server.port, max_connections=1) as client:
        store = RedisStore(client, prefix=redis_prefix)
        mine = Record("mine", soon())
        await store.create("mine", mine)
        for steps in range(30):
            task = asyncio.create_task(call(store))
            await turns(steps)
            task.cancel()
            await asyncio.wait([task])
            async with asyncio.timeout(5):
                assert await store.get("mine") == mine
                assert not await store.destroy("never there")


async def test_a_call_cancelled_while_the_server_hangs_leaves_the_pool_clean(driver: Any) -> None:
    with redis_process(valkey_binary()) as server:
        async with driver(port=server.port, max_connections=1) as client:
            store = RedisStore(client)
            a, b = Record("a", soon()), Record("b", soon())
            await store.create("a", a)
            await store.create("b", b)
            for call in (lambda: store.get("a"), lambda: store.touch("a", soon())):
                server.signal(signal.SIGSTOP)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await call()
                server.signal(signal.SIGCONT)
                assert await store.get("b") == b


async def test_a_call_cancelled_while_others_hold_the_pool_gives_its_connection_back(
    driver: Any, valkey_server: Server, redis_prefix: str
) -> None:
    """As redis-py 8 does while it authenticates idle connections anew."""
    async with driver(port=valkey_server.port, max_connections=1) as client:
        store = RedisStore(client, prefix=redis_prefix)
        pool = client.connection_pool
        async with asyncio.timeout(5):
            for steps in range(30):
                await store.get("a")
                call = asyncio.create_task(store.get("a"))
                await turns(steps)
                async with getattr(pool, "_lock", None) or contextlib.nullcontext():
                    await asyncio.sleep(0.002)  # until the reply is there
                    call.cancel()
                    await asyncio.wait([call], timeout=0.01)
                await asyncio.wait([call])
            assert await store.get("a") is None


# The client's own limit


@pytest.mark.parametrize("size", [100, 50_000_000])  # the latter waits for the network when it is sent
async def test_a_call_ends_when_the_clients_limit_is_over(driver: Any, size: int) -> None:
    with redis_process(valkey_binary()) as server:
        async with driver(port=server.port, socket_timeout=0.2, retry=Retry(NoBackoff(), 0)) as client:
            store = RedisStore(client)
            assert await store.get("a") is None
            server.signal(signal.SIGSTOP)
            with pytest.raises(StoreError) as caught:
                async with asyncio.timeout(5):
                    await store.create("a", Record("x" * size, soon()))
            server.signal(signal.SIGCONT)
            assert type(caught.value.__cause__).__name__ == "TimeoutError"
            assert await store.get("b") is None


@pytest.mark.filterwarnings("ignore:Call to 'get_connection'")  # redis-py wants no argument, valkey-py wants one
@pytest.mark.parametrize("options", [{"socket_timeout": 7.5}, {"socket_timeout": None}, {"health_check_interval": 60}])
@pytest.mark.parametrize("callers", [1, 2])
async def test_a_connection_goes_back_as_it_came(
    driver: Any, options: dict[str, Any], callers: int, valkey_server: Server, redis_prefix: str
) -> None:
    async with driver(port=valkey_server.port, max_connections=1, **options) as client:
        store = RedisStore(client, prefix=redis_prefix)
        connection = await client.connection_pool.get_connection("PING")
        before = connection.socket_timeout
        await client.connection_pool.release(connection)
        assert await store.create("a", Record("payload", soon()))
        assert await asyncio.gather(*[store.get("a") for _ in range(callers)]) == [Record("payload", ANY)] * callers
        assert await client.connection_pool.get_connection("PING") is connection
        assert connection.socket_timeout == before
        await client.connection_pool.release(connection)


# Connections that the server closed


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("protocol", [2, 3])
async def test_a_connection_that_was_closed_while_idle_is_no_failure(call: Call, driver: Any, protocol: int) -> None:
    """As a server's idle timeout does, or a balancer's. The client sends nothing twice."""
    with redis_process(valkey_binary()) as server:
        async with driver(port=server.port, protocol=protocol, retry=Retry(NoBackoff(), 0)) as client:
            store = RedisStore(client)
            assert await store.create("old", Record("payload", soon()))
            async with driver(port=server.port) as other:
                await other.client_kill_filter(_type="normal", skipme=True)
            await asyncio.sleep(0.05)  # until the client's end has noticed
            assert await call(store)


# Failures


async def test_a_dead_server_is_a_store_error_and_a_restarted_one_serves_again(driver: Any) -> None:
    with redis_process(valkey_binary()) as server:
        async with retrying(driver, server.port) as client:
            store = RedisStore(client)
            await store.create("a", Record("payload", soon()))
            server.kill()
            for call in CALLS.values():
                with pytest.raises(StoreError):
                    await call(store)
            server.start()
            assert await store.create("a", Record("payload", soon()))


async def test_a_store_error_has_the_drivers_error_as_its_cause(driver: Any) -> None:
    async with retrying(driver, 1) as client:
        with pytest.raises(StoreError) as caught:
            await RedisStore(client).get("a")
    assert type(caught.value.__cause__).__name__ == "ConnectionError"


@pytest.mark.parametrize("call", [call for name, call in CALLS.items() if name in ("get", "replace")])
async def test_a_key_of_another_type_is_a_store_error(
    call: Call, store: RedisStore, client: Any, redis_prefix: str
) -> None:
    await client.rpush(redis_prefix + "old", "payload")
    with pytest.raises(StoreError):
        await call(store)
    await client.delete(redis_prefix + "old")


async def test_a_connection_survives_an_error_that_the_server_answered(
    driver: Any, valkey_server: Server, redis_prefix: str
) -> None:
    async with driver(port=valkey_server.port, max_connections=1) as client:
        store = RedisStore(client, prefix=redis_prefix)
        await client.rpush(redis_prefix + "a", "payload")
        with pytest.raises(StoreError):
            await store.replace("a", Record("new", soon()), expected=Record("old", None))
        record = Record("payload", soon())
        assert await store.create("b", record)
        assert await store.get("b") == record
        await client.delete(redis_prefix + "a")


async def test_a_value_that_is_not_utf8_is_missing(store: RedisStore, client: Any, redis_prefix: str) -> None:
    await client.set(redis_prefix + "a", b'{"name":"Zo\xeb"}', ex=60)
    assert await store.get("a") is None


async def test_a_value_that_is_not_utf8_is_logged_without_id_and_content(
    plain: RedisStore, raw: Any, redis_prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    await raw.set(redis_prefix + SECRET_SID, b"payload-that-stays-secret \xeb", ex=60)
    await plain.get(SECRET_SID)
    assert [(record.name, record.levelno) for record in caplog.records] == [("asgi_session", logging.WARNING)]
    assert "secret" not in caplog.text


@pytest.mark.parametrize("wrong_type", [True, False], ids=["wrong type", "no server"])
async def test_an_error_tells_neither_id_nor_payload(wrong_type: bool, raw: Any, redis_prefix: str) -> None:
    async with retrying(redis.asyncio.Redis, 1) as unreachable:
        store = RedisStore(raw if wrong_type else unreachable, prefix=redis_prefix)
        await raw.rpush(redis_prefix + SECRET_SID, "x")
        record = Record(SECRET_PAYLOAD, soon())
        with pytest.raises(StoreError) as caught:
            await store.replace(SECRET_SID, record, expected=record)
        await raw.delete(redis_prefix + SECRET_SID)
    assert "secret" not in f"{caught.value!r} {caught.value.__cause__!r}"


# How it is made


@pytest.mark.parametrize(
    "wrong",
    [redis.Redis(), valkey.Valkey(), "redis://127.0.0.1", redis.asyncio.ConnectionPool(), None],
    ids=["redis.Redis", "valkey.Valkey", "URL", "pool", "None"],
)
def test_what_is_no_asyncio_client_is_refused_with_advice(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"redis\.asyncio\.Redis"):
        RedisStore(wrong)


@pytest.mark.parametrize("ttl", [0, -1, math.inf, math.nan])
def test_a_ttl_must_be_positive_and_finite(ttl: float) -> None:
    with pytest.raises(ValueError, match="ttl"):
        RedisStore(redis.asyncio.Redis(), ttl=ttl)


@pytest.mark.parametrize("ttl", [True, "60", None])
def test_a_ttl_that_is_no_number_is_refused(ttl: Any) -> None:
    with pytest.raises(TypeError, match="ttl"):
        RedisStore(redis.asyncio.Redis(), ttl=ttl)


async def test_a_store_from_a_url_works_on_every_server(redis_url: str, redis_prefix: str) -> None:
    async with RedisStore.from_url(redis_url, prefix=redis_prefix, ttl=100) as store:
        record = Record("payload", soon())
        assert await store.create("a", record)
        assert await store.get("a") == record
        await store.clear()
        assert await store.length() == 0


async def test_a_valkey_url_uses_valkey_py(valkey_server: Server, redis_prefix: str) -> None:
    async with RedisStore.from_url(f"valkey://127.0.0.1:{valkey_server.port}", prefix=redis_prefix) as store:
        assert await store.create("a", Record("payload", soon()))


async def test_valkey_py_serves_where_redis_py_is_missing(
    valkey_server: Server, redis_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    async with RedisStore.from_url(f"redis://127.0.0.1:{valkey_server.port}", prefix=redis_prefix) as store:
        assert await store.create("a", Record("payload", soon()))


async def test_a_valkey_url_is_for_redis_py_too(
    monkeypatch: pytest.MonkeyPatch, valkey_server: Server, redis_prefix: str
) -> None:
    monkeypatch.setitem(sys.modules, "valkey.asyncio", None)
    async with RedisStore.from_url(f"valkey://127.0.0.1:{valkey_server.port}", prefix=redis_prefix) as store:
        assert await store.get("a") is None


@pytest.mark.parametrize(
    "url",
    [
        "redis://:s3/cret@db:6379",
        "redis://:s3?cret@db:6379",
        "redis://:s3#cret@db:6379",
        "redis://:s3\u2100cret@db",
        "redis://db?max_connections=s3cret",
        "valkey://:s3/cret@db:6379",
        "mysql://:s3cret@db",
    ],
)
def test_a_url_that_the_driver_does_not_take_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(ValueError, match="does not take this URL") as caught:
        RedisStore.from_url(url)
    assert "s3" not in str(caught.value)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_without_a_driver_from_url_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    monkeypatch.setitem(sys.modules, "valkey.asyncio", None)
    with pytest.raises(ImportError, match=r"asgi-session\[redis\]"):
        RedisStore.from_url("redis://127.0.0.1")


def test_the_module_imports_no_driver() -> None:
    code = "import sys, asgi_session.stores.redis; print([m for m in ('redis', 'valkey') if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed == "[]\n"


async def connections(raw: Any) -> int:
    """How many clients the server has, besides `raw` itself."""
    clients: int = (await raw.info("clients"))["connected_clients"]
    return clients - 1


async def test_aclose_closes_the_client_that_from_url_made() -> None:
    with redis_process(valkey_binary()) as server:
        async with redis.asyncio.Redis(port=server.port, max_connections=1) as raw:
            store = RedisStore.from_url(f"redis://127.0.0.1:{server.port}")
            await store.create("a", Record("payload", soon()))
            assert await connections(raw) == 1
            await store.aclose()
            deadline = time.monotonic() + 5
            while await connections(raw):  # the server notices a moment later
                assert time.monotonic() < deadline


async def test_aclose_leaves_a_client_that_was_handed_in_open(driver: Any, valkey_server: Server) -> None:
    async with driver(port=valkey_server.port, single_connection_client=True) as client:
        await client.ping()
        name = await client.client_id()
        async with RedisStore(client):
            pass
        assert await client.client_id() == name


async def test_its_repr_tells_nothing(raw: Any) -> None:
    assert "secret" not in repr(RedisStore(raw, prefix="secret:"))


def test_a_prefix_that_is_no_str_is_refused() -> None:
    with pytest.raises(TypeError, match="prefix"):
        RedisStore(redis.asyncio.Redis(), prefix=b"sess:")  # type: ignore[arg-type]
