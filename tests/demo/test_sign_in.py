"""Signing in and out, and being remembered."""

from __future__ import annotations

import re

import httpx

from asgi_session import MemoryStore

MONTH = 30 * 86400


def cookie_age(answer: httpx.Response) -> int | None:
    """Seconds that the browser is to keep the cookie; None: until it closes."""
    found = re.search(r"Max-Age=(\d+)", answer.headers["set-cookie"])
    return None if found is None else int(found[1])


def cookie_value(visitor: httpx.AsyncClient) -> str:
    value = visitor.cookies["connect.sid"]
    assert value
    return value


async def test_signing_in_greets_by_name(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.post("/sign-in", data={"name": "Ada"})
    assert "Welcome, Ada." in answer.text
    assert "Signed in as <strong>Ada</strong>" in answer.text


async def test_a_name_is_shown_as_text_whatever_it_holds(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.post("/sign-in", data={"name": "<b>100%s</b>"})
    assert "Welcome, &lt;b&gt;100%s&lt;/b&gt;." in answer.text
    assert "<b>" not in answer.text


async def test_signing_in_replaces_the_id_and_keeps_the_cart(visitor: httpx.AsyncClient, store: MemoryStore) -> None:
    await visitor.post("/cart/add", data={"sku": "pen"})
    before = cookie_value(visitor)
    await visitor.post("/sign-in", data={"name": "Ada"})
    assert cookie_value(visitor) != before
    assert "1 \u00d7 Fountain pen" in (await visitor.get("/cart")).text
    assert await store.length() == 1


async def test_without_a_name_nobody_is_signed_in(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.post("/sign-in", data={"name": "  "})
    assert "Please enter a name." in answer.text
    assert "Not signed in" in answer.text


async def test_signing_out_says_goodbye_under_a_new_id_and_drops_everything(
    visitor: httpx.AsyncClient, store: MemoryStore
) -> None:
    await visitor.post("/cart/add", data={"sku": "pen"})
    await visitor.post("/sign-in", data={"name": "Ada"})
    before = cookie_value(visitor)
    answer = await visitor.post("/sign-out", follow_redirects=False)
    assert cookie_value(visitor) != before
    assert await store.length() == 1
    answer = await visitor.get(answer.headers["location"])
    assert "Goodbye!" in answer.text
    assert "Not signed in" in answer.text
    assert "Nothing in it yet." in (await visitor.get("/cart")).text


async def test_the_cookie_of_before_signing_out_is_worth_nothing(visitor: httpx.AsyncClient) -> None:
    await visitor.post("/sign-in", data={"name": "Ada"})
    before = cookie_value(visitor)
    await visitor.post("/sign-out")
    visitor.cookies.clear()
    visitor.cookies.set("connect.sid", before)
    assert "Not signed in" in (await visitor.get("/sign-in")).text


async def test_a_tick_at_sign_in_gives_the_cookie_a_month(visitor: httpx.AsyncClient) -> None:
    form = {"name": "Ada", "remember": "true"}
    age = cookie_age(await visitor.post("/sign-in", data=form, follow_redirects=False))
    assert age is not None
    assert MONTH - 10 < age <= MONTH


async def test_without_the_tick_the_cookie_has_no_age(visitor: httpx.AsyncClient) -> None:
    assert cookie_age(await visitor.post("/sign-in", data={"name": "Ada"}, follow_redirects=False)) is None


async def test_remember_me_gives_the_cookie_a_month_and_takes_it_back(visitor: httpx.AsyncClient) -> None:
    await visitor.post("/sign-in", data={"name": "Ada"})
    answer = await visitor.post("/remember-me", data={"remember": "true"}, follow_redirects=False)
    assert cookie_age(answer) is not None
    assert "kept for another <strong>30 days</strong>" in (await visitor.get("/sign-in")).text
    answer = await visitor.post("/remember-me", follow_redirects=False)
    assert cookie_age(answer) is None
    assert "lives until the browser is closed" in (await visitor.get("/sign-in")).text
