"""`session.cookie`: the age is the session's own and is kept with it, the rest is the template's."""

from __future__ import annotations

import itertools
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.requests import Request

from asgi_session import Cookie, MemoryStore, Record, Session, SessionDestroyed

from .clients import Browser, attributes, put, set_cookie
from .clock import START, Clock
from .spy_store import SpyStore

DAY = 86400


def aged(max_age: int | None = 600, **options: Any) -> Browser:
    return Browser(cookie=Cookie(max_age=max_age), **options)


def assign(name: str, value: object) -> Any:
    return lambda request: setattr(request.state.session.cookie, name, value)


def look(*names: str) -> Any:
    return lambda request: [getattr(request.state.session.cookie, name) for name in names]


async def stored_cookie(store: SpyStore) -> dict[str, Any]:
    cookie: dict[str, Any] = json.loads((await store.only()).payload)["cookie"]
    return cookie


async def test_max_age_is_what_remains_and_original_max_age_the_full_age(clock: Clock) -> None:
    browser = aged(600)
    await browser.visit(put(a=1))
    clock.advance(50)
    assert (await browser.visit(look("max_age", "original_max_age"))).json() == [550, 600]


async def test_a_browser_session_has_no_age_at_all() -> None:
    browser = aged(None)
    await browser.visit(put(a=1))
    assert (await browser.visit(look("max_age", "original_max_age", "expires"))).json() == [None, None, None]


async def test_expires_is_an_aware_datetime(clock: Clock) -> None:
    seen: list[datetime] = []
    await aged(600).visit(lambda request: seen.append(request.state.session.cookie.expires))
    assert seen == [datetime.fromtimestamp(START + 600, UTC)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_age", 30 * DAY),
        ("max_age", timedelta(days=30)),
        ("expires", datetime.fromtimestamp(START + 30 * DAY, UTC)),
    ],
    ids=["seconds", "timedelta", "datetime"],
)
async def test_remember_me_is_a_change_that_sends_the_cookie_and_stays(name: str, value: object, clock: Clock) -> None:
    store = SpyStore()
    browser = aged(None, store=store)
    await browser.visit(put(a=1))
    response = await browser.visit(assign(name, value))
    assert attributes(set_cookie(response))["max-age"] == str(30 * DAY)
    assert (await stored_cookie(store))["originalMaxAge"] == 30 * DAY * 1000
    assert (await store.only()).expires == START + 30 * DAY
    assert (await browser.visit(look("original_max_age"))).json() == [30 * DAY]


async def test_assigning_an_age_makes_the_session_modified() -> None:
    def handler(request: Any) -> bool:
        request.state.session.cookie.max_age = 60
        return bool(request.state.session.modified)

    browser = aged(None)
    await browser.visit(put(a=1))
    assert (await browser.visit(handler)).json() is True


async def test_an_equal_age_is_a_change_too(clock: Clock) -> None:
    store = SpyStore()
    browser = aged(600, store=store)
    await browser.visit(put(a=1))
    clock.advance(10)
    store.calls.clear()
    response = await browser.visit(assign("max_age", 600))
    assert store.calls == ["get", "replace"]
    assert attributes(set_cookie(response))["max-age"] == "600"


@pytest.mark.parametrize("name", ["max_age", "expires"])
async def test_no_age_where_there_is_none_is_no_change(name: str) -> None:
    store = SpyStore()
    browser = aged(None, store=store)
    await browser.visit(put(a=1))
    store.calls.clear()
    response = await browser.visit(assign(name, None))
    assert (store.calls, set_cookie(response)) == (["get"], None)


@pytest.mark.parametrize("name", ["max_age", "expires"])
async def test_forget_me_makes_it_a_browser_session_again(name: str, clock: Clock) -> None:
    store = SpyStore()
    browser = aged(600, store=store)
    await browser.visit(put(a=1))
    response = await browser.visit(assign(name, None))
    assert not {"max-age", "expires"} & set(attributes(set_cookie(response)))
    cookie = await stored_cookie(store)
    assert (cookie["originalMaxAge"], cookie["expires"]) == (None, None)
    assert (await store.only()).expires == START + store.ttl


