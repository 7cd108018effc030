"""Sessions as FastAPI dependencies, for HTTP and WebSocket routes."""

import logging
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request, WebSocket
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient, WebSocketDenialResponse

from asgi_session import Cookie, Flash, Session, SessionMiddleware, SessionNotLoaded, StoreError
from asgi_session.fastapi import FlashDep, RequiredSession, SessionDep
from tests.clients import SECRET, Browser, set_cookie
from tests.spy_store import SpyStore
from tests.versions import needs

Keyed = Annotated[Session, Depends(RequiredSession("user_id", "tenant"))]
Stored = Annotated[Session, Depends(RequiredSession())]


@pytest.fixture
def store() -> SpyStore:
    return SpyStore()


@pytest.fixture
def api() -> FastAPI:
    """An API without the middleware as yet."""
    return FastAPI()


def browser_of(api: FastAPI, store: SpyStore, **options: Any) -> Browser:
    api.add_middleware(SessionMiddleware, secret=SECRET, store=store, **options)
    return Browser(app=api)


# SessionDep and FlashDep


async def test_the_injected_session_is_the_requests(api: FastAPI, store: SpyStore) -> None:
    @api.get("/")
    async def endpoint(request: Request, session: SessionDep) -> bool:
        return session is request.state.session is request.session

    assert (await browser_of(api, store).visit()).json() is True


async def test_the_view_counter_counts(api: FastAPI, store: SpyStore) -> None:
    @api.get("/viewcount")
    async def viewcount(session: SessionDep) -> str:
        session["count"] = session.get("count", 0) + 1
        return f"You have viewed this page {session['count']} times"

    browser = browser_of(api, store)
    for n in (1, 2, 3):
        assert (await browser.visit(path="/viewcount")).json() == f"You have viewed this page {n} times"


async def test_the_injected_queue_is_the_sessions(api: FastAPI, store: SpyStore) -> None:
    @api.post("/")
    async def add(flash: FlashDep) -> int:
        return flash.info("hello")

    @api.get("/")
    async def drain(flash: FlashDep) -> Any:
        assert isinstance(flash, Flash)
        return flash()

    browser = browser_of(api, store)
    assert [(await browser.visit(method="POST")).json() for _ in range(2)] == [1, 2]
    assert (await browser.visit()).json() == {"info": ["hello", "hello"]}
    assert (await browser.visit()).json() == {}


async def test_asking_in_several_dependencies_gives_one_session(api: FastAPI, store: SpyStore) -> None:
    def first(session: SessionDep) -> Session:
        return session

    def second(session: SessionDep) -> Session:
        return session

    @api.get("/")
    def endpoint(one: Annotated[Session, Depends(first)], two: Annotated[Session, Depends(second)]) -> bool:
        return one is two

    assert (await browser_of(api, store).visit()).json() is True


async def test_a_dependency_loads_what_autoload_did_not(api: FastAPI, store: SpyStore) -> None:
    @api.get("/session")
    async def with_session(session: SessionDep) -> Any:
        session["n"] = session.get("n", 0) + 1
        return session["n"]

    @api.get("/flash")
    async def with_flash(flash: FlashDep) -> Any:
        return flash()

    @api.get("/neither")
    async def with_neither(request: Request) -> bool:
        return hasattr(request.state, "session")

    browser = browser_of(api, store, autoload=False)
    assert [(await browser.visit(path="/session")).json() for _ in range(2)] == [1, 2]
    store.calls.clear()
    assert (await browser.visit(path="/neither")).json() is False
    assert store.calls == []
    assert (await browser.visit(path="/flash")).json() == {}
    assert store.calls == ["get"]


async def test_a_def_endpoint_and_a_def_dependency_work(api: FastAPI, store: SpyStore) -> None:
    def counted(session: SessionDep) -> int:
        n: int = session.increment("n")
        return n

    @api.get("/")
    def endpoint(n: Annotated[int, Depends(counted)], session: SessionDep) -> int:
        session.regenerate(keep=True)
        return n

    browser = browser_of(api, store)
    assert [(await browser.visit()).json() for _ in range(3)] == [1, 2, 3]


async def test_an_http_exception_saves_and_an_unhandled_one_does_not(api: FastAPI, store: SpyStore) -> None:
    @api.get("/teapot")
    async def teapot(session: SessionDep) -> None:
        session["teapot"] = True
        raise HTTPException(418)

    @api.get("/broken")
    async def broken(session: SessionDep) -> None:
        session["broken"] = True
        raise LookupError

    browser = browser_of(api, store)
    browser.raise_errors = False
    assert (await browser.visit(path="/teapot")).status_code == 418
    assert (await browser.visit(path="/broken")).status_code == 500
    assert await store.data() == {"teapot": True}


