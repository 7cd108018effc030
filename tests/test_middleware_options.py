"""The middleware's options: what construction accepts, and what each one does to requests."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pytest
from starlette.datastructures import Secret
from starlette.requests import HTTPConnection

from asgi_session import Cookie, MemoryStore, SessionConflict, SessionMiddleware
from tests.clients import SECRET, Browser, attributes, call, cookie_header, http_scope, put, set_cookie
from tests.clock import Clock
from tests.spy_store import SpyStore


def make(**options: Any) -> SessionMiddleware:
    return SessionMiddleware(Browser.serve, **{"secret": SECRET, **options})


# secret


@pytest.mark.parametrize("secret", [SECRET, SECRET.encode(), Secret(SECRET), [SECRET], (SECRET.encode(), "o" * 32)])
async def test_secret_may_be_text_bytes_a_starlette_secret_or_several(secret: Any) -> None:
    browser = Browser(secret=secret)
    await browser.visit(put(a=1))
    assert await browser.read() == {"a": 1}


async def test_the_same_secret_as_text_bytes_or_starlette_secret_signs_alike() -> None:
    store = MemoryStore()
    browser = Browser(secret="schlüssel-秘密-" * 4, store=store)
    await browser.visit(put(a=1))
    for secret in (("schlüssel-秘密-" * 4).encode(), Secret("schlüssel-秘密-" * 4)):
        other = Browser(secret=secret, store=store)
        other.cookies = browser.cookies
        assert await other.read() == {"a": 1}


@pytest.mark.parametrize("secret", ["", b"", Secret(""), [], (), [""], [SECRET, ""], [SECRET, b""]])
def test_an_empty_secret_is_refused(secret: Any) -> None:
    with pytest.raises(ValueError, match="secret"):
        make(secret=secret)


@pytest.mark.parametrize("secret", ["x" * 31, b"x" * 31, Secret("x" * 31), [SECRET, "short"]])
def test_a_secret_shorter_than_32_bytes_warns(secret: Any) -> None:
    with pytest.warns(UserWarning, match="32 bytes") as warned:
        SessionMiddleware(Browser.serve, secret=secret)
    assert [warning.filename for warning in warned] == [__file__]


@pytest.mark.parametrize("secret", ["x" * 32, "é" * 16, b"x" * 32])
def test_a_secret_of_32_bytes_does_not_warn(secret: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(secret=secret)


@pytest.mark.parametrize("secret", [None, 7, [None], [SECRET, 7]])
def test_a_secret_of_another_type_is_refused(secret: Any) -> None:
    with pytest.raises(TypeError, match="secret is none of str, bytes"):
        make(secret=secret)


@pytest.mark.parametrize("secret", [{SECRET, "o" * 32}, frozenset([SECRET]), {SECRET: 1}, iter([SECRET])])
def test_secrets_of_which_none_is_the_first_are_refused(secret: Any) -> None:
    with pytest.raises(TypeError, match="secret is none of str, bytes, Secret and a sequence of them"):
        make(secret=secret)


def test_a_secret_is_required() -> None:
    with pytest.raises(TypeError, match="secret"):
        SessionMiddleware(Browser.serve)  # type: ignore[call-arg]


def test_options_are_keyword_only() -> None:
    with pytest.raises(TypeError, match="positional"):
        SessionMiddleware(Browser.serve, SECRET)  # type: ignore[call-arg]


# name


@pytest.mark.parametrize("name", ["", "a b", "a;b", "a=b", "a,b", 'a"b', "a/b", "ä", "a\n", "a\0", "(a)", "[a]", "a@b"])
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="token"):
        make(name=name)


async def test_name_is_the_cookies_name() -> None:
    browser = Browser(name="!#$%&'*+-.^_`|~0aZ")
    await browser.visit(put(a=1))
    assert list(browser.cookies) == ["!#$%&'*+-.^_`|~0aZ"]


async def test_the_default_name_is_that_of_express() -> None:
    browser = Browser()
    await browser.visit(put(a=1))
    assert list(browser.cookies) == ["connect.sid"]


@pytest.mark.parametrize("name", ["__Host-sid", "__host-sid", "__HOST-sid"])
@pytest.mark.parametrize("cookie", [Cookie(secure=False), Cookie(path="/a"), Cookie(domain="example.com")])
def test_a_host_name_with_a_cookie_that_breaks_its_promise_is_refused(name: str, cookie: Cookie) -> None:
    with pytest.raises(ValueError, match=r"prefix|__Host-"):
        make(name=name, cookie=cookie)


@pytest.mark.parametrize("name", ["__Secure-sid", "__secure-sid", "__SECURE-sid"])
def test_a_secure_name_with_an_insecure_cookie_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        make(name=name, cookie=Cookie(secure=False))


@pytest.mark.parametrize("name", ["__Host-sid", "__host-sid", "__Secure-sid"])
async def test_a_prefixed_name_works_on_https(name: str) -> None:
    browser = Browser(https=True, name=name)
    sent = attributes(set_cookie(await browser.visit(put(a=1)), name))
    assert "secure" in sent
    assert await browser.read() == {"a": 1}


# Other values that make no sense


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("name", 5, TypeError),
        ("name", b"sid", TypeError),
        ("unset", "remove", ValueError),
        ("unset", None, ValueError),
        ("on_store_error", "ignore", ValueError),
        ("touch_after", -1, ValueError),
        ("touch_after", float("nan"), TypeError),
        ("touch_after", "60", TypeError),
        ("touch_after", True, TypeError),
        ("store_timeout", 0, ValueError),
        ("store_timeout", -1.0, ValueError),
        ("store_timeout", "5", TypeError),
        ("store_timeout", False, TypeError),
        ("store_timeout", 10**400, ValueError),
        ("store", object(), TypeError),
        ("store", MemoryStore, TypeError),
        ("cookie", {"path": "/"}, TypeError),
        ("cookie", Cookie, TypeError),
        ("genid", "abc", TypeError),
        ("proxy", "yes", TypeError),
        ("save_uninitialized", 1, TypeError),
        ("resave", None, TypeError),
        ("rolling", 1, TypeError),
        ("autoload", 0, TypeError),
    ],
)
def test_a_senseless_value_is_refused_at_construction(option: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        make(**{option: value})


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match="save_unitialized"):
        make(save_unitialized=True)


# cookie as a callable


async def test_a_callable_cookie_is_asked_with_the_connection() -> None:
    def cookie(connection: HTTPConnection) -> Cookie:
        return Cookie(max_age=600 if connection.headers.get("remember") else None)

    browser = Browser(cookie=cookie)
    assert "max-age" in attributes(set_cookie(await browser.visit(put(a=1), headers=[("remember", "1")])))
    other = Browser(cookie=cookie)
    assert "max-age" not in attributes(set_cookie(await other.visit(put(a=1))))


async def test_the_path_of_a_callable_cookie_decides_where_sessions_are() -> None:
    browser = Browser(cookie=lambda connection: Cookie(path="/shop"))
    seen = await browser.visit(lambda request: hasattr(request.state, "session"), "/shop/cart")
    assert seen.json() is True
    seen = await browser.visit(lambda request: hasattr(request.state, "session"), "/blog")
    assert seen.json() is False


async def test_a_callable_cookie_that_returns_no_cookie_is_a_type_error() -> None:
    browser = Browser(cookie=lambda connection: None)
    with pytest.raises(TypeError, match="Cookie"):
        await browser.visit(put(a=1))


async def test_a_callable_cookie_is_held_to_the_names_prefix() -> None:
    browser = Browser(https=True, name="__host-sid", cookie=lambda connection: Cookie(domain="example.com"))
    with pytest.raises(ValueError, match="__Host-"):
        await browser.visit(put(a=1))


async def test_auto_attributes_work_with_a_callable_cookie() -> None:
    browser = Browser(https=True, cookie=lambda connection: Cookie(samesite="auto"))
    sent = attributes(set_cookie(await browser.visit(put(a=1))))
    assert "secure" in sent
    assert sent["samesite"] == "None"


# genid


async def test_genid_draws_the_id_for_the_connection() -> None:
    store = SpyStore()
    browser = Browser(store=store, genid=lambda connection: f"id-of-{connection.headers['user']}")
    response = await browser.visit(lambda request: request.session.update(a=1), headers=[("user", "ann")])
    assert await store.sids() == ["id-of-ann"]
    assert attributes(set_cookie(response))[""].startswith("s%3Aid-of-ann.")


@pytest.mark.parametrize("drawn", [None, "", 7, b"bytes", ["x"]])
async def test_genid_that_returns_no_text_is_a_type_error_and_writes_nothing(drawn: object) -> None:
    store = SpyStore()
    browser = Browser(store=store, genid=lambda connection: drawn)
    with pytest.raises(TypeError, match="genid"):
        await browser.visit(put(a=1))
    assert store.calls == []


@pytest.mark.parametrize("drawn", ["a\0b", "\0", "a\ud800"])
async def test_genid_must_not_return_what_no_cookie_can_carry(drawn: str) -> None:
    store = SpyStore()
    browser = Browser(store=store, genid=lambda connection: drawn)
    with pytest.raises(ValueError, match="genid"):
        await browser.visit(put(a=1))
    assert store.calls == []


async def test_an_id_is_refused_that_makes_name_and_value_longer_than_browsers_take() -> None:
    store = SpyStore()
    longest = 4096 - len("connect.sid" + "s%3A.") - 43  # a signature without characters to be escaped
    with pytest.raises(ValueError, match="genid"):
        await Browser(store=store, genid=lambda connection: "x" * (longest + 1)).visit(put(a=1))
    assert store.calls == []
    browser = Browser(store=store, genid=lambda connection: "x" * (longest - 90))
    await browser.visit(put(a=1))
    assert await browser.read() == {"a": 1}


@pytest.mark.parametrize("sid", ["with.dots.in.it", "sp ace", "会话😀", "a/b+c=d", "50%", "s:x", "a;b,c", '"quoted"'])
async def test_any_id_that_genid_returns_comes_back(sid: str) -> None:
    browser = Browser(genid=lambda connection: sid)
    await browser.visit(put(a=1))
    assert (await browser.visit(lambda request: [request.state.session.id, dict(request.session)])).json() == [
        sid,
        {"a": 1},
    ]


async def test_a_taken_id_is_drawn_again_four_times() -> None:
    store = SpyStore()
    drawn = iter(["taken", "taken", "taken", "taken", "taken", "free"])
    browsers = [Browser(store=store, genid=lambda connection: next(drawn)) for _ in range(2)]
    await browsers[0].visit(put(owner="first"))
    await browsers[1].visit(put(owner="second"))
    assert await store.sids() == ["taken", "free"]
    assert await browsers[0].read() == {"owner": "first"}
    assert await browsers[1].read() == {"owner": "second"}


async def test_an_id_that_stays_taken_is_answered_with_503_and_overwrites_nothing() -> None:
    store = SpyStore()
    first, second = (Browser(store=store, genid=lambda connection: "taken") for _ in range(2))
    await first.visit(put(owner="first"))
    store.calls.clear()
    response = await second.visit(put(owner="second"))
    assert response.status_code == 503
    assert store.calls == ["create"] * 5
    assert await store.data() == {"owner": "first"}


async def test_an_id_that_stays_taken_is_a_session_conflict_for_those_who_want_errors() -> None:
    store = SpyStore()
    first, second = (Browser(store=store, genid=lambda c: "taken", on_store_error="raise") for _ in range(2))
    await first.visit(put(owner="first"))
    with pytest.raises(SessionConflict):
        await second.visit(put(owner="second"))


async def test_a_taken_id_spoils_no_session_that_was_to_be_regenerated() -> None:
    store = SpyStore()
    drawn = iter(["a", "b", *["a"] * 5])
    first, second = (Browser(store=store, genid=lambda connection: next(drawn)) for _ in range(2))
    await first.visit(put(n=1))
    await second.visit(put(n=2))
    response = await second.visit(lambda request: request.state.session.regenerate(keep=True))
    assert response.status_code == 503
    assert (await first.read(), await second.read()) == ({"n": 1}, {"n": 2})


async def test_genid_draws_the_id_of_a_regenerated_session() -> None:
    drawn = iter(["first", "second"])
    browser = Browser(genid=lambda connection: next(drawn))
    await browser.visit(put(a=1))
    response = await browser.visit(
        lambda request: [request.state.session.regenerate(keep=True), request.state.session.id]
    )
    assert response.json()[1] == "second"


async def test_the_default_id_is_32_characters_of_base64url() -> None:
    browser = Browser()
    sids = {(await browser.visit(lambda request: request.state.session.id)).json() for _ in range(100)}
    assert len(sids) == 100
    assert all(len(sid) == 32 and sid.replace("-", "").replace("_", "").isalnum() for sid in sids)


# proxy

PROXIED = [
    ("https", True),
    ("HTTPS", True),
    (" https ", True),
    ("https, http", True),
    ("https,http", True),
    ("wss", True),
    ("http", False),
    ("http, https", False),
    ("", False),
    ("httpsx", False),
]


@pytest.mark.parametrize(("header", "secure"), PROXIED)
async def test_a_trusted_proxys_first_value_decides_whether_the_cookie_is_secure(header: str, secure: bool) -> None:
    browser = Browser(proxy=True)
    sent = attributes(set_cookie(await browser.visit(put(a=1), headers=[("x-forwarded-proto", header)])))
    assert ("secure" in sent) is secure


async def test_an_untrusted_proxys_header_is_ignored() -> None:
    browser = Browser(proxy=False)
    sent = attributes(set_cookie(await browser.visit(put(a=1), headers=[("x-forwarded-proto", "https")])))
    assert "secure" not in sent


async def test_of_two_forwarded_headers_the_first_is_read() -> None:
    browser = Browser(proxy=True)
    headers = [("x-forwarded-proto", "http"), ("x-forwarded-proto", "https")]
    assert "secure" not in attributes(set_cookie(await browser.visit(put(a=1), headers=headers)))


async def test_an_encrypted_connection_is_secure_whatever_the_proxy_says() -> None:
    browser = Browser(https=True, proxy=True)
    sent = attributes(set_cookie(await browser.visit(put(a=1), headers=[("x-forwarded-proto", "http")])))
    assert "secure" in sent


# save_uninitialized, resave


async def test_a_session_with_nothing_in_it_is_not_stored() -> None:
    store = SpyStore()
    response = await Browser(store=store).visit(lambda request: request.session.get("a"))
    assert store.calls == []
    assert set_cookie(response) is None


async def test_save_uninitialized_stores_a_session_with_nothing_in_it() -> None:
    store = SpyStore()
    browser = Browser(store=store, save_uninitialized=True)
    response = await browser.visit()
    assert store.calls == ["create"]
    assert set_cookie(response) is not None
    assert await store.data() == {}


async def test_save_uninitialized_keeps_a_session_that_was_made_empty() -> None:
    store = SpyStore()
    browser = Browser(store=store, save_uninitialized=True)
    await browser.visit(put(a=1))
    response = await browser.visit(lambda request: request.session.clear())
    assert await store.data() == {}
    assert "connect.sid=;" not in response.headers.get("set-cookie", "")


async def test_save_uninitialized_stores_a_regenerated_session_with_nothing_in_it() -> None:
    store = SpyStore()
    browser = Browser(store=store, save_uninitialized=True)
    await browser.visit(put(a=1))
    (old,) = await store.sids()
    await browser.visit(lambda request: request.state.session.regenerate())
    (new,) = await store.sids()
    assert new != old
    assert await store.data() == {}


async def test_an_unmodified_session_is_not_written() -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    store.calls.clear()
    await browser.visit(lambda request: request.session["a"])
    assert store.calls == ["get"]


async def test_resave_writes_an_unmodified_session_back() -> None:
    store = SpyStore()
    browser = Browser(store=store, resave=True)
    await browser.visit(put(a=1))
    store.calls.clear()
    await browser.visit()
    assert store.calls == ["get", "replace"]
    assert await store.data() == {"a": 1}


async def test_resave_stores_no_new_empty_session() -> None:
    store = SpyStore()
    await Browser(store=store, resave=True).visit(lambda request: request.session.get("a"))
    assert store.calls == []


async def test_resave_starts_the_full_age_anew(clock: Clock) -> None:
    store = SpyStore()
    browser = Browser(store=store, resave=True, cookie=Cookie(max_age=1000))
    await browser.visit(put(a=1))
    clock.advance(5)
    await browser.visit()
    assert (await store.only()).expires == clock.now + 1000


# rolling


async def test_rolling_sends_the_cookie_with_a_fresh_expiry_on_every_response(clock: Clock) -> None:
    browser = Browser(rolling=True, cookie=Cookie(max_age=3600))
    await browser.visit(put(a=1))
    for _ in range(3):
        clock.advance(7)
        assert attributes(set_cookie(await browser.visit()))["max-age"] == "3600"


async def test_without_rolling_an_unmodified_session_gets_no_cookie(clock: Clock) -> None:
    browser = Browser(cookie=Cookie(max_age=3600))
    await browser.visit(put(a=1))
    clock.advance(100)
    assert set_cookie(await browser.visit(lambda request: request.session["a"])) is None


async def test_rolling_sends_nothing_for_a_new_session_with_nothing_in_it() -> None:
    store = SpyStore()
    browser = Browser(store=store, rolling=True)
    assert set_cookie(await browser.visit(lambda request: request.session.get("a"))) is None
    assert store.calls == []


async def test_rolling_resends_the_cookie_of_a_browser_session() -> None:
    browser = Browser(rolling=True)
    await browser.visit(put(a=1))
    sent = attributes(set_cookie(await browser.visit()))
    assert "max-age" not in sent
    assert "expires" not in sent


async def test_rolling_still_touches_the_store_at_most_every_touch_after(clock: Clock) -> None:
    store = SpyStore()
    browser = Browser(store=store, rolling=True, touch_after=60, cookie=Cookie(max_age=3600))
    await browser.visit(put(a=1))
    touches = []
    for _ in range(6):
        clock.advance(20)
        store.calls.clear()
        assert attributes(set_cookie(await browser.visit()))["max-age"] == "3600"
        touches.append("touch" in store.calls)
    assert touches == [False, False, True, False, False, True]


async def test_rolling_sends_no_cookie_for_a_session_that_ended_meanwhile() -> None:
    store = SpyStore()
    browser = Browser(store=store, rolling=True)
    await browser.visit(put(a=1))

    async def end_it(request: Any) -> None:
        await store.inner.clear()

    assert set_cookie(await browser.visit(end_it)) is None


# touch_after


@pytest.mark.parametrize(
    ("touch_after", "age", "elapsed", "touched"),
    [
        (60, 3600, 59, False),
        (60, 3600, 60, True),
        (60, 100, 9, False),
        (60, 100, 10, True),  # a tenth of the age
        (600, 3600, 359, False),
        (600, 3600, 360, True),
        (0, 3600, 0, True),
        (0, 3600, 1, True),
        (60, None, 59, False),  # a browser session: the store's ttl is its age
        (60, None, 60, True),
        (10_000_000, None, 14 * 8640 - 1, False),
        (10_000_000, None, 14 * 8640, True),
    ],
)
async def test_an_unmodified_session_is_touched_when_it_is_due(
    clock: Clock, touch_after: float, age: int | None, elapsed: float, touched: bool
) -> None:
    store = SpyStore()
    browser = Browser(store=store, touch_after=touch_after, cookie=Cookie(max_age=age))
    await browser.visit(put(a=1))
    store.calls.clear()
    clock.advance(elapsed)
    await browser.visit()
    assert ("touch" in store.calls) is touched
    life = 14 * 86400 if age is None else age
    assert (await store.only()).expires == clock.now + life - (0 if touched else elapsed)


async def test_an_automatic_touch_sends_no_cookie(clock: Clock) -> None:
    browser = Browser(cookie=Cookie(max_age=3600))
    await browser.visit(put(a=1))
    clock.advance(1000)
    assert set_cookie(await browser.visit(lambda request: request.session["a"])) is None


async def test_an_automatic_touch_leaves_the_payload_alone(clock: Clock) -> None:
    store = SpyStore()
    browser = Browser(store=store, cookie=Cookie(max_age=3600))
    await browser.visit(put(a=1))
    before = (await store.only()).payload
    clock.advance(1000)
    await browser.visit()
    assert (await store.only()).payload == before


async def test_a_session_that_is_used_does_not_expire(clock: Clock) -> None:
    browser = Browser(cookie=Cookie(max_age=3600), rolling=True)
    await browser.visit(put(a=1))
    for _ in range(10):
        clock.advance(3000)
        assert await browser.read() == {"a": 1}


async def test_a_session_that_is_not_used_expires(clock: Clock) -> None:
    store = SpyStore()
    browser = Browser(store=store, cookie=Cookie(max_age=3600))
    await browser.visit(put(a=1))
    kept = cookie_header(browser.cookies)  # of a client that ignores Max-Age
    assert [await is_new(store, kept, clock, 3599), await is_new(store, kept, clock, 1)] == [False, True]


async def is_new(store: SpyStore, headers: list[tuple[bytes, bytes]], clock: Clock, elapsed: float) -> bool:
    seen: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["state"]["session"].is_new)

    clock.advance(elapsed)
    await call(SessionMiddleware(app, secret=SECRET, store=store), http_scope(headers=headers))
    return seen[0]


# Where sessions are


async def test_all_three_ways_lead_to_one_object() -> None:
    response = await Browser().visit(lambda r: r.session is r.state.session is r.scope["session"])
    assert response.json() is True


PATHS = [
    ("/", "/", True),
    ("/", "/anything", True),
    ("/", "", True),
    ("/admin", "/admin", True),
    ("/admin", "/admin/", True),
    ("/admin", "/admin/users", True),
    ("/admin", "/administrator", False),
    ("/admin", "/", False),
    ("/admin", "", False),
    ("/admin", "/Admin", False),
    ("/admin", "/x/admin", False),
    ("/admin/", "/admin/", True),
    ("/admin/", "/admin/users", True),
    ("/admin/", "/admin", False),
]


async def has_session(cookie_path: str, **scope: Any) -> bool:
    seen: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append("session" in scope.get("state", {}))

    await call(SessionMiddleware(app, secret=SECRET, cookie=Cookie(path=cookie_path)), http_scope(**scope))
    return seen[0]


@pytest.mark.parametrize(("cookie_path", "path", "inside"), PATHS)
async def test_a_request_has_a_session_if_its_path_is_under_the_cookies(
    cookie_path: str, path: str, inside: bool
) -> None:
    assert await has_session(cookie_path, path=path) is inside


@pytest.mark.parametrize(
    ("cookie_path", "path", "inside"),
    [
        ("/app", "/users", True),  # a server that leaves the root path out of the path
        ("/app", "/app/users", True),  # one that leaves it in
        ("/app/users", "/users", True),
        ("/app/users", "/app/users/7", True),
        ("/app/users", "/other", False),
        ("/users", "/users", False),
        ("/app", "", True),
        ("/app/application", "/application", True),  # the path begins like the root path, but is not under it
        ("/app", "/", True),
        ("/other", "/users", False),
    ],
)
async def test_the_root_path_stands_in_front_where_the_path_lacks_it(cookie_path: str, path: str, inside: bool) -> None:
    assert await has_session(cookie_path, path=path, root_path="/app") is inside


async def test_outside_the_cookies_path_nothing_is_read_and_nothing_sent() -> None:
    store = SpyStore()
    browser = Browser(store=store, cookie=Cookie(path="/shop"), rolling=True)
    await browser.visit(put(a=1), "/shop")
    store.calls.clear()
    browser.cookies.set("connect.sid", browser.cookies["connect.sid"], path="/")  # as a careless client would
    response = await browser.visit(path="/blog")
    assert store.calls == []
    assert "set-cookie" not in response.headers
    assert "vary" not in response.headers


async def test_other_scopes_pass_through_untouched() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope))

    await SessionMiddleware(app, secret=SECRET)({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert seen == [{"type": "lifespan"}]


async def test_the_scope_is_shared_with_outer_middleware() -> None:
    scope = http_scope()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["route"] = "found"

    await call(SessionMiddleware(app, secret=SECRET), scope)
    assert scope["route"] == "found"


async def test_data_that_other_middleware_put_into_the_state_stays() -> None:
    scope = http_scope(state={"database": "db"})
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["state"]["database"])

    await call(SessionMiddleware(app, secret=SECRET), scope)
    assert seen == ["db"]


async def test_the_default_store_is_one_per_middleware() -> None:
    first, second = Browser(), Browser()
    await first.visit(put(a=1))
    second.cookies = first.cookies
    assert await second.read() == {}


async def test_a_cookie_that_plain_http_can_not_carry_is_warned_about_once(caplog: pytest.LogCaptureFixture) -> None:
    browser = Browser(cookie=Cookie(secure=True))
    for _ in range(3):
        await browser.visit(put(a=1))
    assert [record.levelno for record in caplog.records if record.name == "asgi_session"] == [logging.WARNING]