@pytest.mark.parametrize("name", ["max_age", "expires"])
async def test_an_age_is_cut_to_400_days(name: str, clock: Clock) -> None:
    moment = datetime.fromtimestamp(START + 500 * DAY, UTC)

    def handler(request: Any) -> float:
        setattr(request.state.session.cookie, name, 500 * DAY if name == "max_age" else moment)
        age: float = request.state.session.cookie.original_max_age
        return age

    assert (await aged(None).visit(handler)).json() == 400 * DAY


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("max_age", True, TypeError),
        ("max_age", "60", TypeError),
        ("max_age", 60.5, TypeError),
        ("max_age", 0, ValueError),
        ("max_age", -1, ValueError),
        ("expires", START + 60, TypeError),
        ("expires", datetime.fromtimestamp(START + 60, UTC).replace(tzinfo=None), ValueError),
        ("expires", datetime.fromtimestamp(START - 1, UTC), ValueError),
        ("path", "app", ValueError),
        ("domain", "a;b", ValueError),
        ("secure", "yes", ValueError),
        ("samesite", "bogus", ValueError),
        ("priority", "urgent", ValueError),
        ("httponly", 1, TypeError),
    ],
)
async def test_what_the_template_refuses_is_refused_when_assigned(
    name: str, value: object, error: type[Exception], clock: Clock
) -> None:
    with pytest.raises(error):
        await aged().visit(assign(name, value))


def test_an_unknown_attribute_is_refused() -> None:
    with pytest.raises(AttributeError):
        Session().cookie.maxage = 60  # type: ignore[attr-defined]


async def test_an_age_alone_does_not_make_a_new_session_worth_storing() -> None:
    store = SpyStore()
    response = await aged(None, store=store).visit(assign("max_age", 60))
    assert (store.calls, set_cookie(response)) == ([], None)


async def test_attributes_assigned_hold_for_this_response_only(clock: Clock) -> None:
    browser = aged(600)

    def strict(request: Any) -> None:
        request.session["a"] = 1
        request.state.session.cookie.samesite = "strict"
        request.state.session.cookie.priority = "high"
        request.state.session.cookie.httponly = False

    sent = attributes(set_cookie(await browser.visit(strict)))
    assert (sent["samesite"], sent["priority"], "httponly" in sent) == ("Strict", "High", False)
    sent = attributes(set_cookie(await browser.visit(put(a=2))))
    assert (sent["samesite"], "priority" in sent, "httponly" in sent) == ("Lax", False, True)


async def test_assigning_an_attribute_alone_is_no_change() -> None:
    store = SpyStore()
    browser = aged(None, store=store)
    await browser.visit(put(a=1))
    store.calls.clear()
    assert set_cookie(await browser.visit(assign("samesite", "strict"))) is None
    assert store.calls == ["get"]


async def test_a_changed_template_reaches_live_sessions_but_not_their_age(clock: Clock) -> None:
    store = MemoryStore()
    browser = Browser(store=store, cookie=Cookie(max_age=600))
    await browser.visit(put(a=1))
    later = Browser(store=store, cookie=Cookie(max_age=60, samesite="strict"))
    later.cookies = browser.cookies
    sent = attributes(set_cookie(await later.visit(put(a=2))))
    assert (sent["samesite"], sent["max-age"]) == ("Strict", "600")


async def test_the_template_may_depend_on_the_connection(clock: Clock) -> None:
    ages = {"kiosk": 60, "home": 600}
    browser = Browser(cookie=lambda connection: Cookie(max_age=ages[connection.headers["x-where"]]))
    for where, age in ages.items():
        browser.cookies.clear()
        sent = attributes(set_cookie(await browser.visit(put(a=1), headers=[("x-where", where)])))
        assert sent["max-age"] == str(age)


async def planted(member: str, expires: float) -> Browser:
    """A browser whose stored session has a `cookie` member that we would not write; the template's age is 300."""
    store = SpyStore()
    browser = Browser(store=store, cookie=Cookie(max_age=300))
    await browser.visit(put(a=1))
    (sid,) = await store.sids()
    await store.inner.destroy(sid)
    await store.inner.create(sid, Record(f'{{{member}"a":1}}', expires))
    return browser


@pytest.mark.parametrize(
    "member",
    [
        '"cookie":{"originalMaxAge":600000,"expires":null},',
        '"cookie":{"originalMaxAge":600000,"expires":false},',
        '"cookie":{"originalMaxAge":600000},',
        '"cookie":{"originalMaxAge":false,"expires":false},',
        '"cookie":{"originalMaxAge":null,"expires":null},',
        '"cookie":{},',
    ],
)
async def test_a_stored_age_without_a_usable_expiry_is_a_browser_session(member: str, clock: Clock) -> None:
    browser = await planted(member, START + 100)
    assert (await browser.visit(look("max_age", "original_max_age"))).json() == [None, None]


