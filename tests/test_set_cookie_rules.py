"""When Set-Cookie goes out, what it says, and the two caching headers that go with it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from asgi_session import Cookie, Record, SessionError, SessionNotFound
from asgi_session.response_headers import with_session_headers
from tests.clients import SECRET, Browser, attributes, put, set_cookie, set_cookies
from tests.clock import START, Clock
from tests.spy_store import SpyStore
from tests.versions import needs

NEW_SECRET = "another secret, of which nobody knew before"


@pytest.fixture
def store() -> SpyStore:
    return SpyStore()


def do(method: str, *args: Any, **kwargs: Any) -> Any:
    """An endpoint that calls a method of the session."""
    return lambda request: getattr(request.state.session, method)(*args, **kwargs)


def age(seconds: Any) -> Any:
    """An endpoint that assigns the cookie's max_age."""
    return lambda request: setattr(request.state.session.cookie, "max_age", seconds)


# When


async def test_a_new_session_that_is_kept_sends_the_cookie() -> None:
    assert set_cookie(await Browser().visit(put(a=1))) is not None


async def test_a_new_session_that_is_not_kept_sends_none() -> None:
    def endpoint(request: Request) -> None:
        request.session["a"] = 1
        del request.session["a"]

    assert set_cookie(await Browser().visit(endpoint)) is None


async def test_reading_sends_none() -> None:
    browser = Browser(cookie=Cookie(max_age=60))
    await browser.visit(put(a=1))
    assert set_cookie(await browser.visit(lambda request: request.session["a"])) is None


async def test_a_write_to_a_session_with_an_age_slides_the_deadline(clock: Clock) -> None:
    browser = Browser(cookie=Cookie(max_age=60))
    await browser.visit(put(a=1))
    clock.advance(30)
    sent = attributes(set_cookie(await browser.visit(put(a=2))))
    assert sent["max-age"] == "60"
    assert parsedate_to_datetime(sent["expires"]).timestamp() == clock.now + 60


async def test_a_write_to_a_browser_session_sends_none() -> None:
    browser = Browser()
    await browser.visit(put(a=1))
    assert set_cookie(await browser.visit(put(a=2))) is None


async def test_a_forced_write_slides_the_deadline_too(clock: Clock) -> None:
    browser = Browser(cookie=Cookie(max_age=60))
    await browser.visit(put(a=1))
    clock.advance(30)
    assert attributes(set_cookie(await browser.visit(do("mark_modified"))))["max-age"] == "60"


async def test_resave_sends_the_cookie_of_a_session_with_an_age() -> None:
    browser = Browser(cookie=Cookie(max_age=60), resave=True)
    await browser.visit(put(a=1))
    assert set_cookie(await browser.visit()) is not None


@pytest.mark.parametrize("keep", [True, False])
async def test_a_new_id_sends_the_cookie(store: SpyStore, keep: bool) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    (old,) = await store.sids()

    def endpoint(request: Request) -> str:
        request.state.session.regenerate(keep=keep)
        request.session["b"] = 2
        sid: str = request.state.session.id
        return sid

    response = await browser.visit(endpoint)
    assert response.json() != old
    assert attributes(set_cookie(response))[""].startswith(f"s%3A{response.json()}.")
    assert await store.sids() == [response.json()]


async def test_touch_sends_the_cookie_whatever_touch_after_says(store: SpyStore, clock: Clock) -> None:
    browser = Browser(store=store, cookie=Cookie(max_age=60), touch_after=1000)
    await browser.visit(put(a=1))
    clock.advance(1)
    assert attributes(set_cookie(await browser.visit(do("touch"))))["max-age"] == "60"
    assert store.calls[-1] == "touch"
    assert (await store.only()).expires == clock.now + 60


async def test_touch_sends_the_cookie_of_a_browser_session_too() -> None:
    browser = Browser()
    await browser.visit(put(a=1))
    assert set_cookie(await browser.visit(do("touch"))) is not None


async def test_touch_of_a_new_empty_session_sends_none(store: SpyStore) -> None:
    assert set_cookie(await Browser(store=store).visit(do("touch"))) is None
    assert store.calls == []


async def test_touch_writes_no_data(store: SpyStore) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    store.calls.clear()
    await browser.visit(do("touch"))
    assert store.calls == ["get", "touch"]