async def test_a_request_that_fails_validation_saves_what_its_dependencies_did(api: FastAPI, store: SpyStore) -> None:
    def note(session: SessionDep) -> None:
        session["tried"] = True

    @api.get("/", dependencies=[Depends(note)])
    async def endpoint(number: int) -> int:
        return number

    browser = browser_of(api, store)
    assert (await browser.visit(path="/?number=x")).status_code == 422
    assert await store.data() == {"tried": True}


async def test_a_change_behind_a_dependencys_yield_is_saved(api: FastAPI, store: SpyStore) -> None:
    async def counting(session: SessionDep) -> AsyncIterator[None]:
        session["begun"] = True
        yield
        session["ended"] = True

    @api.get("/", dependencies=[Depends(counting)])
    async def endpoint() -> None:
        return None

    assert set_cookie(await browser_of(api, store).visit()) is not None
    assert await store.data() == {"begun": True, "ended": True}


@needs("fastapi", "0.118")  # before that, the response starts after it
async def test_a_session_first_written_behind_a_dependencys_yield_is_logged(
    api: FastAPI, store: SpyStore, caplog: pytest.LogCaptureFixture
) -> None:
    async def too_late(session: SessionDep) -> AsyncIterator[None]:
        yield
        session["ended"] = True

    @api.get("/", dependencies=[Depends(too_late)])
    async def endpoint() -> None:
        return None

    response = await browser_of(api, store).visit()
    assert set_cookie(response) is None
    assert await store.sids() == []
    assert [record.levelno for record in caplog.records if record.name == "asgi_session"] == [logging.ERROR]


@needs("fastapi", "0.122")
async def test_a_yield_dependency_of_the_functions_scope_is_in_time(api: FastAPI, store: SpyStore) -> None:
    async def in_time(session: SessionDep) -> AsyncIterator[None]:
        yield
        session["ended"] = True

    @api.get("/", dependencies=[Depends(in_time, scope="function")])
    async def endpoint() -> None:
        return None

    assert set_cookie(await browser_of(api, store).visit()) is not None
    assert await store.data() == {"ended": True}


async def test_a_background_tasks_change_is_saved(api: FastAPI, store: SpyStore) -> None:
    @api.get("/")
    async def endpoint(session: SessionDep, tasks: BackgroundTasks) -> None:
        session["n"] = 1
        tasks.add_task(session.increment, "n")

    await browser_of(api, store).visit()
    assert await store.data() == {"n": 2}


async def test_a_failing_store_is_503_for_dependencies_too(api: FastAPI, store: SpyStore) -> None:
    @api.get("/")
    async def endpoint(session: SessionDep) -> None:
        session["n"] = 1

    browser = browser_of(api, store, autoload=False)
    await browser.visit()
    store.fail()
    assert (await browser.visit()).status_code == 503


async def test_a_store_error_can_have_its_own_handler(api: FastAPI, store: SpyStore) -> None:
    @api.get("/")
    async def endpoint(session: SessionDep) -> None:
        session["n"] = 1
        await session.save()

    @api.exception_handler(StoreError)
    async def sorry(request: Request, error: StoreError) -> PlainTextResponse:
        return PlainTextResponse("sorry", 502)

    store.fail()
    assert (await browser_of(api, store).visit()).text == "sorry"


async def test_outside_the_cookies_path_a_dependency_says_so(api: FastAPI, store: SpyStore) -> None:
    @api.get("/blog")
    async def endpoint(session: SessionDep) -> None:
        return None

    with pytest.raises(SessionNotLoaded):
        await browser_of(api, store, cookie=Cookie(path="/shop")).visit(path="/blog")


async def test_without_the_middleware_a_dependency_says_so(api: FastAPI) -> None:
    @api.get("/")
    async def endpoint(session: SessionDep) -> None:
        return None

    with pytest.raises(SessionNotLoaded):
        await Browser(app=api).visit()


# RequiredSession


def guarded(api: FastAPI, store: SpyStore, **options: Any) -> Browser:
    """An API with a sign-in, and pages for those who signed in."""

    @api.post("/sign-in")
    async def sign_in(session: SessionDep, tenant: bool = True) -> None:
        session.regenerate()
        session.update(user_id=7, **({"tenant": "x"} if tenant else {}))

    @api.post("/greet")
    async def greet(session: SessionDep) -> None:
        session["seen"] = True

    @api.get("/account")
    async def account(session: Keyed) -> Any:
        return session["user_id"]

    @api.get("/stored")
    async def stored(session: Stored) -> bool:
        return True

    return browser_of(api, store, **options)


