"""`autoload=False`: the store is read only where somebody asks for the session."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_session import Cookie, Flash, Session, SessionMiddleware, SessionNotLoaded, load_session
from tests.clients import (
    SECRET,
    Browser,
    attributes,
    call,
    cookie_header,
    http_scope,
    put,
    serve,
    session_app,
    set_cookie,
)
from tests.spy_store import SpyStore


@pytest.fixture
def store() -> SpyStore:
    return SpyStore()


async def lazy(store: SpyStore, **options: Any) -> Browser:
    """A client with a stored session, of an app that does not load by itself."""
    browser = Browser(store=store, **options)
    await browser.visit(put(a=1))
    browser.app = session_app(store=store, autoload=False, **options)
    store.calls.clear()
    return browser


async def test_the_store_is_not_read_until_somebody_asks(store: SpyStore) -> None:
    browser = await lazy(store, rolling=True, resave=True, touch_after=0)
    response = await browser.visit()
    assert store.calls == []
    assert set_cookie(response) is None
    assert "vary" not in response.headers


async def test_until_then_there_is_no_session_anywhere(store: SpyStore) -> None:
    browser = await lazy(store)
    response = await browser.visit(
        lambda r: [hasattr(r.state, "session"), hasattr(r.state, "flash"), "session" in r.scope]
    )
    assert response.json() == [False, False, False]


async def test_load_session_reads_the_store_and_puts_the_session_everywhere(store: SpyStore) -> None:
    async def endpoint(request: Request) -> list[Any]:
        session = await load_session(request)
        here = [session is request.session, session is request.state.session]
        return [*here, isinstance(session, Session), isinstance(request.state.flash, Flash), dict(session)]

    browser = await lazy(store)
    assert (await browser.visit(endpoint)).json() == [True, True, True, True, {"a": 1}]
    assert store.calls == ["get"]


class Copying:
    """A middleware that works on a copy of the scope, as the ASGI specification has it."""

    def __init__(self, app: ASGIApp, *, state: bool) -> None:
        self._app = app
        self._state = state  # copied, too

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        copy = dict(scope)
        if self._state:
            copy["state"] = dict(scope["state"])
        await self._app(copy, receive, send)


@pytest.mark.parametrize("state", [False, True], ids=["scope", "scope and state"])
async def test_a_copy_of_the_scope_shows_the_session_too(store: SpyStore, state: bool) -> None:
    async def endpoint(request: Request) -> list[Any]:
        session = await load_session(request)
        here = [session is request.session, session is request.state.session, isinstance(request.state.flash, Flash)]
        session["b"] = 2
        return here

    browser = await lazy(store)
    browser.app = session_app(Copying(serve, state=state), store=store, autoload=False)
    assert (await browser.visit(endpoint)).json() == [True, True, True]
    browser.app = session_app(store=store)
    assert await browser.read() == {"a": 1, "b": 2}


async def test_a_session_unset_in_a_copy_of_the_scope_stays_unset(store: SpyStore) -> None:
    async def endpoint(request: Request) -> bool:
        await load_session(request)
        request.state.session = None
        await load_session(request)
        return request.state.session is None

    browser = await lazy(store)
    browser.app = session_app(Copying(serve, state=False), store=store, autoload=False, unset="destroy")
    assert (await browser.visit(endpoint)).json()
    browser.app = session_app(store=store)
    assert await browser.read() == {}


async def test_asking_twice_reads_once_and_gives_the_same(store: SpyStore) -> None:
    async def endpoint(request: Request) -> bool:
        first = await load_session(request)
        return await load_session(HTTPConnection(request.scope)) is first

    browser = await lazy(store)
    assert (await browser.visit(endpoint)).json() is True
    assert store.calls == ["get"]


async def test_two_tasks_of_one_request_that_ask_at_once_get_the_same(store: SpyStore) -> None:
    async def endpoint(request: Request) -> bool:
        first, second = await asyncio.gather(load_session(request), load_session(request))
        first["b"] = 2
        return first is second

    browser = await lazy(store)
    assert (await browser.visit(endpoint)).json() is True
    assert await store.data() == {"a": 1, "b": 2}


async def test_two_tasks_of_one_request_that_ask_at_once_read_once(store: SpyStore) -> None:
    async def endpoint(request: Request) -> None:
        await asyncio.gather(load_session(request), load_session(request))

    browser = await lazy(store)
    store.before["get"] = lambda: asyncio.sleep(0)
    await browser.visit(endpoint)
    assert store.calls == ["get"]  # the state that a commit expects is the one that the handler saw


async def test_changes_are_saved_as_ever(store: SpyStore) -> None:
    async def endpoint(request: Request) -> None:
        (await load_session(request))["a"] = 2

    browser = await lazy(store)
    await browser.visit(endpoint)
    assert await store.data() == {"a": 2}


async def test_a_new_session_is_saved_as_ever(store: SpyStore) -> None:
    async def endpoint(request: Request) -> None:
        (await load_session(request))["a"] = 2

    browser = Browser(store=store, autoload=False)
    assert set_cookie(await browser.visit(endpoint)) is not None
    assert await store.data() == {"a": 2}


async def test_save_uninitialized_stores_nothing_where_nobody_asked(store: SpyStore) -> None:
    await Browser(store=store, autoload=False, save_uninitialized=True).visit()
    assert store.calls == []


async def test_a_session_loaded_after_the_start_can_still_be_changed(store: SpyStore) -> None:
    def endpoint(request: Request) -> Response:
        async def body() -> Any:
            yield "first"
            (await load_session(request))["a"] = 2
            yield "last"

        return StreamingResponse(body())

    browser = await lazy(store)
    await browser.visit(endpoint)
    assert await store.data() == {"a": 2}


@pytest.mark.parametrize("autoload", [True, False])
async def test_load_session_outside_the_cookies_path_says_so(store: SpyStore, autoload: bool) -> None:
    async def endpoint(request: Request) -> str:
        with pytest.raises(SessionNotLoaded):
            await load_session(request)
        return "told"

    browser = Browser(store=store, autoload=autoload, cookie=Cookie(path="/shop"))
    assert (await browser.visit(endpoint, "/blog")).json() == "told"


async def test_load_session_without_the_middleware_says_so() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await load_session(HTTPConnection(scope))

    with pytest.raises(SessionNotLoaded):
        await call(app, http_scope())


async def test_load_session_works_where_the_session_is_loaded_already(store: SpyStore) -> None:
    async def endpoint(request: Request) -> bool:
        return await load_session(request) is request.state.session

    assert (await Browser(store=store).visit(endpoint)).json() is True
    assert store.calls == []


async def test_request_session_before_it_is_loaded_fails_as_without_the_middleware(store: SpyStore) -> None:
    def endpoint(request: Request) -> str:
        with pytest.raises(AssertionError, match="SessionMiddleware"):
            request.session  # noqa: B018  # reading it is the test
        return "told"

    browser = await lazy(store)
    assert (await browser.visit(endpoint)).json() == "told"


# Unset before anybody loaded it


def assign_none(request: Request) -> None:
    request.state.session = None


async def test_a_session_that_was_not_loaded_is_destroyed_too(store: SpyStore) -> None:
    browser = await lazy(store, unset="destroy")
    response = await browser.visit(assign_none)
    assert attributes(set_cookie(response))["max-age"] == "0"
    assert await store.sids() == []


async def test_where_no_session_came_there_is_nothing_to_destroy(store: SpyStore) -> None:
    response = await Browser(store=store, autoload=False, unset="destroy").visit(assign_none)
    assert set_cookie(response) is None
    assert store.calls == []


async def test_to_keep_one_that_was_not_loaded_takes_no_store_call(store: SpyStore) -> None:
    browser = await lazy(store, unset="keep")
    assert set_cookie(await browser.visit(assign_none)) is None
    assert store.calls == []


@pytest.mark.parametrize("value", [{}, {"a": 1}, False])
@pytest.mark.parametrize("unset", ["keep", "destroy"])
async def test_anything_else_that_stands_there_is_the_apps_own(store: SpyStore, unset: Any, value: Any) -> None:
    browser = await lazy(store, unset=unset)
    response = await browser.visit(lambda request: setattr(request.state, "session", value))
    assert response.status_code == 200
    assert store.calls == []


async def test_a_none_that_stood_there_before_destroys_nothing(store: SpyStore) -> None:
    """As a lifespan can put it there: ``yield {"session": None}``."""
    browser = await lazy(store, unset="destroy")
    wrapped = browser.app

    async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
        await wrapped({**scope, "state": {"session": None}}, receive, send)

    browser.app = with_state
    assert set_cookie(await browser.visit()) is None
    assert store.calls == []
    assert (await browser.visit(lambda request: request.state.session is None)).json() is True
    assert len(await store.sids()) == 1


async def test_one_that_is_loaded_after_all_stays(store: SpyStore) -> None:
    async def endpoint(request: Request) -> None:
        request.state.session = None
        await load_session(request)

    await (await lazy(store, unset="destroy")).visit(endpoint)
    assert await store.data() == {"a": 1}


async def test_a_failed_response_destroys_none_that_was_not_loaded(store: SpyStore) -> None:
    def endpoint(request: Request) -> Response:
        request.state.session = None
        return Response(status_code=500)

    await (await lazy(store, unset="destroy")).visit(endpoint)
    assert store.calls == []


@pytest.mark.parametrize("failing", ["get", "destroy"])
async def test_a_store_that_fails_to_destroy_it_is_answered_with_503(store: SpyStore, failing: str) -> None:
    browser = await lazy(store, unset="destroy")
    store.fail(failing)
    assert (await browser.visit(assign_none)).status_code == 503


async def test_one_that_was_not_loaded_is_destroyed_late_too(store: SpyStore) -> None:
    browser = await lazy(store)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        scope["state"]["session"] = None
        await send({"type": "http.response.body", "body": b""})

    wrapped = SessionMiddleware(app, secret=SECRET, store=store, unset="destroy", autoload=False)
    await call(wrapped, http_scope(headers=cookie_header(browser.cookies)))
    assert await store.sids() == []


async def test_an_outer_one_that_was_not_loaded_is_no_concern_of_the_inner_one(store: SpyStore) -> None:
    browser = await lazy(store)
    inner = SessionMiddleware(Browser.serve, secret=SECRET, name="inner", unset="destroy")
    browser.app = session_app(inner, store=store, unset="destroy", autoload=False)
    assert (await browser.visit(assign_none)).status_code == 200
    assert store.calls == []
