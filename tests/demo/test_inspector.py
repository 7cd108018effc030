"""The inspector: the visitor's own session, taken apart without giving it away."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any
from urllib.parse import unquote

import httpx
from fastapi import FastAPI

from asgi_session import MemoryStore
from tests.demo.conftest import visiting


def record_on(page: str) -> Any:
    """The JSON that a page shows as the stored record."""
    found = re.search(r'aria-label="Stored record as JSON"><code>(.*?)</code>', page, re.DOTALL)
    assert found is not None
    return json.loads(unescape(found[1]))


async def test_the_record_is_shown_as_the_store_has_it(visitor: httpx.AsyncClient, store: MemoryStore) -> None:
    await visitor.post("/sign-in", data={"name": "Zoë & <Ada>"})
    sid = unquote(visitor.cookies["connect.sid"]).removeprefix("s:").rpartition(".")[0]
    stored = await store.get(sid)
    assert stored is not None
    shown = record_on((await visitor.get("/inspector")).text)
    assert shown == json.loads(stored.payload)
    assert shown["user"] == "Zoë & <Ada>"
    assert next(iter(shown)) == "cookie"


async def test_the_id_is_shortened_and_the_signature_shown(visitor: httpx.AsyncClient) -> None:
    await visitor.get("/")
    sid, _, signature = unquote(visitor.cookies["connect.sid"]).removeprefix("s:").rpartition(".")
    page = unescape((await visitor.get("/inspector")).text)
    assert f"{sid[:6]}…" in page
    assert sid[:7] not in page
    assert signature in page


async def test_the_attributes_and_the_time_left_are_named(visitor: httpx.AsyncClient) -> None:
    await visitor.post("/sign-in", data={"name": "Ada", "remember": "true"})
    page = (await visitor.get("/inspector")).text
    assert "<code>lax</code>" in page
    assert "no, as this connection is plain http." in page
    assert "30 days left" in page
    assert "It dies <strong>in 30 days</strong>" in page


async def test_a_message_queued_for_the_inspector_is_in_the_record_that_it_shows(visitor: httpx.AsyncClient) -> None:
    form = {"text": "Look inside", "category": "warning", "then": "inspector"}
    page = (await visitor.post("/messages", data=form)).text
    assert record_on(page)["flash"] == {"warning": ["Look inside"]}


async def test_a_drained_queue_leaves_nothing_in_the_record(visitor: httpx.AsyncClient) -> None:
    await visitor.post("/cart/add", data={"sku": "pen"})
    assert "flash" not in record_on((await visitor.get("/inspector")).text)


async def test_without_a_cookie_there_is_no_session_and_none_is_made(
    visitor: httpx.AsyncClient, store: MemoryStore
) -> None:
    answer = await visitor.get("/inspector")
    assert "Your browser sent no session cookie" in answer.text
    assert "set-cookie" not in answer.headers
    assert await store.length() == 0


async def test_a_forged_cookie_shows_nobodys_session(visitor: httpx.AsyncClient, app: FastAPI) -> None:
    await visitor.post("/sign-in", data={"name": "Ada"})
    async with visiting(app) as thief:
        cookie = visitor.cookies["connect.sid"]
        thief.cookies.set("connect.sid", cookie[:-1] + ("A" if cookie[-1] != "A" else "E"))
        page = (await thief.get("/inspector")).text
    assert "it names no live session" in page
    assert "Ada" not in page


async def test_destroying_the_session_deletes_the_record_and_the_cookie(
    visitor: httpx.AsyncClient, store: MemoryStore
) -> None:
    await visitor.get("/")
    answer = await visitor.post("/forget")
    assert "You have no session." in answer.text
    assert await store.length() == 0
    assert "connect.sid" not in visitor.cookies
