"""`regenerate`: a new id, and the old one is dead before the response goes out."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from asgi_session import Cookie, SessionDestroyed, SessionNotFound, StoreError

from .clients import Browser, attributes, put, set_cookie
from .clock import START, Clock
from .spy_store import SpyStore


def renew(keep: bool = False, **data: Any) -> Any:
    def handler(request: Request) -> None:
        request.state.session.regenerate(keep=keep)
        request.session.update(data)

    return handler


async def signed_in(**options: Any) -> tuple[Browser, SpyStore, str]:
    """A browser with a stored session, its store, and the session's id."""
    store = SpyStore()
    browser = Browser(store=store, **options)
    await browser.visit(put(a=1))
    (sid,) = await store.sids()
    store.calls.clear()
    return browser, store, sid


@pytest.mark.parametrize("keep", [False, True])
async def test_the_new_id_is_known_at_once_and_is_the_one_that_is_stored(keep: bool) -> None:
    browser, store, old = await signed_in()
    ids: list[str] = []

    def handler(request: Request) -> None:
        request.state.session.regenerate(keep=keep)
        ids.append(request.state.session.id)
        request.session["b"] = 2

    await browser.visit(handler)
    assert ids == await store.sids()
    assert old not in ids


async def test_data_is_dropped_as_in_express() -> None:
    browser, store, _ = await signed_in()
    await browser.visit(renew(b=2))
    assert await store.data() == {"b": 2}


async def test_data_is_kept_where_that_is_asked_for() -> None:
    browser, store, _ = await signed_in()
    await browser.visit(renew(keep=True, b=2))
    assert await store.data() == {"a": 1, "b": 2}


@pytest.mark.parametrize(("keep", "age"), [(False, 600), (True, 9000)])
async def test_the_cookies_age_starts_anew_unless_the_data_is_kept(keep: bool, age: int, clock: Clock) -> None:
    browser, store, _ = await signed_in(cookie=Cookie(max_age=600))
    await browser.visit(lambda request: setattr(request.state.session.cookie, "max_age", 9000))
    clock.advance(50)

    def look_and_renew(request: Request) -> None:
        assert request.state.session.cookie.original_max_age == 9000
        renew(keep=keep, b=2)(request)

    sent = attributes(set_cookie(await browser.visit(look_and_renew)))
    assert sent["max-age"] == str(age)
    assert (await store.only()).expires == START + 50 + age


async def test_the_cookie_carries_the_new_id() -> None:
    browser, _, _ = await signed_in()
    before = browser.cookies["connect.sid"]
    assert set_cookie(await browser.visit(renew(b=2))) is not None
    assert browser.cookies["connect.sid"] != before
    assert await browser.read() == {"b": 2}


async def test_the_old_cookie_is_worth_nothing_any_more() -> None:
    browser, _, _ = await signed_in()
    old = Browser(app=browser.app)
    old.cookies.update(browser.cookies)
    await browser.visit(renew(keep=True))
    assert await old.read() == {}


async def test_the_new_record_is_there_before_the_old_one_goes() -> None:
    browser, store, _ = await signed_in()
    await browser.visit(renew(keep=True))
    assert store.calls == ["get", "create", "destroy"]


async def test_kept_data_alone_is_worth_a_new_record() -> None:
    browser, store, old = await signed_in()
    await browser.visit(renew(keep=True))
    assert await store.data() == {"a": 1}
    assert await store.sids() != [old]


async def test_a_session_that_held_data_and_gets_none_after_is_deleted_with_its_cookie() -> None:
    browser, store, _ = await signed_in()
    assert attributes(set_cookie(await browser.visit(renew())))["max-age"] == "0"
    assert await store.sids() == []


@pytest.mark.parametrize("keep", [False, True])
async def test_a_session_that_was_stored_empty_is_kept_under_its_new_id(keep: bool) -> None:
    store = SpyStore()
    browser = Browser(store=store, save_uninitialized=True)  # as many Express apps have it
    await browser.visit()
    (old,) = await store.sids()
    here = Browser(store=store)
    here.cookies = browser.cookies
    assert set_cookie(await here.visit(renew(keep=keep))) is not None
    (new,) = await store.sids()
    assert new != old
    assert await store.data() == {}