async def test_an_assigned_age_sends_the_cookie_and_is_kept(store: SpyStore, clock: Clock) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    assert attributes(set_cookie(await browser.visit(age(600))))["max-age"] == "600"
    assert (await store.only()).expires == clock.now + 600
    clock.advance(100)
    cookie = await browser.visit(lambda r: [r.state.session.cookie.max_age, r.state.session.cookie.original_max_age])
    assert cookie.json() == [500, 600]


async def test_an_equal_age_is_a_change_too(store: SpyStore, clock: Clock) -> None:
    browser = Browser(store=store, cookie=Cookie(max_age=600))
    await browser.visit(put(a=1))
    clock.advance(100)
    assert attributes(set_cookie(await browser.visit(age(600))))["max-age"] == "600"
    assert (await store.only()).expires == clock.now + 600


async def test_no_age_assigned_where_there_is_none_is_no_change(store: SpyStore) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    store.calls.clear()
    assert set_cookie(await browser.visit(age(None))) is None
    assert store.calls == ["get"]


async def test_forgetting_the_age_makes_a_browser_session(store: SpyStore) -> None:
    browser = Browser(store=store, cookie=Cookie(max_age=600))
    await browser.visit(put(a=1))
    sent = attributes(set_cookie(await browser.visit(age(None))))
    assert "max-age" not in sent
    assert "expires" not in sent
    assert (await browser.visit(lambda r: r.state.session.cookie.max_age)).json() is None


@pytest.mark.parametrize("seconds", [timedelta(minutes=10), 600])
async def test_an_age_may_be_a_timedelta(seconds: Any) -> None:
    browser = Browser()
    await browser.visit(put(a=1))
    assert attributes(set_cookie(await browser.visit(age(seconds))))["max-age"] in ("600", "599")


async def test_an_expiry_may_be_assigned_as_a_moment(clock: Clock) -> None:
    browser = Browser()
    await browser.visit(put(a=1))
    moment = datetime.fromtimestamp(START + 600, UTC)
    sent = await browser.visit(lambda request: setattr(request.state.session.cookie, "expires", moment))
    assert attributes(set_cookie(sent))["max-age"] == "600"


@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (-5, ValueError), (True, TypeError), (1.5, TypeError), ("60", TypeError)]
)
async def test_a_senseless_age_is_refused_where_it_is_assigned(value: Any, error: type[Exception]) -> None:
    def endpoint(request: Request) -> str:
        with pytest.raises(error):
            request.state.session.cookie.max_age = value
        return "refused"

    assert (await Browser().visit(endpoint)).json() == "refused"


async def test_the_age_of_a_new_session_without_data_stores_nothing(store: SpyStore) -> None:
    assert set_cookie(await Browser(store=store).visit(age(600))) is None
    assert await store.sids() == []


async def test_a_destroyed_session_takes_the_cookie_from_the_client() -> None:
    browser = Browser()
    await browser.visit(put(a=1))
    await browser.visit(do("destroy"))
    assert len(browser.cookies) == 0


async def test_a_destroyed_session_that_the_store_forgot_takes_the_cookie_too(store: SpyStore) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    await store.inner.clear()
    await browser.visit(do("destroy"))
    assert len(browser.cookies) == 0


async def test_an_emptied_session_takes_the_cookie_from_the_client() -> None:
    browser = Browser()
    await browser.visit(put(a=1))
    await browser.visit(do("clear"))
    assert len(browser.cookies) == 0


async def test_a_session_that_was_regenerated_with_nothing_after_takes_the_cookie(store: SpyStore) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    await browser.visit(do("regenerate"))
    assert len(browser.cookies) == 0
    assert await store.sids() == []


# Secrets


async def test_a_cookie_signed_by_an_old_secret_is_signed_anew(store: SpyStore) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    (sid,) = await store.sids()
    rotated = Browser(store=store, secret=[NEW_SECRET, SECRET])
    rotated.cookies = browser.cookies
    response = await rotated.visit()
    assert attributes(set_cookie(response))[""].startswith(f"s%3A{sid}.")
    assert set_cookie(await rotated.visit()) is None
    final = Browser(store=store, secret=NEW_SECRET)
    final.cookies = rotated.cookies
    assert await final.read() == {"a": 1}


