"""A write whose reply was lost, or that failed: nobody knows whether it was made, and nothing may come of guessing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from starlette.requests import Request

from asgi_session import Cookie, Record, SessionDestroyed, SessionError, StoreError

from .clients import Browser, attributes, put, set_cookie
from .clock import Clock
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


@pytest.mark.parametrize("key", ["added", "removed"])
async def test_what_is_taken_back_is_taken_back_although_somebody_else_wrote(key: str) -> None:
    browser, store = await signed_in(kept=0, removed=1)

    async def handler(request: Request) -> None:
        session = request.state.session
        if key == "added":
            session["added"] = 1
        else:
            del session["removed"]
        await save_in_vain(request, store, made=True)
        if key == "added":
            del session["added"]
        else:
            session["removed"] = 1
        await browser.tab().visit(put(other=1))

    assert (await browser.visit(handler)).status_code == 200
    assert await store.data() == {"kept": 0, "removed": 1, "other": 1}


@pytest.mark.parametrize("taking", ["drained", "claimed"])
async def test_a_message_that_may_be_stored_is_not_shown_and_queued(taking: str) -> None:
    browser, store = await signed_in(kept=0)

    async def handler(request: Request) -> list[str]:
        flash = request.state.flash
        flash("info", "m")
        await save_in_vain(request, store, made=True)
        await browser.tab().visit(put(other=1))
        messages: list[str] = flash("info") if taking == "drained" else await flash.claim("info")
        return messages

    assert (await browser.visit(handler)).status_code == 503
    assert await store.data() == {"kept": 0, "flash": {"info": ["m"]}, "other": 1}


async def test_of_several_failed_writes_any_may_have_been_made() -> None:
    browser, store = await signed_in(kept=0)

    async def handler(request: Request) -> None:
        session = request.state.session
        session["x"] = 1
        await save_in_vain(request, store, made=True)
        session["x"] = 2
        await save_in_vain(request, store, made=False)
        del session["x"]

    assert (await browser.visit(handler)).status_code == 200
    assert await store.data() == {"kept": 0}


async def test_a_message_queued_while_a_write_fails_does_not_double_another() -> None:
    browser, store = await signed_in(kept=0)

    async def handler(request: Request) -> None:
        flash = request.state.flash
        flash("info", "first")

        async def queue_another() -> None:
            flash("info", "second")
            del store.after["replace"]
            raise OSError("connection reset")

        store.after["replace"] = queue_another
        with pytest.raises(StoreError):
            await request.state.session.save()
        await browser.tab().visit(put(other=1))

    assert (await browser.visit(handler)).status_code == 503
    assert await store.data() == {"kept": 0, "flash": {"info": ["first"]}, "other": 1}


async def test_a_message_stored_after_all_does_not_hide_the_next_ones_doubt() -> None:
    browser, store = await signed_in(kept=0)

    async def handler(request: Request) -> None:
        request.state.flash("info", "first")
        await save_in_vain(request, store, made=True)
        request.state.flash("info", "second")

        async def of_two_tries_fail_the_second() -> None:
            if store.calls.count("replace") == 3:
                store.after.clear()
                raise OSError("connection reset")

        store.calls.clear()
        store.calls.append("replace")  # the one above
        store.after["replace"] = of_two_tries_fail_the_second
        with pytest.raises(StoreError):
            await request.state.session.save()
        await browser.tab().visit(put(other=1))

    assert (await browser.visit(handler)).status_code == 503
    assert await store.data() == {"kept": 0, "flash": {"info": ["first", "second"]}, "other": 1}


@pytest.mark.parametrize("change", ["increment", "message"])
async def test_a_write_that_lands_late_counts_once(change: str) -> None:
    browser, store = await signed_in(n=0, flash={"info": ["m"]})

    async def handler(request: Request) -> Any:
        if change == "increment":
            request.state.session.increment("n")
        else:
            request.state.flash("news", "x")
        late = await written_later(request, store)
        store.before["replace"] = late
        return await request.state.flash.claim("info")

    assert (await browser.visit(handler)).json() == ["m"]
    assert await store.data() == ({"n": 1} if change == "increment" else {"n": 0, "flash": {"news": ["x"]}})


async def written_later(request: Request, store: SpyStore) -> Callable[[], Awaitable[None]]:
    """Save in vain; returns what lets the write be made all the same."""
    waiting: list[tuple[str, Record, Record]] = []
    replace = store.inner.replace

    async def keep(sid: str, record: Record, *, expected: Record) -> bool:
        waiting.append((sid, record, expected))
        raise OSError("timed out")

    store.inner.replace = keep  # type: ignore[method-assign]
    with pytest.raises(StoreError):
        await request.state.session.save()
    store.inner.replace = replace  # type: ignore[method-assign]

    async def land() -> None:
        store.work()
        sid, record, expected = waiting.pop()
        assert await replace(sid, record, expected=expected)

    return land


@pytest.mark.parametrize("failure", ["the store", "a value that is no JSON"])
async def test_an_age_begins_anew_only_with_a_write_that_is_made(failure: str, clock: Clock) -> None:
    store = SpyStore()
    browser = Browser(store=store, cookie=Cookie(max_age=3600))
    await browser.visit(put(n=0))
    clock.advance(1000)

    async def handler(request: Request) -> list[int]:
        session = request.state.session
        assert session.cookie.max_age == 2600
        session["n"] = 1 if failure == "the store" else {1}
        if failure == "the store":
            store.fail_once("replace", made=False)
        with pytest.raises(SessionError):
            await session.save()
        left = session.cookie.max_age
        session["n"] = 1
        await session.save()
        return [left, session.cookie.max_age]

    assert (await browser.visit(handler)).json() == [2600, 3600]


async def test_a_key_that_another_request_set_alike_is_nobodys_change_once_the_write_is_found() -> None:
    """In turn: an equal change elsewhere, a write of ours whose reply is lost, and a later change elsewhere."""
    browser, store = await signed_in(k="old")

    async def elsewhere(value: str) -> None:
        (sid,) = await store.sids()
        record = await store.only()
        text = record.payload.replace('"old"', f'"{value}"').replace('"v"', f'"{value}"')
        assert await store.inner.replace(sid, Record(text, record.expires), expected=record)

    async def handler(request: Request) -> None:
        session = request.state.session
        writes = 0

        async def before() -> None:
            nonlocal writes
            writes += 1
            if writes in (1, 4):
                await elsewhere("v" if writes == 1 else "w")

        async def after() -> None:
            if writes == 2:
                raise OSError("connection reset")

        store.before["replace"], store.after["replace"] = before, after
        session["k"], session["j"] = "v", 1
        with pytest.raises(StoreError):
            await session.save()
        await session.save()
        assert writes == 5

    assert (await browser.visit(handler)).status_code == 200
    store.work()
    assert await store.data() == {"k": "w", "j": 1}


async def test_an_increment_in_doubt_is_in_doubt_whatever_failed_before() -> None:
    """Nobody can tell whether the first write was made, and the counter would be counted on what it left."""
    browser, store = await signed_in(n=0)

    async def handler(request: Request) -> None:
        request.session["k"] = 1
        await save_in_vain(request, store, made=False)
        request.state.session.increment("n")
        await browser.tab().visit(put(other=1))

    assert (await browser.visit(handler)).status_code == 503
    assert await store.data() == {"n": 0, "other": 1}
