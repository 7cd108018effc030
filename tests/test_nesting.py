"""Several middlewares on one request: ours twice, ours around Starlette's own, and other people's above and below."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware as StarletteSessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from asgi_session import Cookie, MemoryStore, Record, SessionMiddleware, StoreError, load_session
from asgi_session.middleware import exchange_of
from tests.clients import SECRET, Browser, call, cookie_header, http_scope, put, set_cookie, set_cookies, signed
from tests.spy_store import SpyStore


@pytest.fixture
def store() -> SpyStore:
    return SpyStore()


# Ours twice


async def test_installed_twice_under_one_name_the_inner_one_passes_through(store: SpyStore) -> None:
    inner_store = SpyStore()
    inner = SessionMiddleware(Browser.serve, secret=SECRET, store=inner_store)
    browser = Browser(app=SessionMiddleware(inner, secret=SECRET, store=store))
    response = await browser.visit(put(a=1))
    assert len(set_cookies(response)) == 1
    assert store.calls == ["create"]
    assert await browser.read() == {"a": 1}
    assert inner_store.calls == []


async def test_a_mounted_app_with_the_same_middleware_shares_the_session(store: SpyStore) -> None:
    def installed() -> list[Middleware]:
        return [Middleware(SessionMiddleware, secret=SECRET, store=store)]

    inner = Starlette(routes=[Mount("/", Browser.serve)], middleware=installed())
    app = Starlette(routes=[Mount("/admin", inner), Mount("/", Browser.serve)], middleware=installed())
    browser = Browser(app=app)
    await browser.visit(put(a=1))
    await browser.visit(lambda request: request.state.session.increment("a"), "/admin/x")
    assert await browser.read() == {"a": 2}
    assert store.calls.count("replace") == 1


def between_two(outer: SpyStore, inner: SpyStore) -> Browser:
    """A client of sessions "outer" around "inner"; the outer one is also at `request.state.outer`."""

    async def between(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["outer"] = scope["state"]["session"]
        await wrapped(scope, receive, send)

    wrapped = SessionMiddleware(Browser.serve, secret=SECRET, store=inner, name="inner")
    return Browser(app=SessionMiddleware(between, secret=SECRET, store=outer, name="outer"))


async def test_two_names_are_two_sessions(store: SpyStore) -> None:
    inner = SpyStore()
    browser = between_two(store, inner)

    def fill(request: Request) -> None:
        request.state.session["n"] = "inner"
        request.state.outer["n"] = "outer"

    response = await browser.visit(fill)
    assert len(set_cookies(response, "outer")) == len(set_cookies(response, "inner")) == 1
    assert (await store.data(), await inner.data()) == ({"n": "outer"}, {"n": "inner"})


async def test_of_two_sessions_the_innermost_is_the_requests(store: SpyStore) -> None:
    async def endpoint(request: Request) -> list[bool]:
        session = request.state.session
        return [session is request.session, session is await load_session(request), session is not request.state.outer]

    assert (await between_two(store, SpyStore()).visit(endpoint)).json() == [True, True, True]


async def test_an_outer_session_that_is_loaded_late_does_not_take_the_inner_ones_place(store: SpyStore) -> None:
    inner = SpyStore()
    wrapped = SessionMiddleware(Browser.serve, secret=SECRET, store=inner, name="inner")
    browser = Browser(app=SessionMiddleware(wrapped, secret=SECRET, store=store, name="outer", autoload=False))

    async def endpoint(request: Request) -> bool:
        session = request.state.session
        outer = await exchange_of(request, "outer").load()
        outer["n"] = "outer"
        request.state.flash("info", "m")
        return request.state.session is request.session is session

    assert (await browser.visit(endpoint)).json() is True
    assert (await store.data(), await inner.data()) == ({"n": "outer"}, {"flash": {"info": ["m"]}})


async def test_nor_does_one_that_was_being_loaded_when_the_inner_one_began(store: SpyStore) -> None:
    loading: asyncio.Task[Any]
    begun = asyncio.Event()

    async def between(inner: Any, scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal loading
        loading = asyncio.create_task(load_session(Request(scope)))
        await asyncio.sleep(0)
        await inner(scope, receive, send)
        assert scope["state"]["session"] is loading.result()

    async def endpoint(request: Request) -> bool:
        session = request.state.session
        begun.set()
        await loading
        return request.state.session is request.session is session is not loading.result()

    async def wait() -> None:
        await begun.wait()

    browser = around(between, {"autoload": False}, store)
    await store.inner.create("old", Record('{"cookie":{}}', None))
    browser.cookies.set("outer", signed("old").decode())
    store.before["get"] = wait
    assert (await browser.visit(endpoint)).json() is True


async def test_of_two_sessions_only_what_changed_is_written(store: SpyStore) -> None:
    inner = SpyStore()
    browser = between_two(store, inner)
    await browser.visit(put(a=1))
    assert store.calls == []
    assert inner.calls == ["create"]


async def test_two_sessions_may_live_in_one_store() -> None:
    store = SpyStore()
    browser = between_two(store, store)

    def fill(request: Request) -> None:
        request.state.session["n"] = "inner"
        request.state.outer["n"] = "outer"

    await browser.visit(fill)
    assert len(await store.sids()) == 2
    response = await browser.visit(lambda request: [request.state.session["n"], request.state.outer["n"]])
    assert response.json() == ["inner", "outer"]


async def test_destroying_the_outer_session_leaves_the_inner_one(store: SpyStore) -> None:
    inner = SpyStore()
    browser = between_two(store, inner)

    def fill(request: Request) -> None:
        request.state.session["n"] = request.state.outer["n"] = 1

    await browser.visit(fill)
    await browser.visit(lambda request: request.state.outer.destroy())
    assert list(browser.cookies) == ["inner"]
    assert await inner.data() == {"n": 1}
    assert await store.sids() == []


async def test_a_failing_inner_store_does_not_save_the_outer_session(store: SpyStore) -> None:
    inner = SpyStore()
    inner.fail()
    browser = between_two(store, inner)

    def fill(request: Request) -> None:
        request.state.session["n"] = request.state.outer["n"] = 1

    response = await browser.visit(fill)
    assert response.status_code == 503
    assert store.calls == []


async def test_a_scope_that_is_served_twice_in_a_row_has_its_session_saved_twice(store: SpyStore) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["session"]["path"] = scope["path"]
        await Response("ok")(scope, receive, send)

    wrapped = SessionMiddleware(app, secret=SECRET, store=store)
    scope = http_scope()
    for _ in range(2):  # as a middleware does that tries again, or falls back from one app to another
        sent = await call(wrapped, scope)
        assert b"set-cookie" in dict(sent[0]["headers"])
    assert len(await store.sids()) == 2


# Mounted apps and root paths


async def test_a_cookie_for_a_mount_is_one_for_its_whole_path(store: SpyStore) -> None:
    inner = Starlette(
        routes=[Mount("/", Browser.serve)],
        middleware=[Middleware(SessionMiddleware, secret=SECRET, store=store, cookie=Cookie(path="/admin"))],
    )
    browser = Browser(app=Starlette(routes=[Mount("/admin", inner), Mount("/", Browser.serve)]))
    response = await browser.visit(put(a=1), "/admin/users")
    assert "Path=/admin" in (set_cookie(response) or "")
    assert await browser.read("/admin/other") == {"a": 1}
    assert (await browser.visit(lambda request: hasattr(request.state, "session"), "/else")).json() is False


async def test_a_root_path_of_the_server_is_part_of_the_cookies_path(store: SpyStore) -> None:
    browser = Browser(store=store, cookie=Cookie(path="/api/v1"))
    await browser.visit(put(a=1), "/users", root_path="/api/v1")
    assert await store.data() == {"a": 1}
    outside = await browser.visit(lambda request: hasattr(request.state, "session"), "/users", root_path="/api/v2")
    assert outside.json() is False


# Starlette's own


async def admin(request: Request) -> Response:
    """A page of an app that has Starlette's sessions, as sqladmin does."""
    request.session["admin"] = request.session.get("admin", 0) + 1
    return JSONResponse(dict(request.session))


