"""Concurrent requests in one session: nothing is lost, and of changes to one key the later commit wins."""

from __future__ import annotations

import asyncio
import inspect
import json
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import StreamingResponse

from asgi_session import Cookie, MemoryStore, Record, SessionConflict, Store

from .clients import Browser, attributes, put, set_cookie
from .clock import START, Clock
from .spy_store import SpyStore

Handler = Callable[[Request], Any]


def yielding() -> SpyStore:
    """A store whose every call lets other tasks run first, so that commits of concurrent requests really collide."""
    store = SpyStore()
    methods = ("get", "create", "replace", "touch", "destroy")
    store.before = dict.fromkeys(methods, lambda: asyncio.sleep(0))
    return store


async def race(*handlers: Handler, browsers: list[Browser]) -> list[httpx.Response]:
    """Run requests at once: all of them have loaded the session before the first goes on."""
    arrived = asyncio.Barrier(len(handlers))

    def together(handler: Handler) -> Handler:
        async def endpoint(request: Request) -> Any:
            await arrived.wait()
            answer = handler(request)
            return await answer if inspect.isawaitable(answer) else answer

        return endpoint

    turns = [browsers[number % len(browsers)] for number in range(len(handlers))]
    return await asyncio.gather(
        *(browser.visit(together(handler)) for browser, handler in zip(turns, handlers, strict=True))
    )


async def raced(*handlers: Handler, **start: Any) -> Any:
    """The session's data after concurrent requests in it, all of which have to succeed."""
    browser = Browser(store=yielding())
    await browser.visit(put(**start))
    for response in await race(*handlers, browsers=[browser]):
        assert response.status_code == 200
    return await browser.read()


async def overtaken(late: Handler, first: Handler, **start: Any) -> Any:
    """The session's data after one request was overtaken by another between its load and its commit."""
    browser = Browser()
    await browser.visit(put(**start))

    async def handler(request: Request) -> None:
        late(request)
        await browser.visit(first)

    assert (await browser.visit(handler)).status_code == 200
    return await browser.read()


# What comes of two requests' changes


MERGES: dict[str, tuple[dict[str, Any], Handler, Handler, dict[str, Any]]] = {
    # what both began with, the request that commits first, the one that commits later, what comes of it
    "different keys": ({"a": 1, "b": 1}, put(a=2), put(b=2), {"a": 2, "b": 2}),
    "two new keys": ({"a": 1}, put(b=1), put(c=1), {"a": 1, "b": 1, "c": 1}),
    "the same key": ({"a": 1}, put(a=2), put(a=3), {"a": 3}),
    "the same new key": ({"x": 0}, put(a=2), put(a=3), {"x": 0, "a": 3}),
    "one deletes, the other writes elsewhere": (
        {"a": 1, "b": 1},
        lambda request: request.session.pop("a"),
        put(b=2),
        {"b": 2},
    ),
    "one writes, the other deletes elsewhere": (
        {"a": 1, "b": 1},
        put(b=2),
        lambda request: request.session.pop("a"),
        {"b": 2},
    ),
    "one writes, the other deletes the same": ({"a": 1, "b": 1}, put(a=2), lambda r: r.session.pop("a"), {"b": 1}),
    "one deletes, the other writes the same": (
        {"a": 1, "b": 1},
        lambda request: request.session.pop("a"),
        put(a=2),
        {"a": 2, "b": 1},
    ),
    "both delete the same": (
        {"a": 1, "b": 1},
        lambda request: request.session.pop("a"),
        lambda request: request.session.pop("a"),
        {"b": 1},
    ),
    "one in place, the other elsewhere": (
        {"list": [1], "b": 1},
        lambda request: request.session["list"].append(2),
        put(b=2),
        {"list": [1, 2], "b": 2},
    ),
    "both in place in different keys": (
        {"l": [1], "m": [1]},
        lambda request: request.session["l"].append(2),
        lambda request: request.session["m"].append(3),
        {"l": [1, 2], "m": [1, 3]},
    ),
    "both in place in the same key": (
        {"l": [1]},
        lambda request: request.session["l"].append(2),
        lambda request: request.session["l"].append(3),
        {"l": [1, 3]},
    ),
    "one writes, the other only reads": (
        {"l": [1], "b": 1},
        lambda request: request.session["l"].append(2),
        lambda request: (request.session["l"][0], request.session.update(b=2)),
        {"l": [1, 2], "b": 2},
    ),
    "one deletes, the other only read": (
        {"l": [1], "b": 1},
        lambda request: request.session.pop("l"),
        lambda request: (request.session["l"][0], request.session.update(b=2)),
        {"b": 2},
    ),
    "one writes, the other empties what it knew": ({"a": 1}, put(b=2), lambda r: r.session.clear(), {"b": 2}),
    "there and back is no change to defend": (
        {"a": 1, "b": 1},
        put(a=2),
        lambda r: (put(a=5)(r), put(a=1)(r), put(b=3)(r)),
        {"a": 2, "b": 3},
    ),
    "both queue messages": (
        {"a": 1},
        lambda request: request.state.flash.info("first"),
        lambda request: request.state.flash.info("later"),
        {"a": 1, "flash": {"info": ["first", "later"]}},
    ),
    "one drains, the other queues": (
        {"a": 1, "flash": {"info": ["old"]}},
        lambda request: request.state.flash(),
        lambda request: request.state.flash.info("new"),
        {"a": 1, "flash": {"info": ["new"]}},
    ),
    "one queues, the other drains": (
        {"a": 1, "flash": {"info": ["old"]}},
        lambda request: request.state.flash.info("new"),
        lambda request: request.state.flash(),
        {"a": 1, "flash": {"info": ["new"]}},
    ),
    "both drain": (
        {"a": 1, "flash": {"info": ["old"]}},
        lambda request: request.state.flash(),
        lambda request: request.state.flash(),
        {"a": 1},
    ),
    "one drains and queues the same again, the other drains": (
        {"a": 1, "flash": {"info": ["old"]}},
        lambda request: request.state.flash(),
        lambda request: (request.state.flash(), request.state.flash.info("old")),
        {"a": 1, "flash": {"info": ["old"]}},
    ),
    "different categories": (
        {"a": 1, "flash": {"info": ["i"], "error": ["e"]}},
        lambda request: request.state.flash("info"),
        lambda request: request.state.flash("error"),
        {"a": 1},
    ),
}