async def test_a_cookie_signed_anew_keeps_what_remains_of_the_age(store: SpyStore, clock: Clock) -> None:
    browser = Browser(store=store, cookie=Cookie(max_age=600))
    await browser.visit(put(a=1))
    clock.advance(20)
    rotated = Browser(store=store, secret=[NEW_SECRET, SECRET], cookie=Cookie(max_age=600))
    rotated.cookies = browser.cookies
    assert attributes(set_cookie(await rotated.visit()))["max-age"] == "580"


async def test_an_unknown_session_signed_by_an_old_secret_sends_none(store: SpyStore) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    await store.inner.clear()
    rotated = Browser(store=store, secret=[NEW_SECRET, SECRET])
    rotated.cookies = browser.cookies
    assert set_cookie(await rotated.visit()) is None


async def test_a_secret_that_was_removed_makes_its_sessions_anonymous(store: SpyStore) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    browser.app = Browser(store=store, secret=NEW_SECRET).app
    store.calls.clear()
    assert await browser.read() == {}
    assert store.calls == []


# What it says

EVERYTHING = Cookie(
    path="/shop", domain="testserver.local", secure=True, samesite="none", partitioned=True, priority="high"
)


async def test_the_default_cookie_is_as_safe_as_the_connection_allows() -> None:
    sent = attributes(set_cookie(await Browser().visit(put(a=1))))
    del sent[""]
    assert sent == {"path": "/", "httponly": "", "samesite": "Lax"}
    sent = attributes(set_cookie(await Browser(https=True).visit(put(a=1))))
    del sent[""]
    assert sent == {"path": "/", "httponly": "", "secure": "", "samesite": "Lax"}


async def test_an_age_is_sent_as_max_age_and_as_expires(clock: Clock) -> None:
    sent = attributes(set_cookie(await Browser(cookie=Cookie(max_age=3600)).visit(put(a=1))))
    assert sent["max-age"] == "3600"
    assert parsedate_to_datetime(sent["expires"]).timestamp() == START + 3600


async def test_the_client_never_keeps_the_cookie_longer_than_the_server_the_session(clock: Clock) -> None:
    clock.advance(0.999)
    store = SpyStore()
    browser = Browser(store=store, cookie=Cookie(max_age=3600))
    sent = attributes(set_cookie(await browser.visit(put(a=1))))
    expires = (await store.only()).expires
    assert expires is not None
    assert parsedate_to_datetime(sent["expires"]).timestamp() <= expires
    assert clock.now + int(sent["max-age"]) <= expires


@pytest.mark.parametrize("elapsed", [0.4, 0.5, 20.001])
async def test_nor_a_cookie_that_is_sent_again_with_what_remains(store: SpyStore, clock: Clock, elapsed: float) -> None:
    browser = Browser(store=store, cookie=Cookie(max_age=600))
    await browser.visit(put(a=1))
    clock.advance(elapsed)
    rotated = Browser(store=store, secret=[NEW_SECRET, SECRET], cookie=Cookie(max_age=600))
    rotated.cookies = browser.cookies
    sent = attributes(set_cookie(await rotated.visit()))
    expires = (await store.only()).expires
    assert expires is not None
    assert clock.now + int(sent["max-age"]) <= expires
    assert parsedate_to_datetime(sent["expires"]).timestamp() <= expires


@pytest.mark.parametrize("max_age", [400 * 86400 + 1, 10**12, timedelta(days=4000)])
async def test_ages_are_capped_at_400_days(clock: Clock, max_age: Any) -> None:
    sent = attributes(set_cookie(await Browser(cookie=Cookie(max_age=max_age)).visit(put(a=1))))
    assert sent["max-age"] == str(400 * 86400)


async def test_every_attribute_of_the_template_is_sent() -> None:
    browser = Browser(https=True, cookie=EVERYTHING)
    sent = attributes(set_cookie(await browser.visit(put(a=1), "/shop")))
    del sent[""]
    assert sent == {
        "domain": "testserver.local",
        "path": "/shop",
        "httponly": "",
        "secure": "",
        "partitioned": "",
        "priority": "High",
        "samesite": "None",
    }


