"""`increment`: a counter that loses nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request

from asgi_session import Session, StoreError

from .clients import Browser, put
from .spy_store import SpyStore
from .test_merge import race, raced
from .threads import at_once


def test_a_missing_key_counts_from_zero() -> None:
    session = Session()
    assert session.increment("n") == 1
    assert session == {"n": 1}


def test_it_returns_the_new_value() -> None:
    session = Session({"n": 5})
    assert [session.increment("n"), session.increment("n", 10), session.increment("n", -1)] == [6, 16, 15]


def test_fractions_count_too() -> None:
    assert Session({"n": 1}).increment("n", 0.5) == 1.5


@pytest.mark.parametrize("value", ["1", None, True, [1], {}])
def test_a_value_that_is_no_number_is_refused(value: object) -> None:
    session = Session({"n": value})
    with pytest.raises(TypeError):
        session.increment("n")
    assert not session.modified


@pytest.mark.parametrize("by", ["1", None, True, [1], 1j])
def test_an_addend_that_is_no_number_is_refused(by: Any) -> None:
    session = Session({"n": 1})
    with pytest.raises(TypeError):
        session.increment("n", by)
    assert session == {"n": 1}


def add(by: float = 1) -> Any:
    return lambda request: request.state.session.increment("n", by)


async def test_counters_of_concurrent_requests_add_up() -> None:
    data = await raced(*[add()] * 30, n=5)
    assert data == {"n": 35}


async def test_counters_that_start_from_nothing_add_up() -> None:
    data = await raced(add(1), add(2), add(4), other=True)
    assert data == {"other": True, "n": 7}


async def test_the_counts_of_several_threads_of_one_request_add_up() -> None:
    session = Session({"n": 0})

    def count() -> None:
        for _ in range(1000):
            session.increment("n")

    await at_once(*[count] * 4)
    assert session["n"] == 4000


async def test_each_request_sees_its_own_count() -> None:
    browser = Browser()
    await browser.visit(put(n=5))
    responses = await race(add(1), add(10), browsers=[browser])
    assert [response.json() for response in responses] == [6, 15]


async def test_several_increments_of_one_request_all_count() -> None:
    def thrice(request: Request) -> None:
        for _ in range(3):
            request.state.session.increment("n")

    data = await raced(thrice, thrice, n=0)
    assert data == {"n": 6}


async def test_an_increment_after_an_assignment_is_part_of_the_assignment() -> None:
    def reset(request: Request) -> None:
        request.session["n"] = 100
        request.state.session.increment("n")

    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(n=5))

    async def overtaken(request: Request) -> None:
        reset(request)
        await browser.visit(add())

    await browser.visit(overtaken)
    assert await browser.read() == {"n": 101}


async def test_an_assignment_after_an_increment_is_an_assignment() -> None:
    browser = Browser()
    await browser.visit(put(n=5))

    async def overtaken(request: Request) -> None:
        request.state.session.increment("n")
        request.session["n"] = 100
        await browser.visit(add())

    await browser.visit(overtaken)
    assert await browser.read() == {"n": 100}


@pytest.mark.parametrize(
    "again", [lambda s: s.__setitem__("n", s["n"]), lambda s: s.update(dict(s)), lambda s: s.update(n=s["n"])]
)
async def test_an_assignment_of_the_value_that_came_of_it_leaves_it_an_increment(again: Callable[[Any], None]) -> None:
    browser = Browser()
    await browser.visit(put(n=5))

    async def overtaken(request: Request) -> None:
        request.state.session.increment("n")
        again(request.session)
        await browser.visit(add())

    await browser.visit(overtaken)
    assert await browser.read() == {"n": 7}


async def test_an_increment_of_a_key_that_another_request_deleted_counts_from_zero() -> None:
    browser = Browser()
    await browser.visit(put(n=5, other=1))

    async def overtaken(request: Request) -> None:
        request.state.session.increment("n", 2)
        await browser.visit(lambda request: request.session.pop("n"))

    await browser.visit(overtaken)
    assert await browser.read() == {"other": 1, "n": 2}


async def test_an_increment_of_what_another_request_made_a_text_is_the_later_commit() -> None:
    browser = Browser()
    await browser.visit(put(n=5))

    async def overtaken(request: Request) -> None:
        request.state.session.increment("n")
        await browser.visit(put(n="text"))

    await browser.visit(overtaken)
    assert await browser.read() == {"n": 6}


async def test_increments_before_and_after_a_save_both_count_once() -> None:
    browser = Browser()
    await browser.visit(put(n=5))

    async def handler(request: Request) -> None:
        request.state.session.increment("n")
        await request.state.session.save()
        await browser.visit(add(10))
        request.state.session.increment("n", 100)

    await browser.visit(handler)
    assert await browser.read() == {"n": 116}


@pytest.mark.parametrize("moment", ["before", "after"], ids=["before the write", "after the write"])
async def test_an_increment_whose_save_failed_counts_once_when_it_is_saved_again(moment: str) -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(n=5))

    async def handler(request: Request) -> None:
        request.state.session.increment("n")
        store.fail_once("replace", made=moment == "after")
        with pytest.raises(StoreError):
            await request.state.session.save()
        request.state.session.increment("n", 100)

    assert (await browser.visit(handler)).status_code == 200
    assert await browser.read() == {"n": 106}


@pytest.mark.parametrize(("moment", "stored"), [("before", 15), ("after", 16)])
async def test_an_increment_that_may_or_may_not_be_stored_is_refused_rather_than_counted_twice(
    moment: str, stored: int
) -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(n=5))

    async def handler(request: Request) -> None:
        request.state.session.increment("n")
        store.fail_once("replace", made=moment == "after")
        with pytest.raises(StoreError):
            await request.state.session.save()
        await browser.visit(add(10))  # now the store holds neither what was there nor what was to be written

    assert (await browser.visit(handler)).status_code == 503
    assert await browser.read() == {"n": stored}


async def test_an_assignment_that_changed_nothing_leaves_an_increment_one() -> None:
    def assign_and_count(request: Request) -> None:
        request.session["n"] = request.session["n"]
        request.state.session.increment("n")

    assert await raced(assign_and_count, lambda request: request.state.session.increment("n"), n=5) == {"n": 7}


def test_the_session_key_cookie_can_not_be_counted() -> None:
    with pytest.raises(ValueError, match="cookie"):
        Session().increment("cookie")