@pytest.mark.parametrize("change_before", [True, False])
async def test_an_inner_app_with_starlettes_sessions_does_not_confuse_ours(
    store: SpyStore, change_before: bool
) -> None:
    inner = Starlette(
        routes=[Route("/page", admin)], middleware=[Middleware(StarletteSessionMiddleware, secret_key=SECRET)]
    )

    class Counting(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            session = request.state.session
            if change_before:
                session.increment("visits")
            response = await call_next(request)
            if not change_before:
                session.increment("visits")
            return response

    app = Starlette(
        routes=[Mount("/admin", inner), Mount("/", Browser.serve)],
        middleware=[
            Middleware(SessionMiddleware, secret=SECRET, store=store, unset="destroy"),
            Middleware(Counting),
        ],
    )
    browser = Browser(app=app)
    await browser.visit(put(user="ann"))
    for n in (1, 2, 3):
        response = await browser.visit(path="/admin/page")
        assert response.json() == {"admin": n}
        assert len(set_cookies(response)) <= 1
    assert await store.data() == {"user": "ann", "visits": 4}


async def test_replacing_the_sessions_place_in_the_scope_does_not_lose_ours(store: SpyStore) -> None:
    def endpoint(request: Request) -> None:
        request.session["a"] = 1
        request.scope["session"] = {"other": 2}

    await Browser(store=store).visit(endpoint)
    assert await store.data() == {"a": 1}


# Middleware above and below


class Nosy(BaseHTTPMiddleware):
    """Reads the session before and after the endpoint, and writes it where it is told to."""

    def __init__(self, app: Any, *, before: bool = False, after: bool = False) -> None:
        super().__init__(app)
        self.before = before
        self.after = after

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        if self.before:
            request.session["before"] = True
        response = await call_next(request)
        if self.after:
            request.session["after"] = True
        response.headers["x-nosy"] = str(len(request.scope.get("session", {})))
        return response


def app_with(*middleware: Middleware) -> Browser:
    return Browser(app=Starlette(routes=[Mount("/", Browser.serve)], middleware=middleware))


async def test_base_http_middleware_below_may_change_the_session_on_both_sides(store: SpyStore) -> None:
    ours = Middleware(SessionMiddleware, secret=SECRET, store=store)
    browser = app_with(ours, Middleware(Nosy, before=True, after=True))
    response = await browser.visit(put(a=1))
    assert set_cookie(response) is not None
    assert await store.data() == {"before": True, "a": 1, "after": True}


async def test_base_http_middleware_above_sees_the_session_and_the_cookie(store: SpyStore) -> None:
    ours = Middleware(SessionMiddleware, secret=SECRET, store=store)
    browser = app_with(Middleware(Nosy), ours)
    response = await browser.visit(put(a=1))
    assert response.headers["x-nosy"] == "1"
    assert set_cookie(response) is not None
    assert await browser.read() == {"a": 1}


async def test_an_exception_through_base_http_middleware_saves_nothing(store: SpyStore) -> None:
    ours = Middleware(SessionMiddleware, secret=SECRET, store=store)
    browser = app_with(Middleware(Nosy), ours, Middleware(Nosy, before=True))

    def endpoint(request: Request) -> None:
        request.session["a"] = 1
        raise LookupError

    with pytest.raises(LookupError):
        await browser.visit(endpoint)
    assert store.calls == []


async def test_a_failed_commit_is_503_under_and_over_base_http_middleware(store: SpyStore) -> None:
    ours = Middleware(SessionMiddleware, secret=SECRET, store=store)
    store.fail()
    for middleware in ([Middleware(Nosy), ours], [ours, Middleware(Nosy, before=True)]):
        assert (await app_with(*middleware).visit(put(a=1))).status_code == 503


@pytest.mark.parametrize("ours_first", [True, False])
async def test_compression_above_or_below_makes_no_difference(store: SpyStore, ours_first: bool) -> None:
    ours = Middleware(SessionMiddleware, secret=SECRET, store=store)
    gzip = Middleware(GZipMiddleware, minimum_size=1)
    browser = app_with(*([ours, gzip] if ours_first else [gzip, ours]))

    def endpoint(request: Request) -> str:
        request.session["a"] = 1
        return "x" * 1000

    response = await browser.visit(endpoint)
    assert response.headers["content-encoding"] == "gzip"
    assert len(set_cookies(response)) == 1
    assert sorted(response.headers["vary"].lower().split(", ")) == ["accept-encoding", "cookie"]


async def test_the_registry_of_one_request_is_not_that_of_another() -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["state"]["session"])

    wrapped = SessionMiddleware(app, secret=SECRET, store=MemoryStore())
    for _ in range(2):
        await call(wrapped, http_scope())
    assert seen[0] is not seen[1]