async def test_with_save_uninitialized_it_is_kept_under_its_new_id() -> None:
    browser, store, old = await signed_in(save_uninitialized=True)
    await browser.visit(renew())
    assert await store.data() == {}
    assert await store.sids() != [old]


async def test_a_new_session_has_nothing_to_delete() -> None:
    store = SpyStore()
    await Browser(store=store).visit(renew(b=2))
    assert store.calls == ["create"]


async def test_a_new_session_left_empty_is_not_stored() -> None:
    store = SpyStore()
    assert set_cookie(await Browser(store=store).visit(renew())) is None
    assert store.calls == []


async def test_what_was_written_before_keep_is_kept() -> None:
    browser, store, _ = await signed_in()

    def handler(request: Request) -> None:
        request.session["b"] = 2
        request.state.session.regenerate(keep=True)

    await browser.visit(handler)
    assert await store.data() == {"a": 1, "b": 2}


async def test_what_was_written_before_a_fresh_start_is_dropped() -> None:
    browser, store, _ = await signed_in()

    def handler(request: Request) -> None:
        request.session["b"] = 2
        request.state.session.regenerate()
        request.session["c"] = 3
        request.state.session.regenerate(keep=True)

    await browser.visit(handler)
    assert await store.data() == {"c": 3}


async def test_every_call_gives_another_id() -> None:
    browser, store, old = await signed_in()
    ids: list[str] = [old]

    def handler(request: Request) -> None:
        for keep in (True, False, True):
            request.state.session.regenerate(keep=keep)
            ids.append(request.state.session.id)
        request.session["b"] = 2

    await browser.visit(handler)
    assert len(set(ids)) == 4
    assert await store.sids() == [ids[-1]]


async def test_a_goodbye_in_a_flash_message_reaches_the_next_request() -> None:
    browser, _, _ = await signed_in()

    def sign_out(request: Request) -> None:
        request.state.session.regenerate()
        request.state.flash.info("Goodbye")

    await browser.visit(sign_out)
    assert (await browser.visit(lambda request: request.state.flash("info"))).json() == ["Goodbye"]


@pytest.mark.parametrize("keep", [False, True])
async def test_a_handler_that_fails_undoes_it(keep: bool) -> None:
    browser, store, old = await signed_in()

    def handler(request: Request) -> Response:
        renew(keep=keep, b=2)(request)
        return Response(status_code=500)

    assert set_cookie(await browser.visit(handler)) is None
    assert await store.sids() == [old]
    assert await browser.read() == {"a": 1}


async def test_after_destroy_there_is_nothing_to_renew() -> None:
    def handler(request: Request) -> None:
        request.state.session.destroy()
        request.state.session.regenerate()

    with pytest.raises(SessionDestroyed):
        await Browser().visit(handler)


async def test_after_a_save_it_can_be_written_on() -> None:
    browser, store, _ = await signed_in()

    async def handler(request: Request) -> None:
        request.state.session.regenerate()
        request.session["b"] = 2
        await request.state.session.save()
        request.session["c"] = 3

    response = await browser.visit(handler)
    assert store.calls == ["get", "create", "destroy", "replace"]
    assert set_cookie(response) is not None
    assert await browser.read() == {"b": 2, "c": 3}


# Others at the same time


async def test_two_sign_ins_at_once_both_work() -> None:
    browser, store, _ = await signed_in()
    other = Browser(app=browser.app)
    other.cookies.update(browser.cookies)

    async def overtaken(request: Request) -> None:
        await other.visit(renew(user="bob"))
        renew(user="ada")(request)

    await browser.visit(overtaken)
    assert (await browser.read(), await other.read()) == ({"user": "ada"}, {"user": "bob"})
    assert len(await store.sids()) == 2


async def test_a_fresh_start_stays_one_though_its_data_is_kept_afterwards() -> None:
    browser, store, _ = await signed_in()

    async def overtaken(request: Request) -> None:
        await browser.visit(lambda request: request.state.session.destroy())
        renew(b=2)(request)
        renew(keep=True, c=3)(request)

    assert set_cookie(await browser.visit(overtaken)) is not None
    assert await store.data() == {"b": 2, "c": 3}


async def test_emptied_and_kept_it_still_gets_what_another_request_wrote_meanwhile() -> None:
    browser, store, old = await signed_in()

    async def overtaken(request: Request) -> None:
        request.session.clear()
        request.state.session.regenerate(keep=True)
        await browser.visit(put(b=2))

    assert set_cookie(await browser.visit(overtaken)) is not None
    assert await store.data() == {"b": 2}
    assert await store.sids() != [old]


