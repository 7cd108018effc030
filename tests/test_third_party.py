"""How other packages use `request.session`, in small: what they do must work and must be saved.

Each pattern was seen in the package that it is named for; none of their code is here.
"""

from __future__ import annotations

import copy
import json
import pickle
import time
from functools import partial
from typing import Any

import pytest
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from asgi_session import Cookie, SessionMiddleware
from tests.clients import SECRET, Browser, call, cookie_header, http_scope, put, set_cookie
from tests.spy_store import SpyStore


@pytest.fixture
def store() -> SpyStore:
    return SpyStore()


# A sign-in at another site (as Authlib's Starlette client)


def begin_sign_in(request: Request, state: str) -> Response:
    """Forget attempts that are too old, note this one, send the client away."""
    now = time.time()
    for key in list(request.session.keys()):
        if key.startswith("_state_") and request.session[key]["exp"] < now:
            request.session.pop(key)
    request.session[f"_state_{state}"] = {"data": {"nonce": None, "uri": "https://here/cb"}, "exp": now + 3600.5}
    return RedirectResponse("https://there/authorize")


def end_sign_in(request: Request, state: str) -> Any:
    """Take the note of the attempt and drop it."""
    note = request.session.get(f"_state_{state}")
    request.session.pop(f"_state_{state}", None)
    return note


async def test_the_note_of_a_sign_in_elsewhere_survives_the_way_there_and_back(store: SpyStore) -> None:
    browser = Browser(store=store)
    assert (await browser.visit(lambda request: begin_sign_in(request, "x"))).status_code == 307
    note = (await browser.visit(lambda request: end_sign_in(request, "x"))).json()
    assert note["data"] == {"nonce": None, "uri": "https://here/cb"}
    assert note["exp"] > time.time()
    assert await store.sids() == []  # nothing else was in it


async def test_two_sign_ins_in_two_tabs_do_not_mix(store: SpyStore) -> None:
    browser = Browser(store=store)
    for state in ("x", "y"):
        await browser.visit(partial(begin_sign_in, state=state))
    assert (await browser.visit(lambda request: end_sign_in(request, "x"))).json() is not None
    assert (await browser.visit(lambda request: end_sign_in(request, "x"))).json() is None
    assert (await browser.visit(lambda request: end_sign_in(request, "y"))).json() is not None


async def test_the_default_cookie_comes_back_from_another_site() -> None:
    response = await Browser().visit(lambda request: begin_sign_in(request, "x"))
    assert "SameSite=Lax" in (set_cookie(response) or "")


async def test_an_app_that_looks_whether_there_are_sessions_at_all_finds_one() -> None:
    response = await Browser().visit(lambda request: "session" in request.scope)
    assert response.json() is True


# A message bag (as starlette-flash)


class Bag:
    """Messages under one key of the session, if that is a dict; else they are lost."""

    def __init__(self, request: Request) -> None:
        session = request.session
        self.session: dict[str, Any] = session if isinstance(session, dict) else {}
        if hasattr(session, "mark_modified") and hasattr(session, "mark_accessed"):
            session.mark_accessed()

    def add(self, text: str) -> None:
        self.session.setdefault("_messages", []).append({"text": text, "category": "info"})

    def consume(self) -> list[Any]:
        messages: list[Any] = self.session.setdefault("_messages", [])
        taken = list(messages)
        messages.clear()
        return taken


def add_to_bag(request: Request, text: str) -> None:
    Bag(request).add(text)


async def test_messages_put_into_a_list_in_place_arrive(store: SpyStore) -> None:
    browser = Browser(store=store)
    for text in ("one", "two"):
        await browser.visit(partial(add_to_bag, text=text))
    texts = await browser.visit(lambda request: [message["text"] for message in Bag(request).consume()])
    assert texts.json() == ["one", "two"]
    assert (await browser.visit(lambda request: Bag(request).consume())).json() == []


# A panel with accounts and messages of its own (as sqladmin)


def panel_flash(request: Request, text: str) -> None:
    if "_messages" not in request.session:
        request.session["_messages"] = []
    request.session["_messages"].append(text)


async def test_a_second_message_appended_to_a_stored_list_is_not_lost(store: SpyStore) -> None:
    browser = Browser(store=store)
    await browser.visit(lambda request: panel_flash(request, "one"))
    await browser.visit(lambda request: panel_flash(request, "two"))
    assert (await browser.visit(lambda request: request.session.pop("_messages"))).json() == ["one", "two"]


async def test_a_panels_login_and_logout_work(store: SpyStore) -> None:
    browser = Browser(store=store)
    await browser.visit(lambda request: request.session.update({"token": "t", "user": {"name": "ann"}}))
    assert (await browser.visit(lambda request: request.session.get("token"))).json() == "t"
    await browser.visit(lambda request: request.session.clear())
    assert (await browser.visit(lambda request: request.session.get("token"))).json() is None
    assert await store.sids() == []


# A form token (as starlette-wtf)


async def test_a_form_token_is_made_once_and_stays(store: SpyStore) -> None:
    def form(request: Request) -> Any:
        if "csrf" not in request.session:
            request.session["csrf"] = "token-of-the-form"
        return request.session["csrf"]

    browser = Browser(store=store)
    assert [(await browser.visit(form)).json() for _ in range(3)] == ["token-of-the-form"] * 3
    assert store.calls == ["create", "get", "get"]