@pytest.mark.parametrize(
    "member",
    [
        '"cookie":{"originalMaxAge":null,"expires":"2030-01-01T00:00:00.000Z"},',
        '"cookie":{"expires":"2030-01-01T00:00:00.000Z"},',
        '"cookie":"nonsense",',
        '"cookie":[1],',
        '"cookie":null,',
        "",
    ],
)
async def test_a_stored_expiry_without_an_age_gets_the_templates_age(member: str, clock: Clock) -> None:
    browser = await planted(member, START + 100)
    assert (await browser.visit(look("max_age", "original_max_age"))).json() == [100, 300]


async def test_the_records_expiry_decides_not_the_one_within_the_payload(clock: Clock) -> None:
    member = '"cookie":{"originalMaxAge":600000,"expires":"2020-01-01T00:00:00.000Z"},'
    browser = await planted(member, START + 555)
    assert (await browser.visit(look("max_age", "original_max_age"))).json() == [555, 600]


@pytest.mark.parametrize("expires", [START + 401 * DAY, 1e13])
async def test_a_record_that_ends_beyond_400_days_is_shown_as_400_days(expires: float, clock: Clock) -> None:
    browser = await planted('"cookie":{"originalMaxAge":600000,"expires":"+010265-12-23T10:35:55.343Z"},', expires)
    seen: list[tuple[int, datetime]] = []

    def handler(request: Any) -> None:
        cookie = request.state.session.cookie
        seen.append((cookie.max_age, cookie.expires))

    await browser.visit(handler)
    assert seen == [(400 * DAY, datetime.fromtimestamp(START + 400 * DAY, UTC))]


@pytest.mark.parametrize("samesite", ["true", '"LAX"', '"nonsense"', "5", "null"])
async def test_stored_attributes_other_than_the_age_do_not_matter(samesite: str, clock: Clock) -> None:
    member = f'"cookie":{{"originalMaxAge":600000,"expires":"2030-01-01T00:00:00.000Z","sameSite":{samesite}}},'
    browser = await planted(member, START + 100)
    assert attributes(set_cookie(await browser.visit(put(a=2))))["samesite"] == "Lax"


async def test_a_touch_does_not_rewrite_the_expiry_within_the_payload(clock: Clock) -> None:
    store = SpyStore()
    browser = aged(600, store=store)
    await browser.visit(put(a=1))
    before = (await store.only()).payload
    clock.advance(100)
    await browser.visit()
    after = await store.only()
    assert (after.payload, after.expires) == (before, START + 700)


async def test_the_deadline_slides_with_every_write(clock: Clock) -> None:
    store = SpyStore()
    browser = aged(600, store=store)
    await browser.visit(put(a=1))
    clock.advance(100)
    assert attributes(set_cookie(await browser.visit(put(a=2))))["max-age"] == "600"
    assert (await store.only()).expires == START + 700


async def test_a_callable_secure_cookie_withheld_on_http_keeps_the_session_unstored() -> None:
    store = SpyStore()
    response = await Browser(store=store, cookie=lambda connection: Cookie(secure=True)).visit(put(a=1))
    assert (await store.sids(), set_cookie(response)) == ([], None)


def test_the_cookie_of_a_session_without_a_request_is_a_plain_one() -> None:
    cookie = Session().cookie
    assert (cookie.path, cookie.secure, cookie.samesite, cookie.max_age) == ("/", "auto", "lax", None)


@pytest.mark.parametrize("before", [True, False], ids=["taken before", "taken after"])
@pytest.mark.parametrize("name", ["max_age", "expires"])
async def test_a_destroyed_session_has_no_age_to_assign(name: str, before: bool) -> None:
    def handler(request: Request) -> None:
        taken = [request.state.session.cookie] if before else []
        request.state.session.destroy()
        for cookie in (*taken, request.state.session.cookie):
            with pytest.raises(SessionDestroyed):
                setattr(cookie, name, None if name == "expires" else 600)

    browser = aged(600)
    await browser.visit(put(a=1))
    await browser.visit(handler)
    assert await browser.read() == {}