@pytest.mark.parametrize("autoload", [True, False])
async def test_who_has_no_session_gets_401(api: FastAPI, store: SpyStore, autoload: bool) -> None:
    browser = guarded(api, store, autoload=autoload)
    for path in ("/account", "/stored"):
        response = await browser.visit(path=path)
        assert response.status_code == 401
        assert "www-authenticate" in response.headers
    assert store.calls == []


@pytest.mark.parametrize("autoload", [True, False])
async def test_who_has_a_session_with_all_the_keys_gets_through(api: FastAPI, store: SpyStore, autoload: bool) -> None:
    browser = guarded(api, store, autoload=autoload)
    await browser.visit(path="/sign-in", method="POST")
    assert (await browser.visit(path="/account")).json() == 7
    assert (await browser.visit(path="/stored")).json() is True


async def test_one_missing_key_is_401(api: FastAPI, store: SpyStore) -> None:
    browser = guarded(api, store)
    await browser.visit(path="/sign-in?tenant=false", method="POST")
    assert (await browser.visit(path="/account")).status_code == 401
    assert (await browser.visit(path="/stored")).status_code == 200


async def test_a_session_without_the_keys_is_401_where_they_are_asked_for(api: FastAPI, store: SpyStore) -> None:
    browser = guarded(api, store)
    await browser.visit(path="/greet", method="POST")
    assert (await browser.visit(path="/stored")).status_code == 200
    assert (await browser.visit(path="/account")).status_code == 401


async def test_a_forged_cookie_is_401_without_a_store_call(api: FastAPI, store: SpyStore) -> None:
    browser = guarded(api, store)
    browser.cookies.set("connect.sid", "s%3Aforged.signature")
    assert (await browser.visit(path="/stored")).status_code == 401
    assert store.calls == []


async def test_a_session_that_ended_is_401(api: FastAPI, store: SpyStore) -> None:
    browser = guarded(api, store)
    await browser.visit(path="/sign-in", method="POST")
    await store.inner.clear()
    assert (await browser.visit(path="/account")).status_code == 401


async def test_keys_that_this_very_request_wrote_do_not_count(api: FastAPI, store: SpyStore) -> None:
    def cheat(session: SessionDep) -> None:
        session.update(user_id=1, tenant="x")

    @api.get("/cheat", dependencies=[Depends(cheat)])
    async def endpoint(session: Keyed) -> None:
        return None

    assert (await guarded(api, store).visit(path="/cheat")).status_code == 401


async def test_a_session_that_this_very_request_saved_did_not_come_with_it(api: FastAPI, store: SpyStore) -> None:
    async def cheat(session: SessionDep) -> None:
        session.update(user_id=1, tenant="x")
        await session.save()

    @api.get("/cheat", dependencies=[Depends(cheat)])
    async def endpoint(session: Keyed) -> None:
        return None

    assert (await guarded(api, store).visit(path="/cheat")).status_code == 401


async def test_a_key_that_this_very_request_added_did_not_come_with_it(api: FastAPI, store: SpyStore) -> None:
    def cheat(session: SessionDep) -> None:
        session.update(user_id=1, tenant="x")

    @api.get("/cheat", dependencies=[Depends(cheat)])
    async def endpoint(session: Keyed) -> None:
        return None

    browser = guarded(api, store)
    await browser.visit(path="/greet", method="POST")
    assert (await browser.visit(path="/cheat")).status_code == 401


async def test_a_key_that_this_very_request_saved_did_not_come_with_it(api: FastAPI, store: SpyStore) -> None:
    async def cheat(session: SessionDep) -> None:
        session.update(user_id=1, tenant="x")
        await session.save()

    @api.get("/cheat", dependencies=[Depends(cheat)])
    async def endpoint(session: Keyed) -> None:
        return None

    browser = guarded(api, store)
    await browser.visit(path="/greet", method="POST")
    assert (await browser.visit(path="/cheat")).status_code == 401


async def test_a_value_that_is_false_still_is_there(api: FastAPI, store: SpyStore) -> None:
    @api.post("/zero")
    async def zero(session: SessionDep) -> None:
        session.update(user_id=0, tenant=None)

    browser = guarded(api, store)
    await browser.visit(path="/zero", method="POST")
    assert (await browser.visit(path="/account")).json() == 0


async def test_401_depends_on_the_cookie_and_says_so(api: FastAPI, store: SpyStore) -> None:
    assert (await guarded(api, store).visit(path="/account")).headers["vary"] == "Cookie"


