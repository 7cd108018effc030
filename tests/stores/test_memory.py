"""MemoryStore: keeps the contract, forgets what has expired without being asked, and stays small."""

from __future__ import annotations

import gc
import math
import random
import time
import tracemalloc
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from secrets import token_urlsafe
from typing import Any, TypeVar

import pytest

from asgi_session.stores.base import Record, Store
from asgi_session.stores.memory import MemoryStore
from asgi_session.testing import StoreContract

from .broken import Correct

T = TypeVar("T")
Operation = Callable[[], Coroutine[Any, Any, object]]

DAY = 86400
BROWSER_SESSION = (
    '{"cookie":{"originalMaxAge":null,"expires":null,"secure":false,"httpOnly":true,"path":"/","sameSite":"lax"},'
)
AGED_SESSION = (
    '{"cookie":{"originalMaxAge":86400000,"expires":"2030-01-02T03:04:05.%03dZ",'
    '"secure":true,"httpOnly":true,"path":"/","sameSite":"lax"},'
)


def session(number: int) -> str:
    """A payload with 100 bytes of data that no other session has."""
    return f'{BROWSER_SESSION}"data":"{number:090}"}}'


def aged_session(number: int) -> str:
    """The same where the cookie has an age, and an expiry of its own."""
    return f'{AGED_SESSION % (number % 1000)}"data":"{number:090}"}}'