@pytest.mark.parametrize("end", ["destroy", "clear", "regenerate"])
async def test_deleting_repeats_name_path_domain_and_flags(end: str) -> None:
    browser = Browser(https=True, cookie=EVERYTHING)
    made = attributes(set_cookie(await browser.visit(put(a=1), "/shop")))
    gone = attributes(set_cookie(await browser.visit(do(end), "/shop")))
    assert gone.pop("max-age") == "0"
    assert parsedate_to_datetime(gone.pop("expires")).timestamp() == 0
    assert gone.pop("") == ""
    del made[""]
    assert gone == made


@pytest.mark.parametrize(
    ("https", "cookie", "samesite"),
    [
        (True, Cookie(samesite="auto"), "None"),
        (False, Cookie(samesite="auto"), "Lax"),
        (True, Cookie(samesite="auto", secure=False), "Lax"),
        (True, Cookie(samesite="none"), "None"),
        (False, Cookie(samesite="none"), "Lax"),
        (True, Cookie(samesite="strict"), "Strict"),
        (False, Cookie(samesite=None), None),
    ],
)
async def test_same_site_follows_the_connection_where_it_must(https: bool, cookie: Cookie, samesite: str) -> None:
    sent = attributes(set_cookie(await Browser(https=https, cookie=cookie).visit(put(a=1))))
    assert sent.get("samesite") == samesite


@pytest.mark.parametrize("https", [True, False])
async def test_partitioned_is_left_out_where_the_cookie_is_not_secure(https: bool) -> None:
    sent = attributes(set_cookie(await Browser(https=https, cookie=Cookie(partitioned=True)).visit(put(a=1))))
    assert ("partitioned" in sent) is https


async def test_auto_is_decided_each_time_the_cookie_is_sent(store: SpyStore) -> None:
    browser = Browser(store=store, rolling=True)
    assert "secure" not in attributes(set_cookie(await browser.visit(put(a=1))))
    browser.base_url = "https://testserver"
    assert "secure" in attributes(set_cookie(await browser.visit()))


async def test_a_changed_template_reaches_live_sessions(store: SpyStore) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    browser.app = Browser(store=store, rolling=True, cookie=Cookie(httponly=False, samesite="strict", max_age=60)).app
    sent = attributes(set_cookie(await browser.visit()))
    assert "httponly" not in sent
    assert sent["samesite"] == "Strict"
    assert "max-age" not in sent  # the age is the session's own


async def test_attributes_assigned_to_the_session_hold_for_this_response() -> None:
    def endpoint(request: Request) -> None:
        cookie = request.state.session.cookie
        cookie.path, cookie.domain = "/shop", "testserver.local"
        cookie.httponly, cookie.samesite, cookie.priority = False, "strict", "low"
        request.session["a"] = 1

    browser = Browser(rolling=True)
    sent = attributes(set_cookie(await browser.visit(endpoint)))
    del sent[""]
    assert sent == {"path": "/shop", "domain": "testserver.local", "priority": "Low", "samesite": "Strict"}
    browser.cookies.set("connect.sid", browser.cookies["connect.sid"], path="/")  # the other one is for /shop
    sent = attributes(set_cookie(await browser.visit()))
    assert (sent["path"], sent["samesite"]) == ("/", "Lax")


@pytest.mark.parametrize("prefix", ["", "x-"], ids=["the same cookie", "another cookie"])
async def test_the_apps_own_header_for_the_same_cookie_gives_way(prefix: str) -> None:
    """As `res.clearCookie` beside `req.session.destroy` in Express; only one of the two can be meant."""

    def endpoint(request: Request) -> Response:
        request.state.session.destroy()
        response = Response()
        response.set_cookie("connect.sid2", "mine")
        response.delete_cookie(f"{prefix}connect.sid")
        return response

    browser = Browser()
    await browser.visit(put(a=1))
    names = [header.split("=")[0] for header in (await browser.visit(endpoint)).headers.get_list("set-cookie")]
    assert names == ["connect.sid2", *[f"{prefix}connect.sid"] * bool(prefix), "connect.sid"]


async def test_the_apps_own_header_stays_where_the_session_sends_none() -> None:
    def endpoint(request: Request) -> Response:
        response = Response()
        response.delete_cookie("connect.sid")
        return response

    assert len(set_cookies(await Browser().visit(endpoint))) == 1


async def test_assigning_an_attribute_alone_is_no_change(store: SpyStore) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    store.calls.clear()
    await browser.visit(lambda request: setattr(request.state.session.cookie, "samesite", "strict"))
    assert store.calls == ["get"]