@pytest.mark.parametrize(("name", "value"), [("path", "/app"), ("domain", "example.com"), ("secure", False)])
async def test_what_the_prefix_of_the_cookies_name_forbids_can_not_be_assigned(name: str, value: object) -> None:
    store = SpyStore()
    browser = Browser(store=store, name="__Host-sid", https=True)
    with pytest.raises(ValueError, match=r"__Host-|prefix"):
        await browser.visit(assign(name, value))
    assert await store.sids() == []


# Another request's age

EXTENDS: dict[str, tuple[dict[str, Any], Any]] = {
    "by itself": ({"touch_after": 0}, lambda request: None),
    "touch()": ({}, lambda request: request.state.session.touch()),
    "rolling": ({"rolling": True}, lambda request: None),
    "rolling, and due": ({"rolling": True, "touch_after": 0}, lambda request: request.state.session.cookie and None),
}


@pytest.mark.parametrize("suspends", [True, False])
@pytest.mark.parametrize("age", [60, 30 * DAY])
@pytest.mark.parametrize(("options", "extend"), EXTENDS.values(), ids=EXTENDS)
async def test_extending_a_session_does_not_undo_the_age_that_another_request_gave_it(
    options: dict[str, Any], extend: Any, age: int, suspends: bool, clock: Clock
) -> None:
    store = SpyStore()
    browser = aged(900, store=store if suspends else store.inner, **options)
    await browser.visit(put(a=1))
    other = browser.tab()

    async def handler(request: Request) -> None:
        clock.advance(1)
        await other.visit(assign("max_age", age))
        clock.advance(1)
        extend(request)

    response = await browser.visit(handler)
    record = await store.only()
    assert json.loads(record.payload)["cookie"]["originalMaxAge"] == age * 1000
    assert record.expires == pytest.approx(time.time() + age, abs=2)
    sent = set_cookie(response)
    assert sent is None or int(attributes(sent)["max-age"]) == pytest.approx(age, abs=2)
    assert (sent is None) is (options == {"touch_after": 0})


async def test_an_age_that_can_not_be_looked_up_again_costs_nobody_the_answer() -> None:
    store = SpyStore()
    browser = aged(900, store=store, touch_after=0)
    await browser.visit(put(a=1))
    other = browser.tab()

    async def handler(request: Request) -> None:
        await other.visit(assign("max_age", 60))
        store.fail("get")

    response = await browser.visit(handler)
    assert (response.status_code, set_cookie(response)) == (200, None)


async def test_a_store_whose_touch_compares_nothing_will_do() -> None:
    class Plain(MemoryStore):
        async def touch(self, sid: str, expires: float | None) -> bool:  # type: ignore[override]
            return await super().touch(sid, expires)

    store = Plain()
    browser = aged(900, store=store, touch_after=0)
    await browser.visit(put(a=1))
    assert (await browser.visit(look("max_age"))).json() == [900]
    await browser.visit(lambda request: request.state.session.destroy())
    assert [sid async for sid in store.ids()] == []


async def test_a_session_that_always_changes_before_it_is_extended_is_let_be(caplog: pytest.LogCaptureFixture) -> None:
    store = SpyStore()
    browser = aged(900, store=store, touch_after=0)
    await browser.visit(put(a=1))
    ages = itertools.count(60)

    async def another() -> None:
        store.before.pop("touch")
        await browser.tab().visit(assign("max_age", next(ages)))
        store.before["touch"] = another

    store.before["touch"] = another
    response = await browser.visit()
    assert (response.status_code, set_cookie(response)) == (200, None)
    assert "faster every time" in caplog.text
    assert (await stored_cookie(store))["originalMaxAge"] == (next(ages) - 1) * 1000


async def test_a_touch_that_was_saved_shows_in_what_remains(clock: Clock) -> None:
    async def handler(request: Request) -> list[int]:
        session = request.state.session
        before = session.cookie.max_age
        session.touch()
        await session.save()
        return [before, session.cookie.max_age]

    browser = aged(600)
    await browser.visit(put(a=1))
    clock.advance(100)
    assert (await browser.visit(handler)).json() == [500, 600]


async def test_a_merge_shows_the_age_that_another_request_gave_the_session(clock: Clock) -> None:
    async def handler(request: Request) -> list[float]:
        session = request.state.session
        before = session.cookie.original_max_age
        session["b"] = 1
        await browser.tab().visit(assign("max_age", 60))
        await session.save()
        return [before, session.cookie.original_max_age]

    browser = aged(600)
    await browser.visit(put(a=1))
    assert (await browser.visit(handler)).json() == [600, 60]