def now(step: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never suspends; fails if it does."""
    try:
        step.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    pytest.fail("a method of MemoryStore suspended")


class Clock:
    """Stands in for `time.time`."""

    def __init__(self) -> None:
        self.time = 1_900_000_000.25

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    moved = Clock()
    monkeypatch.setattr(time, "time", moved)
    return moved


@pytest.fixture
def traced() -> Iterator[None]:
    gc.collect()
    tracemalloc.start()
    yield
    tracemalloc.stop()


def fill(
    store: MemoryStore, count: int, *, expires: float | None = None, payload: Callable[[int], str] = session
) -> None:
    for number in range(count):
        now(store.create(token_urlsafe(24), Record(payload(number), expires)))


async def listed(store: Store) -> list[str]:
    return [sid async for sid in store.ids()]


class TestContract(StoreContract):
    reads_time_time = True

    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()


class TestContractWithALimit(StoreContract):
    reads_time_time = True

    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore(ttl=600, max_sessions=1000)


@pytest.mark.parametrize("seed", range(10))
async def test_it_does_what_a_simple_store_does_while_time_passes(clock: Clock, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    store, simple = MemoryStore(ttl=300), Correct()
    simple.ttl = 300
    for _ in range(1000):
        clock.time += chance.choice([0, 0, 0.001, 1, 30, 400]) * chance.random()
        sid, number = chance.choice("abcdefgh"), chance.randrange(3)
        record = Record(session(number), chance.choice([None, clock.time + chance.expovariate(1 / 100)]))
        expected = Record(session(chance.randrange(3)), None)
        operation = chance.choice(["get", "create", "create", "replace", "touch", "destroy", "list"])
        results = []
        for each in (store, simple):
            operations: dict[str, Operation] = {
                "get": partial(each.get, sid),
                "create": partial(each.create, sid, record),
                "replace": partial(each.replace, sid, record, expected=expected),
                "touch": partial(each.touch, sid, record.expires),
                "destroy": partial(each.destroy, sid, expected=expected if number else None),
                "list": partial(listed, each),
            }
            result = await operations[operation]()
            results.append(sorted(result) if isinstance(result, list) else result)
        assert results[0] == results[1]


# Construction


def test_the_default_ttl_is_two_weeks() -> None:
    assert MemoryStore().ttl == 14 * DAY


@pytest.mark.parametrize("ttl", [0, -1, math.nan, math.inf])
def test_a_ttl_that_is_not_positive_and_finite_is_refused(ttl: float) -> None:
    with pytest.raises(ValueError, match="ttl"):
        MemoryStore(ttl=ttl)


@pytest.mark.parametrize("ttl", [True, "60", None])
def test_a_ttl_that_is_no_number_is_refused(ttl: Any) -> None:
    with pytest.raises(TypeError, match="ttl"):
        MemoryStore(ttl=ttl)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="max_sessions"):
        MemoryStore(max_sessions=limit)


@pytest.mark.parametrize("limit", [1.0, "10", True])
def test_a_limit_that_is_not_an_int_is_refused(limit: Any) -> None:
    with pytest.raises(TypeError, match="max_sessions"):
        MemoryStore(max_sessions=limit)


async def test_the_repr_shows_only_counts() -> None:
    store = MemoryStore(max_sessions=9)
    await store.create("secret-id", Record('{"secret":"data"}', None))
    assert repr(store) == "<MemoryStore: 1 of at most 9 sessions>"


# Steps


def test_no_method_ever_suspends() -> None:
    store = MemoryStore(max_sessions=2)
    first, second = Record("{}", None), Record("[]", None)
    assert now(store.create("a", first)) is True
    assert now(store.get("a")) is not None
    assert now(store.replace("a", second, expected=first)) is True
    assert now(store.touch("a", None)) is True
    assert now(listed(store)) == ["a"]
    assert now(store.length()) == 1
    assert now(store.purge()) == 0
    assert now(store.destroy("a")) is True
    now(store.clear())
    now(store.aclose())


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "{}",
        '{"cookie":{"originalMaxAge":',
        '{"cookie":{"originalMaxAge":null,"expires":null',
        '{"cookie":{"originalMaxAge":null,"expires":null}}',
        '{"cookie":{"originalMaxAge":null},"expires":1,"n":{}}',
        '{"cookie":{"originalMaxAge":null,"expires":null,"path":"/}","httpOnly":true},"n":{"}":1}}',
        '{"cookie":{"originalMaxAge":1,"expires":"2030-01-02T03:04:05.678Z","path":"/é"},"n":"é🍪"}',
        '{"cookie":{"originalMaxAge":1,"expires":"%s","path":"/"}}' % ("x" * 600),
        BROWSER_SESSION + '"lone":"\ud800","pair":"\ud83d\ude00"}',
    ],
)
async def test_any_text_comes_back_however_it_is_held(payload: str) -> None:
    store = MemoryStore()
    record = Record(payload, None)
    await store.create("a", record)
    await store.touch("a", None)
    got = await store.get("a")
    assert got is not None
    assert got.payload == payload
    assert await store.replace("a", record, expected=got)


async def test_more_kinds_of_cookie_than_are_shared_come_back_unaltered() -> None:
    store = MemoryStore()
    payloads = [f'{{"cookie":{{"originalMaxAge":null,"expires":null,"path":"/{n}"}},"n":{n}}}' for n in range(600)]
    for payload in payloads:
        await store.create(payload, Record(payload, None))
    for payload in payloads:
        got = await store.get(payload)
        assert got is not None
        assert got.payload == payload


# Expiry


@pytest.mark.parametrize("operation", ["get", "create", "replace", "touch", "destroy", "length", "purge"])
async def test_any_operation_frees_everything_that_has_expired(clock: Clock, operation: str) -> None:
    store = MemoryStore(ttl=60)
    fill(store, 1000)
    clock.time += 60.01
    record = Record("{}", None)
    operations: dict[str, Operation] = {
        "get": lambda: store.get("other"),
        "create": lambda: store.create("other", record),
        "replace": lambda: store.replace("other", record, expected=record),
        "touch": lambda: store.touch("other", None),
        "destroy": lambda: store.destroy("other"),
        "length": store.length,
        "purge": store.purge,
    }
    await operations[operation]()
    assert repr(store) == f"<MemoryStore: {int(operation == 'create')} sessions>"


@pytest.mark.parametrize("life", [0.001, 1.0001, 100.3, 14 * DAY + 0.7])
@pytest.mark.parametrize("late", [0.0, 1e-6, 1e-4])
async def test_an_expiry_is_exact_for_every_method(clock: Clock, life: float, late: float) -> None:
    count, read, list_ = MemoryStore(), MemoryStore(), MemoryStore()
    expires = clock.time + life
    for store in (count, read, list_):
        await store.create("a", Record("{}", expires))
    clock.time = expires - 1e-6
    assert (await count.length(), await read.get("a"), await listed(list_)) == (1, Record("{}", expires), ["a"])
    clock.time = expires + late
    assert (await count.length(), await read.get("a"), await listed(list_)) == (0, None, [])


async def test_purge_counts_what_it_removes(clock: Clock) -> None:
    store = MemoryStore()
    fill(store, 7, expires=clock.time + 5)
    fill(store, 3)
    clock.time += 5
    assert await store.purge() == 7
    assert await store.length() == 3


async def test_touched_sessions_survive_every_look_at_them(clock: Clock) -> None:
    store = MemoryStore(ttl=100)
    await store.create("kept", Record("{}", None))
    await store.create("left", Record("{}", None))
    for _ in range(300):
        clock.time += 33
        assert await store.touch("kept", None)
    assert await listed(store) == ["kept"]


async def test_a_life_made_shorter_ends_at_its_new_end_without_being_read(clock: Clock) -> None:
    store = MemoryStore()
    await store.create("a", Record("{}", None))
    await store.touch("a", clock.time + 10)
    clock.time += 10.01
    await store.get("other")
    assert repr(store) == "<MemoryStore: 0 sessions>"


@pytest.mark.parametrize("expires", [math.nan, -math.inf, 0.0])
async def test_an_expiry_that_is_no_time_to_come_counts_as_over(expires: float) -> None:
    store = MemoryStore()
    await store.create("a", Record("{}", expires))
    await store.create("b", Record("{}", None))
    await store.touch("b", expires)
    await store.create("c", Record("{}", None))
    await store.replace("c", Record("{}", expires), expected=Record("{}", None))
    assert await listed(store) == []


@pytest.mark.parametrize("expires", [math.inf, 1e300, 1e15])
async def test_an_expiry_beyond_all_calendars_is_kept(clock: Clock, expires: float) -> None:
    store = MemoryStore()
    await store.create("a", Record("{}", expires))
    clock.time += 200 * 365 * DAY
    assert await store.get("a") == Record("{}", expires)


async def test_an_immortal_session_keeps_no_other_alive(clock: Clock) -> None:
    store = MemoryStore()
    await store.create("immortal", Record("{}", math.inf))
    await store.create("a", Record("{}", clock.time + 10))
    clock.time += 10
    assert await listed(store) == ["immortal"]


async def test_a_clock_set_back_brings_nothing_back(clock: Clock) -> None:
    store = MemoryStore(ttl=100)
    await store.create("a", Record("{}", None))
    clock.time += 100
    assert await store.get("a") is None
    clock.time -= 100
    assert await store.get("a") is None


async def test_a_clock_set_back_ends_no_life_and_lengthens_none(clock: Clock) -> None:
    store = MemoryStore(ttl=100)
    await store.create("old", Record("{}", None))
    clock.time -= 50
    await store.create("new", Record("{}", None))
    clock.time += 100.01
    assert await listed(store) == ["old"]
    clock.time += 50
    assert await listed(store) == []


async def test_sessions_that_expire_or_come_while_ids_are_listed_do_no_harm(clock: Clock) -> None:
    store = MemoryStore(ttl=100)
    fill(store, 3)
    seen = 0
    async for _ in store.ids():
        seen += 1
        clock.time += 100
        await store.create(f"new {seen}", Record("{}", None))
    assert seen == 1


# The limit


async def create_abc(store: MemoryStore) -> None:
    for sid in "abc":
        await store.create(sid, Record("{}", None))


async def test_at_the_limit_the_least_recently_created_goes_first() -> None:
    store = MemoryStore(max_sessions=3)
    await create_abc(store)
    await store.create("d", Record("{}", None))
    assert sorted(await listed(store)) == ["b", "c", "d"]


@pytest.mark.parametrize("use", ["get", "replace", "touch"])
async def test_use_saves_a_session_from_eviction(use: str) -> None:
    store = MemoryStore(max_sessions=3)
    await create_abc(store)
    record = Record("{}", None)
    uses: dict[str, Operation] = {
        "get": lambda: store.get("a"),
        "replace": lambda: store.replace("a", Record("[]", None), expected=record),
        "touch": lambda: store.touch("a", None),
    }
    await uses[use]()
    await store.create("d", record)
    await store.create("e", record)
    assert sorted(await listed(store)) == ["a", "d", "e"]


async def test_a_refused_create_evicts_nothing() -> None:
    store = MemoryStore(max_sessions=3)
    await create_abc(store)
    assert await store.create("c", Record("[]", None)) is False
    assert sorted(await listed(store)) == ["a", "b", "c"]


async def test_expired_sessions_make_room_before_anyone_is_evicted(clock: Clock) -> None:
    store = MemoryStore(max_sessions=3)
    await create_abc(store)
    await store.touch("c", clock.time + 1)
    clock.time += 1.01
    await store.create("d", Record("{}", None))
    assert sorted(await listed(store)) == ["a", "b", "d"]


async def test_a_destroyed_session_makes_room() -> None:
    store = MemoryStore(max_sessions=3)
    await create_abc(store)
    await store.destroy("b")
    await store.create("d", Record("{}", None))
    assert sorted(await listed(store)) == ["a", "c", "d"]


async def test_the_limit_holds_after_clear() -> None:
    store = MemoryStore(max_sessions=2)
    await create_abc(store)
    await store.clear()
    await create_abc(store)
    assert sorted(await listed(store)) == ["b", "c"]


async def test_the_order_of_use_survives_a_mass_logout() -> None:
    store = MemoryStore(max_sessions=1000)
    fill(store, 997)
    await create_abc(store)
    for sid in await listed(store):
        if sid not in "abc":
            await store.destroy(sid)
    await store.get("a")
    fill(store, 998)
    assert {"a", "b", "c"} & set(await listed(store)) == {"a", "c"}


# Memory


def memory() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("payload", [session, aged_session])
def test_100_000_sessions_take_at_most_365_bytes_each_and_give_them_back(
    clock: Clock, payload: Callable[[int], str]
) -> None:
    count = 100_000
    before = memory()
    store = MemoryStore()
    fill(store, count, payload=payload)
    assert (memory() - before) / count <= 365
    clock.time += 14 * DAY + 1
    now(store.get("other"))
    assert memory() - before < 20_000


@pytest.mark.usefixtures("traced")
def test_sessions_that_expire_at_any_time_take_no_more_and_give_it_back(clock: Clock) -> None:
    count = 30_000
    before = memory()
    store = MemoryStore()
    for number in range(count):
        now(store.create(token_urlsafe(24), Record(session(number), clock.time + (number + 1) * 14 * DAY / count)))
    assert (memory() - before) / count <= 365
    clock.time += 14 * DAY + 1
    now(store.get("other"))
    assert memory() - before < 20_000


@pytest.mark.usefixtures("traced")
def test_sessions_that_come_and_go_leave_nothing_behind() -> None:
    store = MemoryStore()
    before = memory()
    for _ in range(50_000):
        sid = token_urlsafe(24)
        now(store.create(sid, Record(session(1), None)))
        now(store.destroy(sid))
    assert memory() - before < 50_000


@pytest.mark.usefixtures("traced")
def test_sessions_that_are_evicted_leave_nothing_behind() -> None:
    store = MemoryStore(max_sessions=10)
    before = memory()
    fill(store, 50_000)
    assert memory() - before < 50_000


@pytest.mark.usefixtures("traced")
def test_a_session_whose_life_is_cut_again_and_again_does_not_grow(clock: Clock) -> None:
    store = MemoryStore()
    now(store.create("a", Record("{}", None)))
    before = memory()
    for number in range(20_000):
        now(store.touch("a", clock.time + 10_000 - number / 4))
    assert memory() - before < 50_000


@pytest.mark.usefixtures("traced")
def test_destroying_most_sessions_gives_most_of_the_memory_back() -> None:
    store = MemoryStore()
    before = memory()
    fill(store, 20_000)
    full = memory() - before
    for sid in now(listed(store))[100:]:
        now(store.destroy(sid))
    assert memory() - before < full / 50


# Cost, in what is done rather than in time


class Counting(MemoryStore):
    """Counts how often a session is put into a bucket, which is all that expiry costs, tidying up included."""

    moves = 0

    def _wait(self, sid: str, expires: float, now: float) -> None:
        self.moves += 1
        super()._wait(sid, expires, now)


def test_a_session_left_alone_is_moved_a_few_times_in_its_life(clock: Clock) -> None:
    store = Counting()
    count = 1000
    for number in range(count):
        now(store.create(str(number), Record("{}", None)))
        clock.time += 7.3
    while now(store.length()):
        clock.time += 61.7
    assert store.moves <= 2.5 * count


def test_touching_moves_nothing_until_its_bucket_is_due(clock: Clock) -> None:
    store = Counting()
    count = 1000
    for number in range(count):
        now(store.create(str(number), Record("{}", None)))
    for _ in range(14 * 24 - 1):
        clock.time += 3600
        for number in range(0, count, 10):
            now(store.touch(str(number), None))
    assert store.moves <= 3 * count


def test_logging_in_and_out_costs_the_same_however_many_sessions_there_are(clock: Clock) -> None:
    moves = []
    for standing in (1000, 10_000):
        store = Counting()
        fill(store, standing)
        store.moves = 0
        for number in range(10 * standing):
            clock.time += 1
            now(store.create(str(number), Record("{}", None)))
            now(store.destroy(str(number)))
        moves.append(store.moves / (10 * standing))
    assert max(moves) <= 3