async def test_a_template_whose_expires_has_passed_still_answers(clock: Clock) -> None:
    browser = Browser(cookie=Cookie(expires=datetime.fromtimestamp(START + 100, UTC)))
    assert attributes(set_cookie(await browser.visit(put(a=1))))["max-age"] == "100"
    clock.advance(200)
    response = await browser.visit(put(a=1))
    assert response.status_code == 200
    clock.advance(2)
    assert await browser.read() == {}


# Cookies that plain http can't carry

INSECURE = [
    pytest.param({"cookie": Cookie(secure=True)}, id="secure=True"),
    pytest.param({"name": "__Host-sid"}, id="__Host-"),
    pytest.param({"name": "__host-sid"}, id="__host-"),
    pytest.param({"name": "__Secure-sid"}, id="__Secure-"),
    pytest.param({"name": "__sEcUrE-sid"}, id="__sEcUrE-"),
    pytest.param({"name": "__Http-sid"}, id="__Http-"),
]


@pytest.mark.parametrize("options", INSECURE)
async def test_a_cookie_that_must_be_secure_is_not_sent_on_http_and_no_new_session_stored(
    store: SpyStore, options: Any, caplog: pytest.LogCaptureFixture
) -> None:
    response = await Browser(store=store, **options).visit(put(a=1))
    assert "set-cookie" not in response.headers
    assert store.calls == []
    assert logging.WARNING in [record.levelno for record in caplog.records]


@pytest.mark.parametrize("options", INSECURE)
async def test_save_says_that_the_cookie_can_not_be_sent(store: SpyStore, options: Any) -> None:
    async def endpoint(request: Request) -> str:
        request.session["a"] = 1
        with pytest.raises(SessionError):
            await request.state.session.save()
        return "told"

    assert (await Browser(store=store, **options).visit(endpoint)).json() == "told"
    assert store.calls == []


def careless(store: SpyStore, made: Browser, **options: Any) -> Browser:
    """A client that sends on http what it got on https."""
    browser = Browser(store=store, **options)
    for name, value in made.cookies.items():
        browser.cookies.set(name, value)
    return browser


@pytest.mark.parametrize("options", INSECURE)
async def test_a_session_made_on_https_can_be_changed_on_http(store: SpyStore, options: Any) -> None:
    made = Browser(https=True, store=store, **options)
    await made.visit(put(a=1))
    browser = careless(store, made, rolling=True, **options)
    response = await browser.visit(put(a=2))
    assert "set-cookie" not in response.headers
    assert await store.data() == {"a": 2}


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("options", INSECURE)
async def test_regenerate_on_http_deletes_the_old_record_all_the_same(
    store: SpyStore, options: Any, keep: bool
) -> None:
    made = Browser(https=True, store=store, **options)
    await made.visit(put(a=1))

    def endpoint(request: Request) -> None:
        request.state.session.regenerate(keep=keep)
        request.session["user"] = "ann"

    response = await careless(store, made, **options).visit(endpoint)
    assert "set-cookie" not in response.headers
    assert await store.sids() == []


async def test_save_after_regenerate_on_http_says_so_and_deletes_the_old_record(store: SpyStore) -> None:
    made = Browser(https=True, store=store, cookie=Cookie(secure=True))
    await made.visit(put(a=1))

    async def endpoint(request: Request) -> str:
        request.state.session.regenerate()
        request.session["user"] = "ann"
        with pytest.raises(SessionError):
            await request.state.session.save()
        return "told"

    browser = careless(store, made, cookie=Cookie(secure=True))
    assert (await browser.visit(endpoint)).json() == "told"
    assert await store.sids() == []


async def test_destroy_on_http_deletes_the_record_of_a_secure_cookie(store: SpyStore) -> None:
    made = Browser(https=True, store=store, cookie=Cookie(secure=True))
    await made.visit(put(a=1))
    browser = careless(store, made, cookie=Cookie(secure=True))
    assert "set-cookie" not in (await browser.visit(do("destroy"))).headers
    assert await store.sids() == []


async def test_assigning_secure_on_http_withholds_the_cookie_too(store: SpyStore) -> None:
    def endpoint(request: Request) -> None:
        request.state.session.cookie.secure = True
        request.session["a"] = 1

    assert "set-cookie" not in (await Browser(store=store).visit(endpoint)).headers
    assert store.calls == []