async def test_emptied_and_kept_it_is_deleted_where_nobody_wrote() -> None:
    browser, store, _ = await signed_in()

    def handler(request: Request) -> None:
        request.session.clear()
        request.state.session.regenerate(keep=True)

    assert attributes(set_cookie(await browser.visit(handler)))["max-age"] == "0"
    assert await store.sids() == []


@pytest.mark.parametrize(
    "end",
    [lambda request: request.state.session.destroy(), renew(), renew(b=2), lambda request: request.session.clear()],
    ids=["destroyed", "regenerated and left empty", "regenerated", "made empty"],
)
@pytest.mark.parametrize("data", [{}, {"c": 3}], ids=["nothing else", "and a change"])
async def test_keeping_the_data_of_a_session_that_is_gone_creates_nothing(
    end: Any, data: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    browser, store, _ = await signed_in()
    other = Browser(app=browser.app)
    other.cookies.update(browser.cookies)
    left: list[list[str]] = []

    async def overtaken(request: Request) -> None:
        await other.visit(end)
        left.append(await store.sids())
        renew(keep=True, **data)(request)

    response = await browser.visit(overtaken)
    assert response.status_code == 200
    assert set_cookie(response) is None
    assert [await store.sids()] == left
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


async def test_keeping_the_data_of_a_session_that_expired_creates_nothing(clock: Clock) -> None:
    browser, store, _ = await signed_in(cookie=Cookie(max_age=600))

    def too_late(request: Request) -> None:
        clock.advance(601)
        renew(keep=True, b=2)(request)

    assert set_cookie(await browser.visit(too_late)) is None
    assert await store.sids() == []


async def test_what_another_request_wrote_meanwhile_is_kept_too() -> None:
    browser, store, _ = await signed_in()

    async def overtaken(request: Request) -> None:
        renew(keep=True, b=2)(request)
        await browser.visit(put(c=3))

    await browser.visit(overtaken)
    assert await store.data() == {"a": 1, "b": 2, "c": 3}


async def test_a_request_with_the_old_id_can_not_write_into_either_session() -> None:
    browser, store, _ = await signed_in()

    async def overtaken(request: Request) -> None:
        await browser.visit(renew(keep=True, b=2))
        request.session["c"] = 3

    response = await browser.visit(overtaken)
    assert (response.status_code, set_cookie(response)) == (200, None)
    assert await store.data() == {"a": 1, "b": 2}


# Failures in between leave one session


@pytest.mark.parametrize("method", ["create", "destroy"])
@pytest.mark.parametrize("keep", [False, True])
async def test_a_store_that_fails_on_the_way_leaves_the_old_session_as_it_was(method: str, keep: bool) -> None:
    browser, store, old = await signed_in()

    async def fail_once() -> None:
        del store.before[method]
        raise OSError

    store.before[method] = fail_once
    response = await browser.visit(renew(keep=keep, b=2))
    assert (response.status_code, set_cookie(response)) == (503, None)
    assert await store.sids() == [old]
    assert await browser.read() == {"a": 1}


async def test_a_fresh_start_whose_save_failed_stays_one_whatever_another_task_asks_for_meanwhile() -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(secret="of the one before"))

    async def handler(request: Request) -> None:
        session = request.state.session

        async def meanwhile() -> None:
            store.work()
            session.regenerate(keep=True)
            raise OSError

        session.regenerate()
        session["user"] = 2
        store.before["create"] = meanwhile
        with pytest.raises(StoreError):
            await session.save()
        await browser.visit(put(late=1))  # so that there is a conflict

    assert (await browser.visit(handler)).status_code == 200
    assert await store.data() == {"user": 2}


async def test_a_session_that_ended_elsewhere_can_begin_anew_and_is_saved_from_then_on() -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(a=1))

    async def handler(request: Request) -> None:
        session = request.state.session
        await store.inner.destroy(session.id)
        session["lost"] = 1
        with pytest.raises(SessionNotFound):
            await session.save()
        session.regenerate()
        session["user"] = 2
        await session.save()
        session["more"] = 3

    assert (await browser.visit(handler)).status_code == 200
    assert await store.data() == {"user": 2, "more": 3}
