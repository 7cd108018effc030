"""`save` commits now, `reload` takes what is stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from asgi_session import (
    Cookie,
    Session,
    SessionError,
    SessionNotFound,
    SessionSerializationError,
    StoreError,
)

from .clients import Browser, attributes, put, set_cookie
from .clock import Clock
from .spy_store import SpyStore


async def signed_in(**options: Any) -> tuple[Browser, SpyStore]:
    store = SpyStore()
    browser = Browser(store=store, **options)
    await browser.visit(put(a=1))
    store.calls.clear()
    return browser, store


def destroy(request: Request) -> None:
    request.state.session.destroy()


# save


async def test_a_save_is_in_the_store_when_it_returns() -> None:
    browser, store = await signed_in()

    async def handler(request: Request) -> dict[str, Any]:
        request.session["b"] = 2
        await request.state.session.save()
        return await store.data()

    assert (await browser.visit(handler)).json() == {"a": 1, "b": 2}


async def test_what_was_saved_is_not_written_again() -> None:
    browser, store = await signed_in()

    async def handler(request: Request) -> None:
        request.session["b"] = 2
        await request.state.session.save()

    await browser.visit(handler)
    assert store.calls == ["get", "replace"]


async def test_what_is_written_after_a_save_is_written_at_the_end() -> None:
    browser, store = await signed_in()

    async def handler(request: Request) -> None:
        request.session["b"] = 2
        await request.state.session.save()
        request.session["c"] = 3

    await browser.visit(handler)
    assert store.calls == ["get", "replace", "replace"]
    assert await store.data() == {"a": 1, "b": 2, "c": 3}


async def test_a_save_of_a_new_session_creates_it_and_sends_its_cookie() -> None:
    store = SpyStore()
    browser = Browser(store=store)

    async def handler(request: Request) -> None:
        request.session["a"] = 1
        await request.state.session.save()

    assert set_cookie(await browser.visit(handler)) is not None
    assert store.calls == ["create"]
    assert await browser.read() == {"a": 1}


async def test_a_save_of_a_new_session_that_is_empty_stores_nothing() -> None:
    store = SpyStore()
    assert set_cookie(await Browser(store=store).visit(lambda request: request.state.session.save())) is None
    assert store.calls == []


async def test_what_a_save_committed_stays_with_its_cookie_though_the_handler_fails_later() -> None:
    store = SpyStore()
    browser = Browser(store=store)

    async def handler(request: Request) -> Response:
        request.session["a"] = 1
        await request.state.session.save()
        request.session["b"] = 2
        return Response(status_code=500)

    assert set_cookie(await browser.visit(handler)) is not None
    assert await store.data() == {"a": 1}


@pytest.mark.parametrize("change", [put(b=2), lambda request: request.session.clear()], ids=["write", "clear"])
async def test_a_save_of_a_session_that_was_destroyed_elsewhere_says_so(change: Any) -> None:
    browser, store = await signed_in()

    async def handler(request: Request) -> None:
        await browser.visit(destroy)
        change(request)
        with pytest.raises(SessionNotFound):
            await request.state.session.save()

    response = await browser.visit(handler)
    assert (response.status_code, set_cookie(response)) == (200, None)
    assert await store.sids() == []


async def test_a_save_of_an_unchanged_session_that_was_destroyed_elsewhere_says_so() -> None:
    browser, _ = await signed_in()

    async def handler(request: Request) -> None:
        await browser.visit(destroy)
        with pytest.raises(SessionNotFound):
            await request.state.session.save()

    await browser.visit(handler)


async def test_a_second_save_of_a_session_that_is_gone_says_so_too() -> None:
    browser, _ = await signed_in()

    async def handler(request: Request) -> None:
        await browser.visit(destroy)
        for _ in range(2):
            request.session["b"] = 2
            with pytest.raises(SessionNotFound):
                await request.state.session.save()

    await browser.visit(handler)


async def test_a_save_of_what_is_no_json_saves_nothing() -> None:
    browser, store = await signed_in()

    async def handler(request: Request) -> None:
        request.session.update(b=2, bad={1})
        with pytest.raises(SessionSerializationError, match="'bad'"):
            await request.state.session.save()
        assert await store.data() == {"a": 1}
        del request.session["bad"]

    await browser.visit(handler)
    assert await store.data() == {"a": 1, "b": 2}


async def test_the_changes_of_a_save_that_failed_are_saved_by_the_next_commit() -> None:
    browser, store = await signed_in()

    async def handler(request: Request) -> None:
        request.session["b"] = 2
        store.fail("replace")
        with pytest.raises(StoreError) as caught:
            await request.state.session.save()
        assert isinstance(caught.value.__cause__, OSError)
        assert request.state.session.modified
        store.work()

    await browser.visit(handler)
    assert await store.data() == {"a": 1, "b": 2}


@pytest.mark.parametrize("method", ["touch", "mark_modified"])
async def test_what_was_asked_of_a_save_that_failed_is_done_by_the_next_commit(method: str) -> None:
    browser, store = await signed_in()

    async def handler(request: Request) -> None:
        request.session["a"] = 2
        getattr(request.state.session, method)()
        store.fail("replace")
        with pytest.raises(StoreError):
            await request.state.session.save()
        store.work()
        request.session["a"] = 1  # so that nothing but the asking is left
        store.calls.clear()

    response = await browser.visit(handler)
    assert store.calls == ["replace"]  # for a touch too: who knows whether 2 is stored
    assert (set_cookie(response) is not None) is (method == "touch")


@pytest.mark.parametrize("method", ["touch", "regenerate"])
async def test_what_was_asked_of_a_new_session_that_holds_nothing_is_done_with(method: str) -> None:
    store = SpyStore()

    async def handler(request: Request) -> None:
        getattr(request.state.session, method)()
        assert request.state.session.modified
        await request.state.session.save()
        assert not request.state.session.modified

    assert set_cookie(await Browser(store=store).visit(handler)) is None
    assert store.calls == []


async def test_a_fresh_start_takes_the_place_of_a_session_that_ended_even_if_it_is_saved_empty_first() -> None:
    browser, store = await signed_in()

    async def handler(request: Request) -> None:
        await browser.tab().visit(destroy)
        request.session["b"] = 2
        with pytest.raises(SessionNotFound):
            await request.state.session.save()
        request.state.session.regenerate()
        await request.state.session.save()
        request.session["c"] = 3

    assert set_cookie(await browser.visit(handler)) is not None
    assert await store.data() == {"c": 3}


async def test_a_new_session_whose_save_failed_is_created_by_the_next_commit() -> None:
    store = SpyStore()
    browser = Browser(store=store)

    async def handler(request: Request) -> None:
        request.session["a"] = 1
        store.fail("create")
        with pytest.raises(StoreError):
            await request.state.session.save()
        store.work()

    assert set_cookie(await browser.visit(handler)) is not None
    assert await browser.read() == {"a": 1}


async def test_a_new_session_can_not_be_saved_once_the_response_has_started() -> None:
    store = SpyStore()
    caught: list[BaseException] = []

    async def handler(request: Request) -> StreamingResponse:
        async def body() -> AsyncIterator[str]:
            yield "begun"
            request.session["a"] = 1
            with pytest.raises(SessionError, match="started"):
                await request.state.session.save()
            request.session.clear()
            caught.append(AssertionError())

        return StreamingResponse(body())

    await Browser(store=store).visit(handler)
    assert len(caught) == 1
    assert await store.sids() == []


async def test_a_stored_session_can_be_saved_while_the_response_streams() -> None:
    browser, store = await signed_in()
    seen: list[dict[str, Any]] = []

    async def handler(request: Request) -> StreamingResponse:
        async def body() -> AsyncIterator[str]:
            yield "begun"
            request.session["b"] = 2
            await request.state.session.save()
            seen.append(await store.data())

        return StreamingResponse(body())

    await browser.visit(handler)
    assert seen == [{"a": 1, "b": 2}]


async def test_saves_of_one_request_at_once_write_everything_once() -> None:
    browser, store = await signed_in()
    store.before["replace"] = lambda: asyncio.sleep(0)

    async def handler(request: Request) -> None:
        request.session["b"] = 2
        first = asyncio.create_task(request.state.session.save())
        await asyncio.sleep(0)
        request.session["c"] = 3
        await asyncio.gather(first, *(request.state.session.save() for _ in range(3)))

    await browser.visit(handler)
    assert await store.data() == {"a": 1, "b": 2, "c": 3}
    assert store.calls.count("replace") <= 2


async def test_a_change_made_while_a_save_is_under_way_is_not_lost() -> None:
    browser, store = await signed_in()

    async def handler(request: Request) -> None:
        async def meanwhile() -> None:
            store.before.clear()
            request.session["list"].append(2)
            request.session["b"] = "new"

        request.session["list"] = [1]
        request.session["b"] = "old"
        store.before["replace"] = meanwhile
        await request.state.session.save()
        assert request.state.session.modified

    await browser.visit(handler)
    assert await store.data() == {"a": 1, "list": [1, 2], "b": "new"}


async def test_a_session_without_a_request_has_nowhere_to_be_saved() -> None:
    with pytest.raises(SessionError):
        await Session({"a": 1}).save()
    with pytest.raises(SessionError):
        await Session({"a": 1}).reload()


# reload


async def test_a_reload_takes_the_stored_state_and_drops_local_changes() -> None:
    browser, store = await signed_in()

    async def handler(request: Request) -> dict[str, Any]:
        await browser.visit(put(b=2))
        request.session["a"] = "local"
        request.session["c"] = "local"
        await request.state.session.reload()
        assert not request.state.session.modified
        return dict(request.session)

    assert (await browser.visit(handler)).json() == {"a": 1, "b": 2}
    assert await store.data() == {"a": 1, "b": 2}


DROPPED: dict[str, Any] = {
    "a write in place": lambda request: request.session["list"].append(2),
    "an increment": lambda request: request.state.session.increment("a"),
    "an age": lambda request: setattr(request.state.session.cookie, "max_age", 60),
    "a touch": lambda request: request.state.session.touch(),
    "a forced write": lambda request: request.state.session.mark_modified(),
    "a new id": lambda request: request.state.session.regenerate(),
    "a new id for the same data": lambda request: request.state.session.regenerate(keep=True),
    "its end": destroy,
    "a flash message": lambda request: request.state.flash.info("x"),
}


@pytest.mark.parametrize("change", DROPPED.values(), ids=DROPPED)
async def test_a_reload_drops(change: Any, clock: Clock) -> None:
    browser, store = await signed_in(cookie=Cookie(max_age=600))
    await browser.visit(put(list=[1]))
    before = await store.only()
    ids = await store.sids()
    store.calls.clear()

    async def handler(request: Request) -> None:
        change(request)
        await request.state.session.reload()
        assert request.state.session.id == ids[0]
        assert request.state.session.cookie.original_max_age == 600

    assert set_cookie(await browser.visit(handler)) is None
    assert store.calls == ["get", "get"]
    assert (await store.sids(), await store.only()) == (ids, before)


async def test_a_reload_takes_the_sessions_own_age_too(clock: Clock) -> None:
    browser, _ = await signed_in(cookie=Cookie(max_age=600))
    await browser.visit(lambda request: setattr(request.state.session.cookie, "max_age", 9000))
    clock.advance(50)

    async def handler(request: Request) -> list[int]:
        await request.state.session.reload()
        return [request.state.session.cookie.original_max_age, request.state.session.cookie.max_age]

    assert (await browser.visit(handler)).json() == [9000, 8950]


async def test_a_reload_takes_an_age_that_another_request_assigned(clock: Clock) -> None:
    browser, _ = await signed_in(cookie=Cookie(max_age=600))

    async def handler(request: Request) -> list[int]:
        await browser.visit(lambda request: setattr(request.state.session.cookie, "max_age", 9000))
        await request.state.session.reload()
        return [request.state.session.cookie.original_max_age, request.state.session.cookie.max_age]

    assert (await browser.visit(handler)).json() == [9000, 9000]


async def test_a_reload_puts_drained_messages_back() -> None:
    browser, _ = await signed_in()
    await browser.visit(lambda request: request.state.flash.info("x"))

    async def handler(request: Request) -> None:
        request.state.flash()
        await request.state.session.reload()

    await browser.visit(handler)
    assert (await browser.visit(lambda request: request.state.flash())).json() == {"info": ["x"]}


async def test_what_is_written_after_a_reload_needs_no_second_try() -> None:
    browser, store = await signed_in()

    async def handler(request: Request) -> None:
        await browser.visit(put(b=2))
        await request.state.session.reload()
        store.calls.clear()
        request.session["c"] = 3

    await browser.visit(handler)
    assert store.calls == ["replace"]
    assert await store.data() == {"a": 1, "b": 2, "c": 3}


async def test_the_object_stays_the_same() -> None:
    browser, _ = await signed_in()

    async def handler(request: Request) -> bool:
        session = request.state.session
        await session.reload()
        return request.state.session is session and request.session is session

    assert (await browser.visit(handler)).json() is True


async def test_a_new_session_has_nothing_to_reload() -> None:
    async def handler(request: Request) -> None:
        request.session["a"] = 1
        with pytest.raises(SessionNotFound):
            await request.state.session.reload()

    browser = Browser()
    await browser.visit(handler)
    assert await browser.read() == {"a": 1}


async def test_a_session_that_was_saved_by_this_request_can_be_reloaded() -> None:
    async def handler(request: Request) -> dict[str, Any]:
        request.session["a"] = 1
        await request.state.session.save()
        request.session["a"] = 2
        await request.state.session.reload()
        return dict(request.session)

    response = await Browser().visit(handler)
    assert response.json() == {"a": 1}
    assert attributes(set_cookie(response))[""] != ""


async def test_a_reload_of_a_session_that_is_gone_says_so() -> None:
    browser, store = await signed_in()

    async def handler(request: Request) -> None:
        await browser.visit(destroy)
        with pytest.raises(SessionNotFound):
            await request.state.session.reload()
        request.session["b"] = 2

    assert set_cookie(await browser.visit(handler)) is None
    assert await store.sids() == []


async def test_a_reload_that_fails_says_so() -> None:
    browser, store = await signed_in()

    async def handler(request: Request) -> None:
        store.fail("get")
        with pytest.raises(StoreError):
            await request.state.session.reload()
        store.work()
        request.session["b"] = 2

    await browser.visit(handler)
    assert await store.data() == {"a": 1, "b": 2}


async def test_a_second_save_still_notices_that_the_session_is_gone() -> None:
    browser, _ = await signed_in()

    async def handler(request: Request) -> None:
        request.session["a"] = 2
        await request.state.session.save()
        await browser.tab().visit(destroy)
        with pytest.raises(SessionNotFound):
            await request.state.session.save()

    assert set_cookie(await browser.visit(handler)) is None


async def test_a_save_that_can_not_look_whether_the_session_is_there_says_so() -> None:
    browser, store = await signed_in()

    async def handler(request: Request) -> None:
        store.fail("get")
        with pytest.raises(StoreError):
            await request.state.session.save()

    await browser.visit(handler)


async def test_a_reload_makes_up_for_a_load_that_failed() -> None:
    browser, store = await signed_in(on_store_error="anonymous")
    store.fail_once("get", made=False)

    async def handler(request: Request) -> dict[str, Any]:
        before = dict(request.session)
        await request.state.session.reload()
        request.session["b"] = len(before)
        return dict(request.session)

    assert (await browser.visit(handler)).json() == {"a": 1, "b": 0}
    assert await store.data() == {"a": 1, "b": 0}


@pytest.mark.parametrize("method", ["destroy", "regenerate"])
@pytest.mark.parametrize("new", [True, False], ids=["new", "renewed"])
async def test_a_session_that_is_given_up_while_it_is_being_stored_does_not_stay(method: str, new: bool) -> None:
    store = SpyStore()
    browser = Browser(store=store)
    if not new:
        await browser.visit(put(a=1))

    async def handler(request: Request) -> None:
        session = request.state.session
        if not new:
            session.regenerate(keep=True)
        session["a"] = 2

        async def meanwhile() -> None:
            getattr(session, method)()

        store.before["create"] = meanwhile
        await session.save()

    response = await browser.visit(handler)
    assert await store.sids() == []
    assert attributes(set_cookie(response))["max-age"] == "0"


async def test_a_logout_by_another_task_while_the_response_commits_takes_the_cookie_back() -> None:
    store = SpyStore()
    browser = Browser(store=store)

    async def handler(request: Request) -> None:
        request.session["a"] = 1

        async def meanwhile() -> None:
            request.state.session.destroy()

        store.before["create"] = meanwhile

    response = await browser.visit(handler)
    assert await store.sids() == []
    assert attributes(set_cookie(response))["max-age"] == "0"


@pytest.mark.parametrize("looks", [True, False], ids=["looked at", "not looked at"])
async def test_what_comes_after_a_session_that_was_emptied_has_the_templates_age(looks: bool) -> None:
    browser = Browser(store=SpyStore())

    def remembered(request: Request) -> None:
        request.session["a"] = 1
        request.state.session.cookie.max_age = 1000

    await browser.visit(remembered)

    async def handler(request: Request) -> None:
        session = request.state.session
        if looks:
            assert session.cookie.max_age == 1000
        session.clear()
        await session.save()
        session["b"] = 2

    assert "max-age" not in attributes(set_cookie(await browser.visit(handler)))


async def test_a_view_that_was_handed_out_before_a_reload_still_notices_changes() -> None:
    browser = Browser()
    await browser.visit(put(a=[1]))

    async def handler(request: Request) -> None:
        values = request.session.values()
        await request.state.session.reload()
        for value in values:
            value.append("late")

    await browser.visit(handler)
    assert await browser.read() == {"a": [1, "late"]}


async def test_what_is_written_after_a_save_that_emptied_the_session_gets_another_id() -> None:
    browser, store = await signed_in()
    (old,) = await store.sids()

    async def handler(request: Request) -> str:
        session = request.state.session
        session.clear()
        await session.save()
        session["b"] = 1
        sid: str = session.id
        return sid

    response = await browser.visit(handler)
    assert await store.sids() == [response.json()] != [old]


async def test_a_save_of_a_fresh_start_that_holds_nothing_yet_is_no_error() -> None:
    browser, store = await signed_in()

    async def handler(request: Request) -> None:
        session = request.state.session
        session.regenerate()
        await session.save()
        assert await store.sids() == []
        session["b"] = 1
        await session.save()

    await browser.visit(handler)
    assert await store.data() == {"b": 1}


async def test_a_container_taken_after_a_reload_is_the_sessions_after_a_conflict() -> None:
    browser, store = await signed_in()
    await browser.visit(put(cart=["a"]))

    async def handler(request: Request) -> None:
        session = request.state.session
        await session.reload()
        cart = session["cart"]
        session["n"] = 1
        await browser.tab().visit(lambda other: other.session["cart"].append("theirs"))
        await session.save()
        cart.append("ours")

    await browser.visit(handler)
    assert await store.data() == {"a": 1, "cart": ["a", "theirs", "ours"], "n": 1}


async def test_an_assignment_ends_an_increment_whose_save_failed() -> None:
    browser, store = await signed_in()

    async def handler(request: Request) -> None:
        session = request.state.session
        session.increment("n", 5)

        async def fail() -> None:
            session["n"] = 1  # another task of the request, while the store is at it
            raise OSError("connection refused")

        store.before["replace"] = fail
        with pytest.raises(StoreError):
            await session.save()
        store.work()
        await browser.tab().visit(put(n=100, other=1))

    await browser.visit(handler)
    assert await store.data() == {"a": 1, "n": 1, "other": 1}