# At most one, and nobody else's


async def test_other_cookies_stay_and_ours_comes_last() -> None:
    def endpoint(request: Request) -> Response:
        request.session["a"] = 1
        response = PlainTextResponse("ok")
        response.set_cookie("theme", "dark")
        response.set_cookie("connect.sid.x", "other")
        return response

    headers = (await Browser().visit(endpoint)).headers.get_list("set-cookie")
    assert [header.partition("=")[0] for header in headers] == ["theme", "connect.sid.x", "connect.sid"]


async def test_however_many_commits_there_are_one_cookie_goes_out() -> None:
    async def endpoint(request: Request) -> None:
        session = request.state.session
        for n in range(3):
            session["n"] = n
            await session.save()
            session.regenerate(keep=True)
        session.touch()

    browser = Browser(rolling=True, cookie=Cookie(max_age=60))
    response = await browser.visit(endpoint)
    assert len(set_cookies(response)) == 1
    assert await browser.read() == {"n": 2}


# Cache-Control


async def test_with_the_cookie_goes_no_store() -> None:
    assert (await Browser().visit(put(a=1))).headers["cache-control"] == "no-store"


async def test_deleting_the_cookie_comes_with_no_store_too() -> None:
    browser = Browser()
    await browser.visit(put(a=1))
    assert (await browser.visit(do("destroy"))).headers["cache-control"] == "no-store"


async def test_without_the_cookie_caching_is_the_apps_business() -> None:
    browser = Browser()
    await browser.visit(put(a=1))
    assert "cache-control" not in (await browser.visit(lambda request: request.session["a"])).headers


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_a_vary_header_of_any_kind_of_bytes_is_merged(kind: Callable[[bytes], Any]) -> None:
    start = {"type": "http.response.start", "status": 200, "headers": [(b"vary", kind(b"Accept"))]}
    assert with_session_headers(start, None, vary=True)["headers"] == [(b"vary", b"Accept, Cookie")]


@pytest.mark.parametrize("name", ["cache-control", "Cache-Control", "CACHE-CONTROL"])
async def test_the_apps_own_cache_control_stays(name: str) -> None:
    def endpoint(request: Request) -> Response:
        request.session["a"] = 1
        response = PlainTextResponse("ok")
        response.raw_headers.append((name.encode(), b"private, max-age=5"))
        return response

    assert (await Browser().visit(endpoint)).headers.get_list("cache-control") == ["private, max-age=5"]


# Vary


async def reload_nothing(request: Request) -> None:
    with pytest.raises(SessionNotFound):
        await request.state.session.reload()


LOOKS = [
    pytest.param(lambda r: r.session.get("a"), id="get"),
    pytest.param(lambda r: "a" in r.session, id="in"),
    pytest.param(lambda r: bool(r.session), id="bool"),
    pytest.param(lambda r: r.session is None, id="request.session alone", marks=needs("starlette", "1.0")),
    pytest.param(lambda r: len(r.state.session), id="len"),
    pytest.param(lambda r: list(r.state.session), id="iteration"),
    pytest.param(lambda r: dict(r.state.session), id="dict()"),
    pytest.param(lambda r: {**r.state.session}, id="unpacking"),
    pytest.param(lambda r: r.state.session == {}, id="equality"),
    pytest.param(lambda r: list(r.state.session.keys()), id="keys"),
    pytest.param(lambda r: list(r.state.session.values()), id="values"),
    pytest.param(lambda r: list(r.state.session.items()), id="items"),
    pytest.param(lambda r: r.state.session.copy(), id="copy"),
    pytest.param(lambda r: r.state.session | {}, id="or"),
    pytest.param(lambda r: r.state.session.pop("a", None), id="pop"),
    pytest.param(lambda r: r.state.session.id, id="id"),
    pytest.param(lambda r: r.state.session.is_new, id="is_new"),
    pytest.param(lambda r: r.state.session.cookie.max_age, id="cookie"),
    pytest.param(lambda r: r.state.flash(), id="draining flash"),
    pytest.param(lambda r: r.state.flash.peek(), id="peeking"),
    pytest.param(lambda r: bool(r.state.flash), id="bool(flash)"),
    pytest.param(lambda r: r.state.session.mark_accessed(), id="mark_accessed"),
    pytest.param(lambda r: r.state.session.clear(), id="clear"),
    pytest.param(lambda r: r.state.session.setdefault("a", 1), id="setdefault"),
    pytest.param(lambda r: r.state.session.touch(), id="touch"),
    pytest.param(lambda r: r.state.session.regenerate(), id="regenerate"),
    pytest.param(lambda r: r.state.session.destroy(), id="destroy"),
    pytest.param(lambda r: r.state.session.update({}), id="update with nothing"),
    pytest.param(lambda r: r.state.session.save(), id="save"),
    pytest.param(reload_nothing, id="reload"),
]