# What those in between do, and find


def around(between: Any, outer: dict[str, Any], store: SpyStore) -> Browser:
    """A client of sessions "outer" around `between` around sessions "inner"; `between` gets the app within as well."""
    inner = SessionMiddleware(Browser.serve, secret=SECRET, name="inner")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await between(inner, scope, receive, send)

    return Browser(app=SessionMiddleware(app, secret=SECRET, store=store, name="outer", **outer))


@pytest.mark.parametrize("unset", ["keep", "destroy"])
async def test_an_outer_session_that_was_unset_before_stays_unset(unset: str, store: SpyStore) -> None:
    leaves = False

    async def between(inner: Any, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["session"]["n"] = scope["state"]["session"].get("n", 0) + 1
        if leaves:
            scope["state"]["session"] = None
        await inner(scope, receive, send)
        assert (scope["state"]["session"] is None) is leaves

    browser = around(between, {"unset": unset}, store)
    await browser.visit()
    leaves = True
    response = await browser.visit()
    if unset == "keep":
        assert (set_cookie(response, "outer"), await store.data()) == (None, {"n": 1})
    else:
        assert "Max-Age=0" in str(set_cookie(response, "outer"))
        assert await store.sids() == []


async def test_what_is_unset_within_is_not_the_outer_session(store: SpyStore) -> None:
    async def between(inner: Any, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["session"]["n"] = 1
        await inner(scope, receive, send)

    def endpoint(request: Request) -> None:
        request.state.session = None

    await around(between, {"unset": "destroy"}, store).visit(endpoint)
    assert await store.data() == {"n": 1}


@pytest.mark.parametrize("loads", [False, True])
async def test_an_outer_session_is_to_be_seen_afterwards_only_if_it_was_loaded(loads: bool, store: SpyStore) -> None:
    seen: list[Any] = []

    async def between(inner: Any, scope: Scope, receive: Receive, send: Send) -> None:
        await inner(scope, receive, send)
        seen.extend([scope.get("session"), scope["state"].get("session"), scope["state"].get("flash")])
        assert exchange_of(Request(scope)).settings.name == "outer"

    async def endpoint(request: Request) -> None:
        if loads:
            (await exchange_of(request, "outer").load())["n"] = "outer"
        request.state.session["n"] = "inner"

    await around(between, {"autoload": False}, store).visit(endpoint)
    session, in_state, flash = seen
    assert session is in_state
    assert (session, flash is not None) == ({"n": "outer"} if loads else None, loads)


@pytest.mark.parametrize("on_store_error", ["raise", "unavailable"])
async def test_a_failing_outer_store_is_for_the_outer_middleware_to_answer(
    on_store_error: str, store: SpyStore
) -> None:
    async def between(inner: Any, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["session"]["n"] = 1
        await inner(scope, receive, send)

    browser = around(between, {"on_store_error": on_store_error}, store)
    store.fail()
    if on_store_error == "raise":
        with pytest.raises(StoreError):
            await browser.visit()
    else:
        assert (await browser.visit()).status_code == 503


async def test_headers_that_can_be_read_once_are_there_for_the_app(store: SpyStore) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert Request(scope).headers["user-agent"] == "x"
        assert [*scope["headers"]] == headers

    browser = Browser(store=store)
    await browser.visit(put(a=1))
    headers = [(b"user-agent", b"x"), *cookie_header(browser.cookies)]
    await call(SessionMiddleware(app, secret=SECRET, store=store), {**http_scope(), "headers": iter(headers)})


@pytest.mark.parametrize("claims", [True, False])
async def test_what_an_inner_middleware_committed_is_not_forgotten_when_the_outer_one_answers_503(
    claims: bool, store: SpyStore
) -> None:
    async def endpoint(request: Request) -> Any:
        if claims:
            return await request.state.flash.claim()
        request.state.session.regenerate(keep=True)
        return None

    async def between(inner: Any, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["session"].mark_modified()
        await inner(scope, receive, send)

    browser = around(between, {"save_uninitialized": True}, store)
    await browser.visit(lambda request: (put(a=1)(request), request.state.flash.info("hello")))
    before = dict(browser.cookies)
    store.fail("replace")
    assert (await browser.visit(endpoint)).status_code == 503
    store.work()
    assert (dict(browser.cookies) == before) is claims
    assert await browser.read() == {"a": 1, "flash": {"info": ["hello"]}}