# A login layer that looks at the session on every message that it sends (as starlette-login)


async def test_reading_the_session_after_the_response_never_fails(store: SpyStore) -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def looking(message: Any) -> None:
            await send(message)
            seen.append(HTTPConnection(scope).session.get("_user"))

        request = Request(scope, receive)
        request.session["_user"] = "ann"
        await Response("ok")(scope, receive, looking)

    await call(SessionMiddleware(app, secret=SECRET, store=store), http_scope())
    assert seen == ["ann", "ann"]
    assert store.calls == ["create"]


async def test_reading_a_destroyed_session_after_the_response_never_fails(store: SpyStore) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["session"].destroy()
        await Response("ok")(scope, receive, send)
        session = HTTPConnection(scope).session
        seen.append([session.get("a"), "a" in session, dict(session), list(session.items())])

    wrapped = SessionMiddleware(app, secret=SECRET, store=store)
    await call(wrapped, http_scope(headers=cookie_header(browser.cookies)))
    assert seen == [[None, False, {}, []]]


# Reading past the property (as imia)


async def test_a_session_taken_from_the_scope_itself_works(store: SpyStore) -> None:
    def endpoint(request: Request) -> Any:
        request.scope["session"]["user"] = "ann"
        return request.scope.get("session", {}).get("user")

    browser = Browser(store=store)
    response = await browser.visit(endpoint)
    assert response.json() == "ann"
    assert response.headers["vary"] == "Cookie"
    assert await browser.read() == {"user": "ann"}


# What a dict can do


async def test_the_session_is_a_real_dict(store: SpyStore) -> None:
    def endpoint(request: Request) -> Any:
        session = request.session
        assert isinstance(session, dict)
        assert json.loads(json.dumps(session)) == {"a": [1], "b": 2}
        assert {**session} == dict(session) == session == {"a": [1], "b": 2}
        assert list(session) == list(session.keys()) == ["a", "b"]
        assert list(reversed(session)) == ["b", "a"]
        assert session | {"c": 3} == {"a": [1], "b": 2, "c": 3}
        assert {"c": 3} | session == {"c": 3, "a": [1], "b": 2}
        assert type(session.copy()) is dict
        match session:
            case {"a": [first], **rest}:
                assert (first, rest) == (1, {"b": 2})
            case _:
                pytest.fail("a session does not match a mapping pattern")
        return "fine"

    browser = Browser(store=store)
    await browser.visit(put(a=[1], b=2))
    store.calls.clear()
    assert (await browser.visit(endpoint)).json() == "fine"
    assert store.calls == ["get"]


def ior(session: dict[str, Any]) -> None:
    session |= {"a": 2}


WRITES = [
    pytest.param(ior, {"a": 2, "b": 2}, id="|="),
    pytest.param(lambda s: s.update([("a", 2)], c=3), {"a": 2, "b": 2, "c": 3}, id="update"),
    pytest.param(lambda s: s.popitem(), {"a": 1}, id="popitem"),
    pytest.param(lambda s: s.pop("a"), {"b": 2}, id="pop"),
    pytest.param(lambda s: s.__delitem__("a"), {"b": 2}, id="del"),
    pytest.param(lambda s: s.setdefault("c", []).append(1), {"a": 1, "b": 2, "c": [1]}, id="setdefault"),
    pytest.param(lambda s: [s.clear(), s.update(z=0)], {"z": 0}, id="clear and more"),
]


@pytest.mark.parametrize(("write", "then"), WRITES)
async def test_every_way_to_write_a_dict_is_saved(store: SpyStore, write: Any, then: dict[str, Any]) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a=1, b=2))
    await browser.visit(lambda request: write(request.session))
    assert await store.data() == then


async def test_copies_take_the_data_and_not_the_store(store: SpyStore) -> None:
    def endpoint(request: Request) -> Any:
        session = request.session
        copies = [copy.deepcopy(session), copy.copy(session), pickle.loads(pickle.dumps(session))]  # noqa: S301
        copies[0]["a"].append(2)
        assert b"store" not in pickle.dumps(session)
        return copies[1:]

    browser = Browser(store=store)
    await browser.visit(put(a=[1]))
    store.calls.clear()
    assert (await browser.visit(endpoint)).json() == [{"a": [1]}, {"a": [1]}]
    assert store.calls == ["get"]


async def test_starlettes_own_names_are_there() -> None:
    def endpoint(request: Request) -> Any:
        session = request.state.session
        before = [session.accessed, session.modified]
        session["a"] = 1
        return [before, session.accessed, session.modified]

    assert (await Browser().visit(endpoint)).json() == [[False, False], True, True]


# Keys that look like members


@pytest.mark.parametrize(
    "key", ["id", "save", "touch", "destroy", "accessed", "clear", "__class__", "", "a.b", "$where"]
)
async def test_a_key_named_like_a_member_is_a_key(store: SpyStore, key: str) -> None:
    browser = Browser(store=store, cookie=Cookie(max_age=60))
    await browser.visit(lambda request: request.session.update({key: 1}))
    assert await browser.read() == {key: 1}