@pytest.mark.parametrize(("start", "first", "late", "expected"), MERGES.values(), ids=MERGES)
async def test_two_requests_come_together(
    start: dict[str, Any], first: Handler, late: Handler, expected: dict[str, Any]
) -> None:
    assert await overtaken(late, first, **start) == expected


async def test_a_value_set_equal_to_what_it_was_does_not_undo_anothers_change() -> None:
    assert await overtaken(lambda r: put(a=1, b=2)(r), put(a=5), a=1, b=1) == {"a": 5, "b": 2}


async def test_the_newer_state_is_seen_by_the_request_that_was_overtaken() -> None:
    browser = Browser()
    await browser.visit(put(a=1, l=[1]))

    async def handler(request: Request) -> Any:
        request.session["b"] = 2
        await browser.visit(put(a=5, c=6))
        await request.state.session.save()
        return dict(request.session)

    assert (await browser.visit(handler)).json() == {"a": 5, "l": [1], "b": 2, "c": 6}


async def test_a_list_in_hand_is_still_the_sessions_after_a_conflict() -> None:
    browser = Browser()
    await browser.visit(put(l=[1], d={"x": [1]}))

    async def handler(request: Request) -> None:
        outer, inner = request.session["l"], request.session["d"]["x"]
        request.session["b"] = 2
        await browser.visit(lambda request: (request.session["l"].append(2), request.session["d"]["x"].append(2)))
        await request.state.session.save()
        outer.append(3)
        inner.append(3)

    await browser.visit(handler)
    assert await browser.read() == {"l": [1, 2, 3], "d": {"x": [1, 2, 3]}, "b": 2}


async def test_a_dict_in_hand_shows_what_another_request_took_out_of_it() -> None:
    browser = Browser()
    await browser.visit(put(d={"x": 1, "y": {"z": 1}}))

    async def handler(request: Request) -> Any:
        outer, inner = request.session["d"], request.session["d"]["y"]
        request.session["b"] = 2
        await browser.visit(lambda request: (request.session["d"].pop("x"), request.session["d"]["y"].clear()))
        await request.state.session.save()
        return [outer, inner, outer is request.session["d"]]

    assert (await browser.visit(handler)).json() == [{"y": {}}, {}, True]


# Touches and ages


async def test_a_touch_meanwhile_is_no_conflict(clock: Clock) -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(a=1))

    async def handler(request: Request) -> None:
        await browser.visit(lambda request: request.state.session.touch())
        store.calls.clear()
        request.session["b"] = 2

    clock.advance(100)
    await browser.visit(handler)
    assert store.calls == ["replace"]


