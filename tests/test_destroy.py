"""`destroy`: the record is deleted, the cookie taken back, and nothing brings the session to life again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from asgi_session import Cookie, Flash, Session, SessionDestroyed

from .clients import Browser, attributes, put, set_cookie
from .clock import Clock
from .spy_store import SpyStore


def destroy(request: Request) -> None:
    request.state.session.destroy()


async def signed_in(**options: Any) -> tuple[Browser, SpyStore]:
    store = SpyStore()
    browser = Browser(store=store, **options)
    await browser.visit(put(a=1))
    store.calls.clear()
    return browser, store


async def test_the_record_is_deleted_and_the_cookie_taken_back() -> None:
    browser, store = await signed_in()
    sent = attributes(set_cookie(await browser.visit(destroy)))
    assert (sent[""], sent["max-age"]) == ("", "0")
    assert store.calls == ["get", "destroy"]
    assert await store.sids() == []
    assert "connect.sid" not in browser.cookies


async def test_the_old_cookie_is_worth_nothing_any_more() -> None:
    browser, _ = await signed_in()
    thief = Browser(app=browser.app)
    thief.cookies.update(browser.cookies)
    await browser.visit(destroy)
    assert await thief.read() == {}


async def test_a_new_session_has_nothing_to_delete() -> None:
    store = SpyStore()
    assert set_cookie(await Browser(store=store).visit(destroy)) is None
    assert store.calls == []


async def test_a_new_session_that_was_saved_before_is_deleted() -> None:
    async def handler(request: Request) -> None:
        request.session["a"] = 1
        await request.state.session.save()
        request.state.session.destroy()

    store = SpyStore()
    assert attributes(set_cookie(await Browser(store=store).visit(handler)))["max-age"] == "0"
    assert await store.sids() == []


async def test_a_cookie_that_named_no_stored_session_is_taken_back() -> None:
    browser, store = await signed_in()
    await store.inner.clear()
    assert attributes(set_cookie(await browser.visit(destroy)))["max-age"] == "0"


@pytest.mark.parametrize(
    "write",
    [
        lambda session: session.__setitem__("b", 2),
        lambda session: session.setdefault("b", 2),
        lambda session: session.update(b=2),
        lambda session: session.__ior__({"b": 2}),
        lambda session: session.__delitem__("a"),
        lambda session: session.pop("a"),
        lambda session: session.pop("a", None),
        lambda session: session.popitem(),
        lambda session: session.clear(),
        lambda session: session.increment("b"),
        lambda session: session.touch(),
        lambda session: session.regenerate(),
        lambda session: session.regenerate(keep=True),
        lambda session: session.mark_modified(),
        lambda session: Flash(session)("info", "x"),
        lambda session: Flash(session).success("x"),
        lambda session: Flash(session)("info", ["x", "y"]),
    ],
    ids=[
        *("[]=", "setdefault", "update", "|=", "del", "pop", "pop with default", "popitem", "clear"),
        *("increment", "touch", "regenerate", "regenerate keep", "mark_modified"),
        *("flash", "flash.success", "flash several"),
    ],
)
def test_later_writes_are_refused(write: Callable[[Session], Any]) -> None:
    session = Session({"a": 1})
    session.destroy()
    with pytest.raises(SessionDestroyed):
        write(session)
    assert session == {}


def test_draining_after_it_lets_no_later_write_in() -> None:
    session = Session({"a": 1})
    session.destroy()
    assert Flash(session)("b") == []
    with pytest.raises(SessionDestroyed):
        session["flash"] = {}
    assert session == {}


def test_later_reads_find_it_empty() -> None:
    session = Session({"a": 1, "flash": {"info": ["x"]}})
    session.destroy()
    flash = Flash(session)
    assert (dict(session), session.get("a"), "a" in session, len(session)) == ({}, None, False, 0)
    assert (flash(), flash("info"), flash.peek(), list(flash)) == ({}, [], {}, [])


def test_destroying_twice_is_as_good_as_once() -> None:
    session = Session({"a": 1})
    session.destroy()
    session.destroy()
    assert session.modified


async def test_a_save_carries_it_out_at_once() -> None:
    browser, store = await signed_in()

    async def handler(request: Request) -> list[str]:
        request.state.session.destroy()
        await request.state.session.save()
        return await store.sids()

    response = await browser.visit(handler)
    assert response.json() == []
    assert attributes(set_cookie(response))["max-age"] == "0"


async def test_a_save_that_destroyed_keeps_its_cookie_though_the_handler_fails_later() -> None:
    browser, _ = await signed_in()

    async def handler(request: Request) -> Response:
        request.state.session.destroy()
        await request.state.session.save()
        return Response(status_code=500)

    assert attributes(set_cookie(await browser.visit(handler)))["max-age"] == "0"


async def test_a_handler_that_fails_undoes_it() -> None:
    browser, _ = await signed_in()

    def handler(request: Request) -> Response:
        request.state.session.destroy()
        return Response(status_code=500)

    assert set_cookie(await browser.visit(handler)) is None
    assert await browser.read() == {"a": 1}


async def test_what_was_written_before_does_not_matter() -> None:
    browser, store = await signed_in()

    def handler(request: Request) -> None:
        request.session["b"] = {1}  # not even JSON
        request.state.flash.info("x")
        request.state.session.destroy()

    await browser.visit(handler)
    assert store.calls == ["get", "destroy"]


# No resurrection


LATE: dict[str, Callable[[Request], Any]] = {
    "a write": lambda request: request.session.update(b=2),
    "a write in place": lambda request: request.session["list"].append(1),
    "an increment": lambda request: request.state.session.increment("n"),
    "a flash message": lambda request: request.state.flash.info("x"),
    "an assigned age": lambda request: setattr(request.state.session.cookie, "max_age", 60),
    "emptying": lambda request: request.session.clear(),
    "destroying": destroy,
}
ENDS: dict[str, Callable[[Request], Any]] = {
    "destroyed": destroy,
    "made empty": lambda request: request.session.clear(),
    "regenerated": lambda request: request.state.session.regenerate(),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
async def test_a_request_in_flight_is_too_late_and_its_changes_are_dropped_and_logged(
    late: Any, end: Any, caplog: pytest.LogCaptureFixture
) -> None:
    browser, store = await signed_in()
    await browser.visit(put(list=[], n=1))
    (sid,) = await store.sids()

    async def overtaken(request: Request) -> str:
        await browser.visit(end)
        late(request)
        return "fine"

    response = await browser.visit(overtaken)
    assert (response.status_code, response.json(), set_cookie(response)) == (200, "fine", None)
    assert await store.sids() == []
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert sid not in caplog.text


@pytest.mark.parametrize("late", [*LATE.values(), lambda request: request.state.session.touch()], ids=[*LATE, "touch"])
async def test_a_session_that_expired_meanwhile_stays_dead(late: Any, clock: Clock) -> None:
    browser, store = await signed_in(cookie=Cookie(max_age=600))
    await browser.visit(put(list=[], n=1))

    def too_late(request: Request) -> None:
        clock.advance(601)
        late(request)

    response = await browser.visit(too_late)
    assert (response.status_code, set_cookie(response)) == (200, None)
    assert await store.sids() == []


@pytest.mark.parametrize("options", [{}, {"rolling": True}, {"touch_after": 0}, {"resave": True}], ids=str)
@pytest.mark.parametrize(
    "late",
    [
        lambda request: None,
        lambda request: request.state.session.touch(),
        lambda request: request.state.session.mark_modified(),
    ],
    ids=["nothing", "touch", "mark_modified"],
)
async def test_neither_touching_nor_rolling_nor_resaving_brings_it_back(
    late: Any, options: dict[str, Any], clock: Clock
) -> None:
    browser, store = await signed_in(cookie=Cookie(max_age=600), **options)

    async def overtaken(request: Request) -> None:
        clock.advance(100)  # a touch is due
        await browser.visit(destroy)
        late(request)

    response = await browser.visit(overtaken)
    assert (response.status_code, set_cookie(response)) == (200, None)
    assert await store.sids() == []


@pytest.mark.parametrize("change", [lambda request: None, lambda request: request.session.update(c=3)])
async def test_a_cookie_that_a_save_called_for_is_not_sent_once_the_session_is_gone(change: Any, clock: Clock) -> None:
    browser, store = await signed_in(cookie=Cookie(max_age=600))

    async def handler(request: Request) -> None:
        request.session["b"] = 2
        await request.state.session.save()
        await browser.visit(destroy)
        change(request)

    assert set_cookie(await browser.visit(handler)) is None
    assert await store.sids() == []


async def test_a_newer_login_is_not_harmed_by_a_late_sign_out() -> None:
    browser, store = await signed_in()

    async def overtaken(request: Request) -> None:
        def sign_in(request: Request) -> None:
            request.state.session.regenerate()
            request.session["user"] = "ada"

        await browser.visit(sign_in)
        request.state.session.destroy()

    assert set_cookie(await browser.visit(overtaken)) is None
    assert await browser.read() == {"user": "ada"}
    assert await store.data() == {"user": "ada"}


async def test_a_session_that_one_request_emptied_and_another_wrote_to_keeps_what_is_new() -> None:
    browser, store = await signed_in()

    async def overtaken(request: Request) -> None:
        await browser.visit(put(b=2))
        request.session.clear()

    assert set_cookie(await browser.visit(overtaken)) is None
    assert await store.data() == {"b": 2}


async def test_destroying_wins_over_a_write_that_came_between() -> None:
    browser, store = await signed_in()

    async def overtaken(request: Request) -> None:
        await browser.visit(put(b=2))
        request.state.session.destroy()

    assert attributes(set_cookie(await browser.visit(overtaken)))["max-age"] == "0"
    assert await store.sids() == []