@pytest.mark.parametrize("endpoint", LOOKS)
async def test_a_response_that_depends_on_the_session_varies_by_cookie(endpoint: Any) -> None:
    response = await Browser().visit(endpoint)
    assert response.headers.get_list("vary") == ["Cookie"]


async def test_a_response_that_does_not_depend_on_it_does_not_vary() -> None:
    browser = Browser()
    await browser.visit(put(a=1))
    assert "vary" not in (await browser.visit(lambda request: request.state.session is None)).headers


@pytest.mark.parametrize(
    ("there", "then"),
    [
        (["Accept"], ["Accept, Cookie"]),
        (["Accept, Accept-Encoding"], ["Accept, Accept-Encoding, Cookie"]),
        (["Cookie"], ["Cookie"]),
        (["Accept, cookie"], ["Accept, cookie"]),
        (["COOKIE,Accept"], ["COOKIE,Accept"]),
        (["*"], ["*"]),
        (["Accept", "Cookie"], ["Accept", "Cookie"]),
        (["X-Cookie"], ["X-Cookie, Cookie"]),
        ([""], ["Cookie"]),
        (["", "Accept"], ["", "Accept, Cookie"]),
    ],
)
async def test_vary_is_merged_and_not_repeated(there: list[str], then: list[str]) -> None:
    def endpoint(request: Request) -> Response:
        request.session.get("a")
        response = PlainTextResponse("ok")
        response.raw_headers.extend((b"Vary", value.encode()) for value in there)
        return response

    assert (await Browser().visit(endpoint)).headers.get_list("vary") == then


async def test_a_failed_response_that_looked_at_the_session_varies_too() -> None:
    def endpoint(request: Request) -> Response:
        request.session.get("a")
        return Response(status_code=500)

    assert (await Browser().visit(endpoint)).headers["vary"] == "Cookie"


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST", "DELETE"])
async def test_every_method_is_served_alike(store: SpyStore, method: str) -> None:
    response = await Browser(store=store).visit(put(a=1), method=method)
    assert set_cookie(response) is not None
    assert await store.data() == {"a": 1}


# Payloads that other writers left


@pytest.mark.parametrize(
    ("cookie", "original"),
    [
        ('{"originalMaxAge":600000,"expires":"2030-01-01T00:00:00.000Z"}', 600),
        ('{"originalMaxAge":1500,"expires":"2030-01-01T00:00:00.000Z"}', 1.5),
        ('{"originalMaxAge":600000,"expires":null}', None),
        ('{"originalMaxAge":600000,"expires":false}', None),
        ('{"originalMaxAge":600000}', None),
        ('{"expires":"2030-01-01T00:00:00.000Z"}', 77),
        ('{"originalMaxAge":null,"expires":null}', None),
        ('{"originalMaxAge":false,"expires":false}', None),
        ("null", 77),
        ('"nonsense"', 77),
        ('{"originalMaxAge":"long","expires":"2030-01-01T00:00:00.000Z"}', 77),
        ('{"originalMaxAge":-5,"expires":"2030-01-01T00:00:00.000Z"}', 77),
        ('{"originalMaxAge":1e300,"expires":"2030-01-01T00:00:00.000Z"}', 400 * 86400),
    ],
)
async def test_the_age_that_express_stored_is_understood(store: SpyStore, cookie: str, original: float | None) -> None:
    browser = Browser(store=store, cookie=Cookie(max_age=77), genid=lambda connection: "sid")
    await browser.visit(put(a=1))
    record = await store.only()
    await store.inner.replace("sid", Record(f'{{"cookie":{cookie},"a":2}}', record.expires), expected=record)
    response = await browser.visit(lambda r: [r.session["a"], r.state.session.cookie.original_max_age])
    assert response.json() == [2, original]