def remember(seconds: int | None) -> Handler:
    return lambda request: setattr(request.state.session.cookie, "max_age", seconds)


AGES: dict[str, tuple[Handler, Handler, int | None]] = {
    # the request that commits first, the one that commits later, the full age afterwards; it was 600
    "one assigns, the other writes": (remember(9000), put(b=2), 9000),
    "one writes, the other assigns": (put(b=2), remember(9000), 9000),
    "both assign": (remember(9000), remember(5000), 5000),
    "one forgets, the other writes": (remember(None), put(b=2), None),
    "one writes, the other forgets": (put(b=2), remember(None), None),
    "both write": (put(b=2), put(c=2), 600),
}


@pytest.mark.parametrize(("first", "late", "age"), AGES.values(), ids=AGES)
async def test_the_cookies_age_merges_as_one_key(first: Handler, late: Handler, age: int | None, clock: Clock) -> None:
    store = SpyStore()
    browser = Browser(store=store, cookie=Cookie(max_age=600))
    await browser.visit(put(a=1))

    async def handler(request: Request) -> None:
        await browser.visit(first)
        clock.advance(10)
        late(request)

    response = await browser.visit(handler)
    record = await store.only()
    cookie = json.loads(record.payload)["cookie"]
    assert cookie["originalMaxAge"] == (None if age is None else age * 1000)
    assert record.expires == START + 10 + (store.ttl if age is None else age)
    if age is not None:
        assert attributes(set_cookie(response))["max-age"] == str(age)


# Many at once


async def test_however_many_requests_collide_none_fails_and_nothing_is_lost() -> None:
    handlers = [put(**{f"key{number}": number}) for number in range(60)]
    assert await raced(*handlers, start=True) == {"start": True, **{f"key{number}": number for number in range(60)}}


async def test_the_collisions_of_these_tests_are_real() -> None:
    store = yielding()
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    await race(*[put(b=number) for number in range(10)], browsers=[browser])
    assert store.calls.count("replace") > 10


async def test_of_many_writers_of_one_key_one_wins() -> None:
    data = await raced(*[put(a=number) for number in range(20)], a=-1)
    assert data["a"] in range(20)


async def test_messages_queued_by_many_all_arrive() -> None:
    def say(number: int) -> Handler:
        return lambda request: request.state.flash.info(number)

    data = await raced(*map(say, range(30)), a=1)
    assert sorted(data["flash"]["info"]) == list(range(30))


async def test_two_processes_lose_nothing_either() -> None:
    store = yielding()
    here, there = Browser(store=store), Browser(store=store)
    await here.visit(put(n=0))
    there.cookies.update(here.cookies)
    count: list[Handler] = [lambda request: request.state.session.increment("n")] * 20
    for response in await race(*count, browsers=[here, there]):
        assert response.status_code == 200
    assert await here.read() == {"n": 20}


async def test_collisions_in_one_session_do_not_slow_down_another() -> None:
    store = yielding()
    hot, cold = Browser(store=store), Browser(store=store)
    await hot.visit(put(n=0))
    await cold.visit(put(n=0))
    store.calls.clear()
    await asyncio.gather(
        race(*[put(**{f"k{number}": 1}) for number in range(10)], browsers=[hot]), cold.visit(put(n=1))
    )
    assert await cold.read() == {"n": 1}


# A writer that is always faster