async def test_it_shows_in_openapi_as_a_cookie_of_the_given_name(api: FastAPI, store: SpyStore) -> None:
    @api.get("/other", dependencies=[Depends(RequiredSession(name="my.sid"))])
    async def other() -> None:
        return None

    @api.get("/open")
    async def anybody(session: SessionDep, flash: FlashDep) -> None:
        return None

    guarded(api, store)
    schema = api.openapi()
    schemes = schema["components"]["securitySchemes"]

    def cookie_of(path: str) -> list[dict[str, Any]]:
        return [schemes[name] for entry in schema["paths"][path]["get"]["security"] for name in entry]

    assert cookie_of("/account") == [{"type": "apiKey", "in": "cookie", "name": "connect.sid"}]
    assert cookie_of("/other") == [{"type": "apiKey", "in": "cookie", "name": "my.sid"}]
    assert "security" not in schema["paths"]["/open"]["get"]
    assert "parameters" not in schema["paths"]["/open"]["get"]
    assert "requestBody" not in schema["paths"]["/open"]["get"]


async def test_its_name_picks_the_session_where_there_are_two(api: FastAPI, store: SpyStore) -> None:
    by_name = Annotated[Session, Depends(RequiredSession("user_id", name="outer"))]

    @api.get("/outer")
    async def outer(session: by_name, request: Request) -> bool:
        return session is not request.state.session

    @api.post("/outer")
    async def sign_in(request: Request) -> None:
        request.state.outer["user_id"] = 7

    api.add_middleware(SessionMiddleware, secret=SECRET, name="inner")

    async def between(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope["state"]["outer"] = scope["state"]["session"]
        await api(scope, receive, send)

    browser = Browser(app=SessionMiddleware(between, secret=SECRET, store=store, name="outer"))
    assert (await browser.visit(path="/outer")).status_code == 401
    await browser.visit(path="/outer", method="POST")
    assert (await browser.visit(path="/outer")).json() is True


async def test_no_other_session_stands_in_for_the_one_of_its_name(api: FastAPI, store: SpyStore) -> None:
    @api.get("/reports", dependencies=[Depends(RequiredSession(name="admin.sid"))])
    async def reports() -> str:
        return "secret"

    api.add_middleware(SessionMiddleware, secret=SECRET, name="admin.sid", cookie=Cookie(path="/admin"))
    browser = guarded(api, store)
    await browser.visit(path="/sign-in", method="POST")
    with pytest.raises(SessionNotLoaded, match="with this cookie name"):
        await browser.visit(path="/reports")


# WebSocket routes


def test_dependencies_serve_websocket_routes_too(api: FastAPI, store: SpyStore) -> None:
    @api.post("/sign-in")
    async def sign_in(session: SessionDep) -> None:
        session.update(user_id=7, tenant="x")

    @api.websocket("/ws")
    async def ws(websocket: WebSocket, session: SessionDep, flash: FlashDep) -> None:
        flash.info("over the wire")
        await websocket.accept()
        await websocket.send_json(session is websocket.state.session)
        await websocket.close()

    @api.websocket("/account")
    async def account(websocket: WebSocket, session: Keyed) -> None:
        await websocket.accept()
        await websocket.send_json(session["user_id"])
        await websocket.close()

    @api.get("/flash")
    async def drain(flash: FlashDep) -> Any:
        return flash("info")

    api.add_middleware(SessionMiddleware, secret=SECRET, store=store)
    with TestClient(api) as client:
        with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect("/account"):
            pass
        assert denied.value.status_code == 401
        client.post("/sign-in")
        with client.websocket_connect("/account") as websocket:
            assert websocket.receive_json() == 7
        with client.websocket_connect("/ws") as websocket:
            assert websocket.receive_json() is True
        assert client.get("/flash").json() == ["over the wire"]


@pytest.mark.parametrize("autoload", [True, False])
async def test_what_is_injected_is_what_stands_on_the_request(autoload: bool) -> None:
    app = FastAPI()
    app.add_middleware(SessionMiddleware, secret=SECRET, autoload=autoload)

    @app.get("/")
    async def endpoint(request: Request, flash: FlashDep, session: SessionDep) -> list[bool]:
        state = request.state
        return [session is state.session, session is request.session, flash is state.flash]

    assert (await Browser(app=app).visit()).json() == [True, True, True]


def test_old_versions_of_fastapi_understand_what_a_required_session_takes() -> None:
    # Before 0.123.7 they can't resolve the annotations of an object that is called where these are text.
    assert RequiredSession.__call__.__annotations__["connection"] is HTTPConnection


async def test_a_session_that_is_the_answer_itself_varies_by_cookie(api: FastAPI, store: SpyStore) -> None:
    @api.get("/")
    async def endpoint(session: SessionDep) -> dict[str, Any]:
        return {"session": session}

    response = await browser_of(api, store).visit()
    assert (response.json(), response.headers["vary"]) == ({"session": {}}, "Cookie")
