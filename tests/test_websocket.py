"""Sessions of WebSocket connections: saved before the handshake's answer, and again when the connection ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from asgi_session import Cookie, Session, SessionError, SessionMiddleware, StoreError, load_session
from tests.clients import SECRET, Browser, call, cookie_header, put, websocket_scope
from tests.spy_store import SpyStore

Endpoint = Callable[[WebSocket], Awaitable[None]]

DENIAL: dict[str, Any] = {"websocket.http.response": {}}


@pytest.fixture
def store() -> SpyStore:
    return SpyStore()


@pytest.fixture
async def known(store: SpyStore) -> list[tuple[bytes, bytes]]:
    """The Cookie header of a client with a stored session."""
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    store.calls.clear()
    return cookie_header(browser.cookies)


def app_of(endpoint: Endpoint, store: SpyStore, **options: Any) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await endpoint(WebSocket(scope, receive, send))

    return SessionMiddleware(app, secret=SECRET, store=store, **options)


def saving_in_vain(store: SpyStore) -> Endpoint:
    """An endpoint that accepts, and then finds the store failing when it saves."""

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.session["a"] = 2
        store.fail()
        await websocket.state.session.save()

    return endpoint


def client_of(endpoint: Endpoint, **options: Any) -> TestClient:
    app = Starlette(
        routes=[
            WebSocketRoute("/ws", endpoint),
            Route("/read", lambda request: JSONResponse(dict(request.session))),
            Route("/put", lambda request: JSONResponse(request.session.update(a=1))),
        ],
        middleware=[Middleware(SessionMiddleware, **{"secret": SECRET, **options})],
    )
    return TestClient(app)


def header(message: Any, name: bytes) -> bytes | None:
    return dict(message.get("headers", ())).get(name)


# The handshake


def test_the_session_is_one_object_on_a_websocket_too() -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json(websocket.session is websocket.state.session)
        await websocket.close()

    with client_of(endpoint) as client, client.websocket_connect("/ws") as websocket:
        assert websocket.receive_json() is True


def test_a_websocket_sees_what_http_stored_and_the_other_way_round() -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.session["b"] = websocket.session["a"] + 1
        await websocket.close()

    with client_of(endpoint) as client:
        client.get("/put")
        with client.websocket_connect("/ws"):
            pass
        assert client.get("/read").json() == {"a": 1, "b": 2}


def test_a_session_made_in_the_handshake_reaches_the_client() -> None:
    async def endpoint(websocket: WebSocket) -> None:
        websocket.session["a"] = 1
        await websocket.accept()
        await websocket.close()

    with client_of(endpoint) as client:
        with client.websocket_connect("/ws") as websocket:
            keep_cookie(client, dict(websocket.extra_headers or [(b"", b"")])[b"set-cookie"].decode())
        assert client.get("/read").json() == {"a": 1}


def keep_cookie(client: TestClient, header: str) -> None:
    """Do what browsers do with a Set-Cookie of a handshake; the test client does not."""
    name, value = header.partition(";")[0].split("=", 1)
    client.cookies.set(name, value, domain="testserver.local", path="/")


async def test_the_session_is_stored_before_the_accept_goes_out(store: SpyStore) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        websocket.session["a"] = 1
        await websocket.accept(subprotocol="chat", headers=[(b"x-own", b"1")])

    stored: list[list[str]] = []
    sent = await call(
        app_of(endpoint, store), websocket_scope(), on_send=lambda message: stored.append(list(store.calls))
    )
    assert stored[0] == ["create"]
    assert sent[0]["type"] == "websocket.accept"
    assert sent[0]["subprotocol"] == "chat"
    assert header(sent[0], b"x-own") == b"1"
    cookie = header(sent[0], b"set-cookie")
    assert cookie is not None
    assert cookie.startswith(b"connect.sid=s%3A")
    assert header(sent[0], b"cache-control") == b"no-store"


@pytest.mark.parametrize(("scheme", "secure"), [("ws", False), ("wss", True)])
async def test_the_cookie_is_secure_as_the_websocket_is(store: SpyStore, scheme: str, secure: bool) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        websocket.session["a"] = 1
        await websocket.accept()

    sent = await call(app_of(endpoint, store), websocket_scope(scheme=scheme))
    assert (b"Secure" in (header(sent[0], b"set-cookie") or b"")) is secure


async def test_a_secure_cookie_goes_to_an_encrypted_websocket_only(store: SpyStore) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        websocket.session["a"] = 1
        await websocket.accept()

    app = app_of(endpoint, store, cookie=Cookie(secure=True))
    assert header((await call(app, websocket_scope(scheme="ws")))[0], b"set-cookie") is None
    assert await store.sids() == []
    assert header((await call(app, websocket_scope(scheme="wss")))[0], b"set-cookie") is not None


async def test_a_websocket_that_leaves_the_session_alone_costs_no_store_call(store: SpyStore) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("hello")

    sent = await call(app_of(endpoint, store), websocket_scope())
    assert store.calls == []
    assert sent[0].get("headers", []) == []


# While the connection lasts


async def test_changes_are_saved_when_the_server_closes(store: SpyStore, known: Any) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.session["a"] = 2
        await websocket.close()

    at_close: list[list[str]] = []
    await call(
        app_of(endpoint, store),
        websocket_scope(headers=known),
        on_send=lambda message: at_close.append(list(store.calls)),
    )
    assert at_close == [["get"], ["get", "replace"]]
    assert await store.data() == {"a": 2}


async def test_changes_are_saved_when_the_endpoint_returns(store: SpyStore, known: Any) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.session["a"] = 2

    await call(app_of(endpoint, store), websocket_scope(headers=known))
    assert await store.data() == {"a": 2}


async def test_a_disconnect_that_escapes_the_endpoint_is_a_normal_close(store: SpyStore, known: Any) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.session["a"] = 2
        await websocket.receive_text()

    with pytest.raises(WebSocketDisconnect):
        await call(app_of(endpoint, store), websocket_scope(headers=known))
    assert await store.data() == {"a": 2}


async def test_another_exception_saves_no_change_since_the_accept(store: SpyStore, known: Any) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.session["a"] = 2
        raise LookupError

    with pytest.raises(LookupError):
        await call(app_of(endpoint, store), websocket_scope(headers=known))
    assert await store.data() == {"a": 1}


async def test_an_exception_before_the_accept_saves_nothing(store: SpyStore, known: Any) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        websocket.session["a"] = 2
        raise LookupError

    with pytest.raises(LookupError):
        await call(app_of(endpoint, store), websocket_scope(headers=known))
    assert store.calls == ["get"]


async def test_save_commits_while_the_connection_lasts(store: SpyStore, known: Any) -> None:
    seen: list[Any] = []

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        for n in (2, 3):
            websocket.session["a"] = n
            await websocket.state.session.save()
            seen.append(await store.data())

    await call(app_of(endpoint, store), websocket_scope(headers=known))
    assert seen == [{"a": 2}, {"a": 3}]


async def test_a_session_first_written_after_the_accept_is_logged_and_not_stored(
    store: SpyStore, caplog: pytest.LogCaptureFixture
) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.session["a"] = 1
        await websocket.close()

    sent = await call(app_of(endpoint, store), websocket_scope())
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]
    assert store.calls == []
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_save_of_a_session_first_written_after_the_accept_is_an_error(store: SpyStore) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.session["a"] = 1
        with pytest.raises(SessionError):
            await websocket.state.session.save()

    await call(app_of(endpoint, store), websocket_scope())
    assert store.calls == []


async def test_a_logout_elsewhere_is_not_undone_by_a_connection_that_closes_later(store: SpyStore, known: Any) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.session["a"] = 2
        await store.inner.clear()

    await call(app_of(endpoint, store), websocket_scope(headers=known))
    assert await store.sids() == []


# Refusals


async def test_a_close_before_accept_saves_an_existing_session(store: SpyStore, known: Any) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        websocket.session["a"] = 2
        await websocket.close()

    at_close: list[list[str]] = []
    sent = await call(
        app_of(endpoint, store),
        websocket_scope(headers=known),
        on_send=lambda message: at_close.append(list(store.calls)),
    )
    assert at_close == [["get", "replace"]]
    assert sent == [{"type": "websocket.close", "code": 1000, "reason": ""}]
    assert await store.data() == {"a": 2}


async def test_a_close_before_accept_stores_no_new_session(store: SpyStore, caplog: pytest.LogCaptureFixture) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        websocket.session["a"] = 1
        await websocket.close()

    sent = await call(app_of(endpoint, store), websocket_scope())
    assert store.calls == []
    assert caplog.messages == []
    assert [message["type"] for message in sent] == ["websocket.close"]


async def test_an_endpoint_that_returns_before_the_accept_has_closed_too(store: SpyStore, known: Any) -> None:
    async def endpoint(websocket: WebSocket) -> None:  # its client has gone, which it need not raise
        websocket.session["a"] = 2

    await call(app_of(endpoint, store), websocket_scope(headers=known))
    assert await store.data() == {"a": 2}
    await call(app_of(endpoint, store), websocket_scope())
    assert len(await store.sids()) == 1


async def test_a_new_id_that_a_close_before_accept_can_not_send_is_logged(
    store: SpyStore, known: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        session: Session = websocket.state.session
        session.regenerate(keep=True)
        await websocket.close()

    await call(app_of(endpoint, store), websocket_scope(headers=known))
    assert await store.sids() == []
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_nor_is_one_missed_that_nothing_was_put_into(store: SpyStore, caplog: pytest.LogCaptureFixture) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.close()

    await call(app_of(endpoint, store, save_uninitialized=True), websocket_scope())
    assert (store.calls, caplog.messages) == ([], [])


async def test_a_denial_response_saves_and_carries_the_cookie(store: SpyStore) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        websocket.session["a"] = 1
        await websocket.send_denial_response(PlainTextResponse("no", 401))

    stored: list[list[str]] = []
    sent = await call(
        app_of(endpoint, store),
        websocket_scope(extensions=DENIAL),
        on_send=lambda message: stored.append(list(store.calls)),
    )
    assert stored[0] == ["create"]
    assert sent[0]["type"] == "websocket.http.response.start"
    assert sent[0]["status"] == 401
    assert header(sent[0], b"set-cookie") is not None


async def test_a_denial_response_from_500_on_saves_nothing(store: SpyStore) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        websocket.session["a"] = 1
        await websocket.send_denial_response(PlainTextResponse("no", 500))

    sent = await call(app_of(endpoint, store), websocket_scope(extensions=DENIAL))
    assert store.calls == []
    assert header(sent[0], b"set-cookie") is None


def test_a_denied_client_keeps_the_cookie() -> None:
    async def endpoint(websocket: WebSocket) -> None:
        websocket.session["tries"] = websocket.session.get("tries", 0) + 1
        await websocket.send_denial_response(PlainTextResponse("no", 403))

    with client_of(endpoint) as client:
        for _ in range(2):
            with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect("/ws"):
                pass
            if "set-cookie" in denied.value.headers:
                keep_cookie(client, denied.value.headers["set-cookie"])
        assert client.get("/read").json() == {"tries": 2}


# A store that fails


async def ignore(websocket: WebSocket) -> None:
    await websocket.accept()


async def test_a_failed_load_is_a_denial_response(store: SpyStore, known: Any) -> None:
    store.fail()
    sent = await call(app_of(ignore, store), websocket_scope(headers=known, extensions=DENIAL))
    assert [message["type"] for message in sent] == ["websocket.http.response.start", "websocket.http.response.body"]
    assert sent[0]["status"] == 503
    assert header(sent[0], b"retry-after") is not None


@pytest.mark.parametrize("more", [{}, {"extensions": None}, {"extensions": {}}])
async def test_a_failed_load_is_a_close_where_denial_responses_are_unknown(
    store: SpyStore, known: Any, more: Any
) -> None:
    store.fail()
    sent = await call(app_of(ignore, store), websocket_scope(headers=known, **more))
    assert [(message["type"], message["code"]) for message in sent] == [("websocket.close", 1013)]


async def test_a_failed_load_comes_out_for_those_who_want_errors(store: SpyStore, known: Any) -> None:
    store.fail()
    with pytest.raises(StoreError):
        await call(app_of(ignore, store, on_store_error="raise"), websocket_scope(headers=known))


async def test_a_failed_load_may_be_served_with_an_empty_session(store: SpyStore, known: Any) -> None:
    seen: list[Any] = []

    async def endpoint(websocket: WebSocket) -> None:
        websocket.session["a"] = 2
        seen.append(dict(websocket.session))
        store.work()
        await websocket.accept()

    store.fail()
    sent = await call(app_of(endpoint, store, on_store_error="anonymous"), websocket_scope(headers=known))
    assert [message["type"] for message in sent] == ["websocket.accept"]
    assert header(sent[0], b"set-cookie") is None
    assert seen == [{"a": 2}]
    assert await store.data() == {"a": 1}


async def test_a_failed_commit_refuses_the_handshake(store: SpyStore) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        websocket.session["a"] = 1
        await websocket.accept()
        await websocket.send_text("not sent")
        await websocket.close()

    store.fail()
    sent = await call(app_of(endpoint, store), websocket_scope())
    assert [(message["type"], message.get("code")) for message in sent] == [("websocket.close", 1013)]


async def test_a_failed_save_that_escapes_before_the_accept_refuses_the_handshake(store: SpyStore) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        websocket.session["a"] = 1
        await websocket.state.session.save()

    store.fail()
    sent = await call(app_of(endpoint, store), websocket_scope(extensions=DENIAL))
    assert sent[0]["status"] == 503


async def test_a_failed_save_that_escapes_after_the_accept_closes_with_1013(
    store: SpyStore, known: Any, caplog: pytest.LogCaptureFixture
) -> None:
    sent = await call(app_of(saving_in_vain(store), store), websocket_scope(headers=known, extensions=DENIAL))
    assert [(message["type"], message.get("code")) for message in sent] == [
        ("websocket.accept", None),
        ("websocket.close", 1013),
    ]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_a_failed_save_after_the_close_is_only_logged(
    store: SpyStore, known: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()
        websocket.session["a"] = 2
        store.fail()
        await websocket.state.session.save()

    sent = await call(app_of(endpoint, store), websocket_scope(headers=known))
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_a_failed_commit_at_the_close_is_only_logged(
    store: SpyStore, known: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.session["a"] = 2
        store.fail()
        await websocket.close()

    sent = await call(app_of(endpoint, store), websocket_scope(headers=known))
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]
    assert logging.ERROR in [record.levelno for record in caplog.records]


async def test_load_session_that_fails_refuses_the_handshake(store: SpyStore, known: Any) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await load_session(websocket)
        await websocket.accept()

    store.fail()
    sent = await call(app_of(endpoint, store, autoload=False), websocket_scope(headers=known))
    assert [(message["type"], message["code"]) for message in sent] == [("websocket.close", 1013)]


async def test_the_client_of_a_refused_websocket_hears_nothing_more(store: SpyStore) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        websocket.session["a"] = 1
        await websocket.send_denial_response(PlainTextResponse("no", 401))

    store.fail()
    sent = await call(app_of(endpoint, store), websocket_scope(extensions=DENIAL))
    assert [message.get("status") for message in sent] == [503, None]


async def test_the_apps_own_accept_message_is_not_changed(store: SpyStore) -> None:
    accept: Message = {"type": "websocket.accept", "subprotocol": None, "headers": [(b"x-own", b"1")]}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["session"]["a"] = 1
        await send(accept)

    await call(SessionMiddleware(app, secret=SECRET, store=store), websocket_scope())
    assert accept == {"type": "websocket.accept", "subprotocol": None, "headers": [(b"x-own", b"1")]}


async def test_an_endpoint_that_only_sends_ends_when_it_is_refused(store: SpyStore) -> None:
    sent_before_the_end = 0

    async def endpoint(websocket: WebSocket) -> None:
        nonlocal sent_before_the_end
        websocket.session["a"] = 1
        await websocket.accept()
        while True:
            await websocket.send_text("tick")
            sent_before_the_end += 1
            await asyncio.sleep(0)

    store.fail()
    async with asyncio.timeout(5):
        sent = await call(app_of(endpoint, store), websocket_scope(extensions=DENIAL))
    assert [message.get("status") for message in sent] == [503, None]
    assert sent_before_the_end == 0


async def test_a_disconnect_before_the_accept_is_no_response_that_started(
    store: SpyStore, caplog: pytest.LogCaptureFixture
) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        websocket.session["a"] = 1
        raise WebSocketDisconnect(1006)

    with pytest.raises(WebSocketDisconnect):
        await call(app_of(endpoint, store), websocket_scope())
    assert await store.sids() == []
    assert caplog.records == []


@pytest.mark.parametrize("error", [OSError, RuntimeError])
async def test_a_client_that_has_gone_need_not_be_told_that_the_store_fails(
    error: type[Exception], store: SpyStore, known: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(message: Any) -> None:
        if message["type"] == "websocket.close":
            raise error("nobody there")

    await call(app_of(saving_in_vain(store), store), websocket_scope(headers=known), on_send=gone)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_a_disconnect_in_a_task_group_is_a_normal_end_too(
    store: SpyStore, known: list[tuple[bytes, bytes]]
) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.session["a"] = 2

        async def read() -> None:
            while True:
                await websocket.receive_text()

        async with asyncio.TaskGroup() as group:
            group.create_task(read())

    with pytest.raises(ExceptionGroup):
        await call(app_of(endpoint, store), websocket_scope(headers=known))
    assert await store.data() == {"a": 2}


async def test_a_failed_save_in_a_task_group_closes_the_connection(
    store: SpyStore, known: list[tuple[bytes, bytes]]
) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.session["a"] = 2
        store.fail()
        async with asyncio.TaskGroup() as group:
            group.create_task(websocket.state.session.save())

    sent = await call(app_of(endpoint, store), websocket_scope(headers=known))
    assert sent[-1] == {"type": "websocket.close", "code": 1013}
