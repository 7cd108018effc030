"""Changes after the response began: while the body streams, in background tasks, where no cookie can go any more."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from asgi_session import Cookie, Session, SessionError, SessionMiddleware
from tests.clients import SECRET, Browser, call, cookie_header, http_scope, put, set_cookie, set_cookies
from tests.spy_store import SpyStore

Change = Callable[[Session], Any]


@pytest.fixture
def store() -> SpyStore:
    return SpyStore()


@pytest.fixture
async def browser(store: SpyStore) -> Browser:
    """A client with a stored session."""
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    store.calls.clear()
    return browser


def streaming(change: Change) -> Callable[[Request], Response]:
    """An endpoint that makes the change in the middle of its body."""

    def endpoint(request: Request) -> Response:
        async def body() -> AsyncIterator[str]:
            yield "first"
            result = change(request.state.session)
            if isinstance(result, Awaitable):
                await result
            yield "last"

        return StreamingResponse(body())

    return endpoint


def in_background(change: Change) -> Callable[[Request], Response]:
    """An endpoint that makes the change after its response."""

    async def task(session: Session) -> None:
        result = change(session)
        if isinstance(result, Awaitable):
            await result

    return lambda request: PlainTextResponse("ok", background=BackgroundTask(task, request.state.session))


LATE = pytest.mark.parametrize("late", [streaming, in_background])


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.ERROR]


# Sessions that the client knows


@LATE
async def test_a_late_change_is_saved(store: SpyStore, browser: Browser, late: Any) -> None:
    response = await browser.visit(late(lambda session: session.update(a=2)))
    assert response.status_code == 200
    assert await store.data() == {"a": 2}


@LATE
async def test_a_late_change_in_place_is_saved(store: SpyStore, late: Any) -> None:
    browser = Browser(store=store)
    await browser.visit(put(cart=["tea"]))
    await browser.visit(late(lambda session: session["cart"].append("milk")))
    assert await store.data() == {"cart": ["tea", "milk"]}


@LATE
async def test_without_a_late_change_nothing_more_is_written(store: SpyStore, browser: Browser, late: Any) -> None:
    await browser.visit(late(lambda session: session["a"]))
    assert store.calls == ["get"]


@LATE
async def test_the_last_of_several_late_changes_stays(store: SpyStore, browser: Browser, late: Any) -> None:
    def endpoint(request: Request) -> Any:
        request.session["a"] = 2
        return late(lambda session: session.update(a=3))(request)

    await browser.visit(endpoint)
    assert store.calls == ["get", "replace", "replace"]
    assert await store.data() == {"a": 3}


@LATE
async def test_a_late_increment_counts(store: SpyStore, browser: Browser, late: Any) -> None:
    def endpoint(request: Request) -> Any:
        request.state.session.increment("a")
        return late(lambda session: session.increment("a"))(request)

    await browser.visit(endpoint)
    assert await store.data() == {"a": 3}


@LATE
async def test_a_late_flash_message_waits_for_the_next_request(browser: Browser, late: Any) -> None:
    await browser.visit(late(lambda session: session.update(flash={"info": ["done"]})))
    assert (await browser.visit(lambda request: request.state.flash("info"))).json() == ["done"]


@LATE
async def test_a_late_destruction_deletes_the_record(store: SpyStore, browser: Browser, late: Any) -> None:
    response = await browser.visit(late(lambda session: session.destroy()))
    assert await store.sids() == []
    assert set_cookie(response) is None


@LATE
async def test_a_session_made_empty_late_is_deleted(store: SpyStore, browser: Browser, late: Any) -> None:
    await browser.visit(late(lambda session: session.clear()))
    assert await store.sids() == []


@LATE
async def test_a_late_save_commits_at_once(store: SpyStore, browser: Browser, late: Any) -> None:
    async def change(session: Session) -> None:
        session["a"] = 2
        await session.save()
        assert await store.data() == {"a": 2}

    assert (await browser.visit(late(change))).status_code == 200


@LATE
async def test_a_session_that_was_made_in_time_can_be_changed_late(store: SpyStore, late: Any) -> None:
    def endpoint(request: Request) -> Any:
        request.session["a"] = 1
        return late(lambda session: session.update(b=2))(request)

    response = await Browser(store=store).visit(endpoint)
    assert len(set_cookies(response)) == 1
    assert await store.data() == {"a": 1, "b": 2}


@LATE
async def test_a_session_that_ended_meanwhile_is_not_revived_by_a_late_change(
    store: SpyStore, browser: Browser, late: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def change(session: Session) -> None:
        await store.inner.clear()
        session["a"] = 2

    assert (await browser.visit(late(change))).status_code == 200
    assert await store.sids() == []
    assert "dropped" in caplog.text


async def test_a_late_change_is_in_the_store_before_the_last_piece_of_the_body_leaves(
    store: SpyStore, browser: Browser
) -> None:
    stored: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for n in range(3):
            scope["state"]["session"]["a"] = n
            await send({"type": "http.response.body", "body": b"x", "more_body": n < 2})

    def note(message: Message) -> None:
        stored.append((message["type"], message.get("more_body"), store.calls.count("replace")))

    wrapped = SessionMiddleware(app, secret=SECRET, store=store)
    await call(wrapped, http_scope(headers=cookie_header(browser.cookies)), on_send=note)
    assert [count for _, _, count in stored] == [0, 0, 0, 1]
    assert await store.data() == {"a": 2}


@pytest.mark.parametrize(
    "last",
    [
        {"type": "http.response.pathsend", "path": "/file"},
        {"type": "http.response.body", "body": b""},
        {"type": "http.response.zerocopysend", "file": 7},
    ],
)
async def test_whatever_ends_the_body_waits_for_the_save(store: SpyStore, browser: Browser, last: Message) -> None:
    at_the_end: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        scope["state"]["session"]["a"] = 2
        await send(last)

    def note(message: Message) -> None:
        at_the_end.append(store.calls.count("replace"))

    wrapped = SessionMiddleware(app, secret=SECRET, store=store)
    await call(wrapped, http_scope(headers=cookie_header(browser.cookies)), on_send=note)
    assert at_the_end == [0, 1]


async def test_a_sync_generator_may_change_the_session_too(store: SpyStore, browser: Browser) -> None:
    def endpoint(request: Request) -> Response:
        def body() -> Iterator[str]:
            for n in range(3):
                request.session["a"] = n
                yield str(n)

        return StreamingResponse(body())

    assert (await browser.visit(endpoint)).text == "012"
    assert await store.data() == {"a": 2}


# Sessions that the client can't learn of


@LATE
async def test_a_session_first_written_late_is_not_stored_and_logged_once(
    store: SpyStore, late: Any, caplog: pytest.LogCaptureFixture
) -> None:
    response = await Browser(store=store).visit(late(lambda session: session.update(a=1)))
    assert response.status_code == 200
    assert set_cookie(response) is None
    assert store.calls == []
    assert len(errors(caplog)) == 1


@LATE
async def test_save_of_a_session_first_written_late_is_an_error(store: SpyStore, late: Any) -> None:
    told: list[str] = []

    async def change(session: Session) -> None:
        session["a"] = 1
        try:
            await session.save()
        except SessionError as error:
            told.append(str(error))

    await Browser(store=store).visit(late(change))
    assert len(told) == 1
    assert store.calls == []


@LATE
async def test_a_late_regeneration_stores_nothing_that_no_cookie_leads_to(
    store: SpyStore, browser: Browser, late: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await browser.visit(late(lambda session: [session.regenerate(), session.update(a=2)]))
    assert "create" not in store.calls
    assert len(errors(caplog)) == 1


@LATE
async def test_a_late_age_is_kept_with_the_session(store: SpyStore, browser: Browser, late: Any) -> None:
    await browser.visit(late(lambda session: setattr(session.cookie, "max_age", 500)))
    response = await browser.visit(lambda request: request.state.session.cookie.original_max_age)
    assert response.json() == 500


@LATE
async def test_a_late_touch_extends_the_record(store: SpyStore, browser: Browser, late: Any) -> None:
    await browser.visit(late(lambda session: session.touch()))
    assert store.calls == ["get", "touch"]


@LATE
async def test_rolling_and_resave_do_nothing_late(store: SpyStore, late: Any) -> None:
    browser = Browser(store=store, rolling=True, resave=True, touch_after=0, cookie=Cookie(max_age=60))
    await browser.visit(put(a=1))
    store.calls.clear()
    await browser.visit(late(lambda session: session.update(a=2)))
    assert store.calls == ["get", "replace", "replace"]


# Failures


@LATE
async def test_after_a_failed_response_late_changes_are_not_saved_either(
    store: SpyStore, browser: Browser, late: Any
) -> None:
    def endpoint(request: Request) -> Response:
        response: Response = late(lambda session: session.update(a=2))(request)
        response.status_code = 500
        return response

    await browser.visit(endpoint)
    assert store.calls == ["get"]


async def test_an_exception_while_the_body_streams_saves_no_late_change(store: SpyStore, browser: Browser) -> None:
    def fail(session: Session) -> None:
        session["a"] = 2
        raise LookupError

    with pytest.raises(LookupError):
        await browser.visit(streaming(fail))
    assert store.calls == ["get"]


async def test_an_exception_in_a_background_task_saves_no_change_of_it(store: SpyStore, browser: Browser) -> None:
    def fail(session: Session) -> None:
        session["a"] = 2
        raise LookupError

    with pytest.raises(LookupError):
        await browser.visit(in_background(fail))
    assert await store.data() == {"a": 1}


@LATE
async def test_a_store_that_fails_late_is_only_logged(
    store: SpyStore, browser: Browser, late: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def change(session: Session) -> None:
        session["a"] = 2
        store.fail()

    response = await browser.visit(late(change))
    assert response.status_code == 200
    assert errors(caplog) != []
    store.work()
    assert await store.data() == {"a": 1}


@LATE
async def test_a_late_value_that_is_no_json_is_only_logged(
    store: SpyStore, browser: Browser, late: Any, caplog: pytest.LogCaptureFixture
) -> None:
    response = await browser.visit(late(lambda session: session.update(a={1})))
    assert response.status_code == 200
    assert len(errors(caplog)) == 1
    assert await store.data() == {"a": 1}


async def test_a_drain_that_another_request_made_too_is_over_with_the_commit(store: SpyStore) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a=1, flash={"info": ["m"]}))

    async def endpoint(request: Request) -> Response:
        assert request.state.flash("info") == ["m"]
        await browser.tab().visit(lambda other: other.state.flash("info"))

        async def body() -> AsyncIterator[str]:
            yield "first"
            assert not request.state.session.modified
            await browser.tab().visit(lambda other: other.state.flash("info", "m"))
            request.state.session["late"] = 1
            yield "last"

        return StreamingResponse(body())

    await browser.visit(endpoint)
    assert await store.data() == {"a": 1, "flash": {"info": ["m"]}, "late": 1}


async def test_changes_after_the_session_was_found_to_be_gone_are_logged(
    store: SpyStore, caplog: pytest.LogCaptureFixture
) -> None:
    browser = Browser(store=store, touch_after=0)
    await browser.visit(put(a=1))

    async def endpoint(request: Request) -> Response:
        await browser.tab().visit(lambda other: other.state.session.destroy())

        async def body() -> AsyncIterator[str]:
            yield "first"
            assert caplog.records == []
            request.state.session["late"] = 1
            yield "last"

        return StreamingResponse(body())

    await browser.visit(endpoint)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert await store.sids() == []
