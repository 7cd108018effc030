"""A write whose reply was lost, or that failed: nobody knows whether it was made, and nothing may come of guessing."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from starlette.requests import Request

from asgi_session import SessionDestroyed, StoreError

from .clients import Browser, attributes, put, set_cookie
from .spy_store import SpyStore

MADE = pytest.mark.parametrize("made", [True, False], ids=["made", "not made"])


async def signed_in(**data: Any) -> tuple[Browser, SpyStore]:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(**data))
    return browser, store


async def save_in_vain(request: Request, store: SpyStore, *, made: bool) -> None:
    store.fail_once("replace", made=made)
    with pytest.raises(StoreError):
        await request.state.session.save()


@MADE
@pytest.mark.parametrize("change", ["assigned", "incremented", "changed in place"])
async def test_what_the_handler_takes_back_is_taken_back_in_the_store(change: str, made: bool) -> None:
    browser, store = await signed_in(n=0, list=[0])

    async def handler(request: Request) -> None:
        session = request.state.session
        steps: dict[str, tuple[Any, Any]] = {
            "assigned": (lambda: session.update(n=1), lambda: session.update(n=0)),
            "incremented": (lambda: session.increment("n"), lambda: session.increment("n", -1)),
            "changed in place": (lambda: session["list"].append(1), lambda: session["list"].pop()),
        }
        do, undo = steps[change]
        do()
        await save_in_vain(request, store, made=made)
        undo()

    assert (await browser.visit(handler)).status_code == 200
    assert await store.data() == {"n": 0, "list": [0]}


async def test_however_often_it_is_tried_another_requests_change_is_not_overwritten() -> None:
    browser, store = await signed_in(n=0)

    async def handler(request: Request) -> None:
        request.state.session.increment("n")
        await save_in_vain(request, store, made=False)
        await browser.tab().visit(put(other="paid"))
        for _ in range(3):
            with pytest.raises(StoreError, match="nobody can tell"):
                await request.state.session.save()

    assert (await browser.visit(handler)).status_code == 503
    assert await store.data() == {"n": 0, "other": "paid"}


async def test_a_claim_does_not_make_it_known_either() -> None:
    browser, store = await signed_in(n=0, flash={"info": ["m"]})

    async def handler(request: Request) -> None:
        request.state.session.increment("n")
        await save_in_vain(request, store, made=False)
        await browser.tab().visit(put(other="paid"))
        with pytest.raises(StoreError, match="nobody can tell"):
            await request.state.flash.claim("info")

    assert (await browser.visit(handler)).status_code == 503
    assert await store.data() == {"n": 0, "flash": {"info": ["m"]}, "other": "paid"}


@MADE
async def test_a_reload_ends_the_doubt(made: bool) -> None:
    browser, store = await signed_in(n=0)

    async def handler(request: Request) -> None:
        session = request.state.session
        session.increment("n")
        await save_in_vain(request, store, made=made)
        await session.reload()
        await browser.tab().visit(lambda other: other.state.session.increment("n"))
        session.increment("n")

    assert (await browser.visit(handler)).status_code == 200
    assert await store.data() == {"n": 2 + made}


@MADE
async def test_a_destroy_while_the_write_fails_lets_no_later_write_in(made: bool) -> None:
    browser, store = await signed_in(n=0)

    async def handler(request: Request) -> None:
        session = request.state.session
        session["n"] = 1

        async def destroyed_meanwhile() -> None:
            session.destroy()
            raise OSError("connection reset")

        (store.after if made else store.before)["replace"] = destroyed_meanwhile
        with suppress(StoreError):
            await session.save()
        store.work()
        with pytest.raises(SessionDestroyed):
            session["n"] = 2

    assert attributes(set_cookie(await browser.visit(handler)))["max-age"] == "0"
    assert await store.sids() == []