def restless(store: SpyStore) -> None:
    """Let somebody else write before every write of ours."""

    async def write_first() -> None:
        (sid,) = await store.sids()
        record = await store.inner.get(sid)
        assert record is not None
        data = json.loads(record.payload)
        data["theirs"] = data.get("theirs", 0) + 1
        await store.inner.replace(sid, Record(json.dumps(data), record.expires), expected=record)

    store.before["replace"] = write_first


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The random pauses between tries, made short."""
    monkeypatch.setattr(random, "uniform", lambda least, most: least)


@pytest.mark.usefixtures("no_pauses")
async def test_retries_are_bounded_and_answered_with_503() -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    restless(store)
    response = await browser.visit(put(a=2))
    assert (response.status_code, set_cookie(response)) == (503, None)
    assert store.calls.count("replace") < 100
    assert (await store.data())["a"] == 1


@pytest.mark.usefixtures("no_pauses")
async def test_save_says_so_and_the_changes_stay_pending() -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(a=1))

    async def handler(request: Request) -> None:
        request.session["a"] = 2
        restless(store)
        with pytest.raises(SessionConflict):
            await request.state.session.save()
        store.work()

    assert (await browser.visit(handler)).status_code == 200
    assert (await store.data())["a"] == 2


# Express beside it


async def test_a_writer_that_knows_nothing_of_us_is_noticed() -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(a=1, b=1))

    async def handler(request: Request) -> None:
        (sid,) = await store.sids()
        await store.inner.destroy(sid)
        await store.inner.create(sid, Record('{"cookie":{"originalMaxAge":null},"a":5,"express":true}', None))
        request.session["b"] = 2

    await browser.visit(handler)
    assert await store.data() == {"a": 5, "express": True, "b": 2}


@pytest.mark.parametrize("payload", ["", "[]", "not JSON", '{"a":' * 5000])
async def test_a_record_that_becomes_unreadable_is_treated_as_gone(payload: str) -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(a=1))

    async def handler(request: Request) -> None:
        (sid,) = await store.sids()
        await store.inner.destroy(sid)
        await store.inner.create(sid, Record(payload, None))
        request.session["b"] = 2

    response = await browser.visit(handler)
    assert (response.status_code, set_cookie(response)) == (200, None)
    assert (await store.only()).payload == payload


# Against a model

KEYS = st.sampled_from("abc")
STATES = st.dictionaries(KEYS, st.integers(0, 2) | st.lists(st.integers(0, 1), max_size=2), max_size=3)


@settings(max_examples=60, deadline=None)
@given(STATES.filter(bool), STATES, STATES)
def test_a_merge_is_three_way_by_key(base: dict[str, Any], theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    def become(state: dict[str, Any]) -> Handler:
        def handler(request: Request) -> None:
            for key in set(request.session) - set(state):
                del request.session[key]
            request.session.update(json.loads(json.dumps(state)))

        return handler

    theirs = {**theirs, "kept": 1}  # so that no request makes the session empty
    expected = {
        key: value
        for key in {*base, *theirs, *ours}
        if (value := ours.get(key) if ours.get(key) != base.get(key) else theirs.get(key)) is not None
    }
    assert asyncio.run(overtaken(become(ours), become(theirs), **base)) == expected


@pytest.mark.parametrize(
    ("stored", "change", "left"),
    [
        ({}, lambda session: session.update(flash="text"), "text"),
        ({}, lambda session: session.update(flash={"n": 1}), {"n": 1}),
        ({"flash": {"n": 1}}, lambda session: session.update(flash={"n": 2}), {"n": 2}),
        ({"flash": {"n": 1}}, lambda session: session.pop("flash"), None),
        ({"flash": "text"}, lambda session: session.pop("flash"), None),
    ],
    ids=["text", "a dict", "another dict", "a dict removed", "text removed"],
)
async def test_what_is_no_queue_under_the_queues_key_is_merged_like_any_other_value(
    stored: dict[str, Any], change: Handler, left: object
) -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(a=1, **stored))

    async def handler(request: Request) -> None:
        change(request.state.session)
        await browser.tab().visit(put(other=1))

    await browser.visit(handler)
    assert await store.data() == {"a": 1, "other": 1, **({} if left is None else {"flash": left})}


async def test_one_list_under_two_keys_takes_two_values_where_somebody_else_stored_them() -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(z=1))

    async def handler(request: Request) -> None:
        one = [0]
        request.session.update(a=one, b=one, c={"inner": one})
        await request.state.session.save()
        await browser.tab().visit(put(a=[1], b=[2], c={"inner": [3]}))
        request.session["d"] = 4

    await browser.visit(handler)
    assert await store.data() == {"z": 1, "a": [1], "b": [2], "c": {"inner": [3]}, "d": 4}


async def test_a_list_that_this_request_changed_under_one_key_is_not_rewritten_for_another() -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(a=[0], b=[0]))

    async def handler(request: Request) -> None:
        session = request.state.session
        session["a"] = session["b"]
        session["a"] = [session["b"]]
        await browser.tab().visit(put(b=[2]))

    await browser.visit(handler)
    assert await store.data() == {"a": [[0]], "b": [2]}


async def test_a_drained_message_that_the_handler_changed_is_drained_all_the_same() -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(flash={"info": [{"text": "hello"}]}))

    async def handler(request: Request) -> None:
        (message,) = request.state.flash("info")
        message["seen"] = True
        await browser.tab().visit(put(other=1))

    await browser.visit(handler)
    assert await store.data() == {"other": 1}


async def test_what_others_stored_is_never_written_into_an_object_of_the_applications() -> None:
    defaults: dict[str, Any] = {"theme": "light", "recent": [], "more": {"list": []}}
    browser = Browser(store=SpyStore())
    await browser.visit(put(prefs=defaults, n=0))

    async def handler(request: Request) -> None:
        request.session["prefs"] = defaults  # equal to what is stored, so no change
        request.session["n"] = 1

        def of_another_tab(other: Request) -> None:
            other.session["prefs"]["recent"].append("private")
            other.session["prefs"]["more"]["list"].append("private")

        await browser.tab().visit(of_another_tab)

    await browser.visit(handler)
    assert defaults == {"theme": "light", "recent": [], "more": {"list": []}}
    stored = await browser.read()
    assert (stored["prefs"]["recent"], stored["n"]) == (["private"], 1)


@pytest.mark.parametrize("kind", [SpyStore, MemoryStore])
async def test_nor_is_it_where_the_applications_object_was_saved_inside_of_a_loaded_one(kind: type[Store]) -> None:
    limits: list[str] = []
    browser = Browser(store=kind())
    await browser.visit(put(prefs={"limits": ["none"]}))

    async def handler(request: Request) -> None:
        request.session["prefs"]["limits"] = limits
        await request.state.session.save()
        await browser.tab().visit(put(prefs={"limits": ["private"]}))
        request.session["seen"] = 1

    await browser.visit(handler)
    assert limits == []
    assert await browser.read() == {"prefs": {"limits": ["private"]}, "seen": 1}


async def test_nor_where_the_response_saved_it() -> None:
    limits: list[str] = []
    browser = Browser()
    await browser.visit(put(prefs={"limits": ["none"]}))

    def handler(request: Request) -> StreamingResponse:
        async def body() -> AsyncIterator[str]:
            await browser.tab().visit(put(prefs={"limits": ["private"]}))
            request.session["seen"] = 1
            yield "done"

        request.session["prefs"]["limits"] = limits
        return StreamingResponse(body())

    await browser.visit(handler)
    assert limits == []
    assert await browser.read() == {"prefs": {"limits": ["private"]}, "seen": 1}


@pytest.mark.parametrize(
    ("start", "by", "theirs", "kept"),
    [
        (0, 0.5, 10**400, 0.5),  # an integer beyond all floats
        (0, 1e308, 1.7e308, 1e308),  # the sum would be infinite
        (0, 1, 10**400, 10**400 + 1),
    ],
    ids=["no float", "infinite", "large"],
)
async def test_a_counter_without_a_sum_is_assigned_and_loses_nothing_else(
    start: int, by: float, theirs: float, kept: float
) -> None:
    browser = Browser(store=SpyStore())
    await browser.visit(put(n=start))

    async def handler(request: Request) -> None:
        request.state.session.increment("n", by)
        await browser.tab().visit(put(n=theirs, k="new"))

    await browser.visit(handler)
    assert await browser.read() == {"n": kept, "k": "new"}


async def test_a_container_that_was_loaded_still_belongs_to_the_session_after_a_merge() -> None:
    browser = Browser(store=SpyStore())
    await browser.visit(put(cart=["a"], n=0))

    async def handler(request: Request) -> None:
        cart = request.session["cart"]
        for number in (1, 2):
            request.session["n"] = number
            await browser.tab().visit(lambda other: other.session["cart"].append("theirs"))
            await request.state.session.save()
        cart.append("ours")

    await browser.visit(handler)
    assert await browser.read() == {"cart": ["a", "theirs", "theirs", "ours"], "n": 2}


async def test_a_copy_of_a_key_keeps_what_was_copied() -> None:
    browser = Browser(store=SpyStore())
    await browser.visit(put(current=[1, 2]))

    async def handler(request: Request) -> None:
        request.session["previous"] = request.session["current"]
        await browser.tab().visit(lambda other: other.session["current"].append(3))

    await browser.visit(handler)
    assert await browser.read() == {"current": [1, 2, 3], "previous": [1, 2]}


async def test_rows_that_are_one_list_take_what_others_stored_in_one_of_them() -> None:
    browser = Browser(store=SpyStore())
    await browser.visit(put(board=[[0], [0]]))

    async def handler(request: Request) -> None:
        request.session["board"] = [[0]] * 2
        request.session["n"] = 1
        await browser.tab().visit(lambda other: other.session["board"][0].append(1))

    await browser.visit(handler)
    assert await browser.read() == {"board": [[0, 1], [0]], "n": 1}


@pytest.mark.parametrize(
    ("change", "same", "left"),
    [
        (lambda s: s.update(k=5, j=5), lambda s: s.update(k=5), {"k": 5, "j": 5}),
        (lambda s: (s.pop("k"), s.update(j=5)), lambda s: s.pop("k"), {"j": 5}),
    ],
    ids=["assigned", "removed"],
)
async def test_a_change_that_another_request_made_too_and_a_third_undid_is_made_by_the_last_commit(
    change: Callable[[Any], Any], same: Callable[[Any], Any], left: dict[str, Any]
) -> None:
    store = SpyStore()
    browsers = [Browser(store=store) for _ in range(2)]  # two processes: nobody hands out turns
    await browsers[0].visit(put(k=1, j=1))
    browsers[1].cookies.update(browsers[0].cookies)
    others: list[Callable[[Any], Any]] = [same, lambda session: session.update(k=7, j=7)]

    async def first_somebody_else() -> None:
        if others:
            other, step = others.pop(0), store.before.pop("replace")
            await browsers[1].visit(lambda request: other(request.state.session) and None)
            store.before["replace"] = step

    async def handler(request: Request) -> None:
        change(request.state.session)
        store.before["replace"] = first_somebody_else

    await browsers[0].visit(handler)
    assert await store.data() == left


async def test_a_session_that_is_started_afresh_while_a_save_collides_takes_nothing_over() -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(secret="old", z=0))

    async def handler(request: Request) -> None:
        session = request.state.session
        session["n"] = 1

        async def meanwhile() -> None:
            del store.before["replace"]
            await browser.tab().visit(put(z=1))
            session.regenerate()
            session["user"] = "new"

        store.before["replace"] = meanwhile
        await session.save()

    await browser.visit(handler)
    assert await store.data() == {"user": "new"}


@pytest.mark.parametrize("attempt", ["update", "pop"])
async def test_an_attempt_that_failed_makes_no_assignment_of_an_increment(attempt: str) -> None:
    browser = Browser(store=SpyStore())
    await browser.visit(put(m=0))

    async def handler(request: Request) -> None:
        session = request.state.session
        with pytest.raises((TypeError, KeyError)):
            session.update({"n": 5, 5: 2}) if attempt == "update" else session.pop("n")
        session.increment("n")
        await browser.tab().visit(lambda other: other.state.session.increment("n") and None)

    await browser.visit(handler)
    assert await browser.read() == {"m": 0, "n": 2}


@pytest.mark.parametrize("key", ["a", "b"])
async def test_a_view_that_was_handed_out_shows_what_others_stored_and_changes_in_it_are_noticed(key: str) -> None:
    browser = Browser()
    await browser.visit(put(a=[1]))

    async def handler(request: Request) -> None:
        items = request.session.items()
        await browser.tab().visit(put(b=[1]))
        request.session["c"] = 3
        await request.state.session.save()
        dict(items)[key].append("late")

    await browser.visit(handler)
    assert await browser.read() == {"a": [1], "b": [1], "c": 3, key: [1, "late"]}


async def test_a_container_assigned_with_what_is_stored_is_the_sessions_after_a_conflict() -> None:
    browser = Browser()
    await browser.visit(put(a=[1], n=0))

    async def handler(request: Request) -> None:
        mine = request.session["a"] = [1]
        request.session["n"] = 1
        await browser.tab().visit(put(b=2))
        await request.state.session.save()
        mine.append("late")

    await browser.visit(handler)
    assert await browser.read() == {"a": [1, "late"], "n": 1, "b": 2}


async def test_what_another_task_changes_while_an_equal_change_of_another_request_is_confirmed_is_saved() -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(a=1))

    async def handler(request: Request) -> None:
        session = request.state.session
        reads = 0

        async def meanwhile() -> None:
            nonlocal reads
            reads += 1
            if reads == 2:  # the first one follows the conflict, the second one confirms
                session["b"] = 2

        session["a"] = 2
        await browser.visit(put(a=2))
        store.after["get"] = meanwhile
        await session.save()
        assert reads == 2
        store.work()

    assert (await browser.visit(handler)).status_code == 200
    assert await store.data() == {"a": 2, "b": 2}
