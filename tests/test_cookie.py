"""The cookie's template: what may be asked of it, and the header that comes out."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from asgi_session import Cookie, SessionMiddleware

from .clients import SECRET, Browser, attributes, put, set_cookie
from .clock import START, Clock
from .spy_store import SpyStore

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "vectors" / "set_cookie.json").read_text(encoding="utf-8")
)
EXPRESS_CLOCK = 1893553445.678
DAY = 86400


def later(seconds: float) -> datetime:
    return datetime.fromtimestamp(START + seconds, UTC)


# The template


def test_the_default_is_a_browser_session_for_the_whole_site_kept_from_scripts() -> None:
    cookie = Cookie()
    assert (cookie.path, cookie.domain, cookie.max_age, cookie.expires) == ("/", None, None, None)
    assert (cookie.secure, cookie.httponly, cookie.samesite) == ("auto", True, "lax")
    assert (cookie.partitioned, cookie.priority) == (False, None)


def test_attributes_are_named_by_keyword_only() -> None:
    with pytest.raises(TypeError):
        Cookie("/")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "options",
    [
        {"max_age": True},
        {"max_age": 60.0},
        {"max_age": "60"},
        {"max_age": float("nan")},
        {"expires": "Wed, 01 Jan 2031 00:00:00 GMT"},
        {"expires": START + 60},
        {"expires": False},
        {"path": None},
        {"path": b"/"},
        {"domain": b"example.com"},
        {"domain": 5},
        {"httponly": 1},
        {"httponly": None},
        {"partitioned": "yes"},
    ],
    ids=str,
)
def test_a_value_of_a_wrong_type_is_refused(options: dict[str, Any], clock: Clock) -> None:
    with pytest.raises(TypeError):
        Cookie(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"max_age": 0},
        {"max_age": -1},
        {"max_age": timedelta(0)},
        {"max_age": timedelta(seconds=-1)},
        {"expires": later(60).replace(tzinfo=None)},
        {"expires": later(-1)},
        {"expires": later(0)},
        {"max_age": 60, "expires": later(60)},
        {"path": ""},
        {"path": "app"},
        {"path": "/a;b"},
        {"path": "/a\nb"},
        {"path": "/a\x00b"},
        {"path": "/a\x7fb"},
        {"path": "/é"},
        {"domain": "example.com;"},
        {"domain": "exa\rmple.com"},
        {"domain": "exa mple.com"},
        {"domain": "https://example.com"},
        {"domain": "example.com:8000"},
        {"domain": "example.com/app"},
        {"domain": "exämple.com"},
        {"secure": None},
        {"secure": 1},
        {"secure": "yes"},
        {"samesite": "bogus"},
        {"samesite": True},
        {"samesite": ""},
        {"priority": "urgent"},
        {"priority": 1},
        {"samesite": "none", "secure": False},
        {"partitioned": True, "secure": False},
    ],
    ids=str,
)
def test_a_value_or_combination_that_no_browser_honours_is_refused(options: dict[str, Any], clock: Clock) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # which words it uses is no promise
        Cookie(**options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("__Host-sid", {"domain": "example.com"}),
        ("__Host-sid", {"path": "/app"}),
        ("__Host-sid", {"secure": False}),
        ("__host-sid", {"secure": False}),
        ("__HOST-sid", {"path": "/app"}),
        ("__Secure-sid", {"secure": False}),
        ("__sEcUrE-sid", {"secure": False}),
        ("__Http-sid", {"secure": False}),
        ("__Http-sid", {"httponly": False}),
        ("__Host-Http-sid", {"httponly": False}),
        ("__Host-Http-sid", {"path": "/app"}),
    ],
)
def test_a_name_with_a_prefix_is_refused_where_the_cookie_does_not_keep_what_it_promises(
    name: str, options: dict[str, Any]
) -> None:
    cookie = Cookie(**options)
    with pytest.raises(ValueError, match=r"__Host-|prefix"):
        SessionMiddleware(Browser.serve, secret=SECRET, name=name, cookie=cookie)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("__Host-sid", {}),
        ("__Host-sid", {"secure": True}),
        ("__Secure-sid", {"domain": "example.com", "path": "/app"}),
        ("_Host-sid", {"secure": False}),
        ("__Http-sid", {"path": "/app"}),
        ("__Host-Http-sid", {}),
    ],
)
def test_a_name_with_a_prefix_is_taken_where_the_cookie_keeps_what_it_promises(
    name: str, options: dict[str, Any]
) -> None:
    SessionMiddleware(Browser.serve, secret=SECRET, name=name, cookie=Cookie(**options))


@pytest.mark.parametrize("samesite", ["LAX", "Strict", "nOnE", "Auto"])
def test_samesite_and_priority_are_taken_in_any_case(samesite: Any) -> None:
    cookie = Cookie(samesite=samesite, priority="HIGH")  # type: ignore[arg-type]
    assert (cookie.samesite, cookie.priority) == (samesite.lower(), "high")


def test_a_template_can_not_be_changed() -> None:
    with pytest.raises(AttributeError):
        Cookie().path = "/app"  # type: ignore[misc]


# The header


async def header_of(cookie: Cookie, *, https: bool = False, **options: Any) -> str | None:
    response = await Browser(https=https, cookie=cookie, **options).visit(put(a=1))
    return set_cookie(response)


async def test_a_browser_session_has_neither_max_age_nor_expires() -> None:
    assert set(attributes(await header_of(Cookie()))) == {"", "path", "httponly", "samesite"}


async def test_an_age_comes_as_max_age_and_as_expires(clock: Clock) -> None:
    sent = attributes(await header_of(Cookie(max_age=3600)))
    assert (sent["max-age"], sent["expires"]) == ("3600", "Sun, 17 Mar 2030 18:46:40 GMT")


async def test_an_age_may_be_a_timedelta(clock: Clock) -> None:
    assert attributes(await header_of(Cookie(max_age=timedelta(hours=1, milliseconds=500))))["max-age"] == "3600"


async def test_a_moment_of_expiry_comes_as_both_too(clock: Clock) -> None:
    sent = attributes(await header_of(Cookie(expires=later(90))))
    assert (sent["max-age"], sent["expires"]) == ("90", "Sun, 17 Mar 2030 17:48:10 GMT")


async def test_a_moment_that_has_passed_by_now_is_a_second_away(clock: Clock) -> None:
    browser = Browser(cookie=Cookie(expires=later(90)))
    clock.advance(120)
    assert attributes(set_cookie(await browser.visit(put(a=1))))["max-age"] == "1"
    clock.advance(0.9)
    assert await browser.read() == {"a": 1}


@pytest.mark.parametrize("age", [{"max_age": 401 * DAY}, {"expires": later(401 * DAY)}], ids=["max_age", "expires"])
async def test_an_age_is_cut_to_400_days(age: dict[str, Any], clock: Clock) -> None:
    assert attributes(await header_of(Cookie(**age)))["max-age"] == str(400 * DAY)


async def test_a_cookie_with_expires_lives_shorter_the_later_it_is_made(clock: Clock) -> None:
    browser = Browser(cookie=Cookie(expires=later(90)))
    clock.advance(60)
    assert attributes(set_cookie(await browser.visit(put(a=1))))["max-age"] == "30"


@pytest.mark.parametrize(("https", "secure"), [(True, True), (False, False)])
async def test_secure_auto_is_secure_as_the_connection_is(https: bool, secure: bool) -> None:
    assert ("secure" in attributes(await header_of(Cookie(), https=https))) is secure


@pytest.mark.parametrize(("https", "samesite"), [(True, "None"), (False, "Lax")])
async def test_samesite_auto_is_none_on_a_secure_cookie_and_lax_on_another(https: bool, samesite: str) -> None:
    assert attributes(await header_of(Cookie(samesite="auto"), https=https))["samesite"] == samesite


async def test_samesite_auto_is_lax_where_secure_is_off_on_https_too() -> None:
    assert attributes(await header_of(Cookie(samesite="auto", secure=False), https=True))["samesite"] == "Lax"


async def test_samesite_none_and_partitioned_on_a_cookie_that_auto_leaves_insecure_are_lax_and_nothing() -> None:
    sent = attributes(await header_of(Cookie(samesite="none", partitioned=True)))
    assert (sent["samesite"], "partitioned" in sent, "secure" in sent) == ("Lax", False, False)


async def test_samesite_none_and_partitioned_hold_on_https() -> None:
    sent = attributes(await header_of(Cookie(samesite="none", partitioned=True), https=True))
    assert (sent["samesite"], "partitioned" in sent, "secure" in sent) == ("None", True, True)


async def test_samesite_can_be_left_out() -> None:
    assert "samesite" not in attributes(await header_of(Cookie(samesite=None)))


async def test_scripts_may_read_the_cookie_where_the_app_says_so() -> None:
    assert "httponly" not in attributes(await header_of(Cookie(httponly=False)))


@pytest.mark.parametrize(
    ("cookie", "path"),
    [
        (Cookie(), "/"),
        (Cookie(path="/app", domain="example.com", secure=True, samesite="none", partitioned=True), "/app"),
        (Cookie(httponly=False, samesite="strict", priority="low", max_age=60), "/"),
    ],
)
async def test_deleting_repeats_all_attributes_but_the_age(cookie: Cookie, path: str) -> None:
    browser = Browser(https=True, cookie=cookie)
    first = attributes(set_cookie(await browser.visit(put(a=1), path)))
    came = [("cookie", f"connect.sid={first['']}")]  # by hand, as no jar takes a cookie for another domain
    response = await browser.visit(lambda request: request.state.session.destroy(), path, headers=came)
    gone = attributes(set_cookie(response))
    assert (gone[""], gone["max-age"], gone["expires"]) == ("", "0", "Thu, 01 Jan 1970 00:00:00 GMT")
    ages = {"", "max-age", "expires"}
    assert {k: v for k, v in gone.items() if k not in ages} == {k: v for k, v in first.items() if k not in ages}


# What Express sends for the same options

DEVIATIONS = {
    "maxAge negative": "ages are positive: refused at construction",
    "maxAge string": "wrong types are refused at construction, where Express never answers",
    "maxAge NaN": "likewise, where Express answers without a cookie",
    "expires string": "likewise",
    "maxAge then expires": "one of the two, not both: refused at construction",
    "expires Date": "ages are cut to 400 days, which browsers do anyway",
    "path /foo (request /foobar)": "paths match as in RFC 6265, not as text: this request gets no session",
    "path empty": "a path begins with a slash: refused at construction",
    "domain invalid": "refused at construction, where Express answers without a cookie",
    "priority bogus": "refused at construction, where Express answers without a cookie",
    "secure true, xfp https, proxy false": "a session whose cookie can't be sent is not stored",
    'secure true, xfp "http, https", proxy true': "likewise",
    "sameSite none": "SameSite=None on an insecure cookie would be dropped by browsers: sent as Lax",
    "partitioned": "Partitioned on an insecure cookie would be dropped by browsers: left out",
}
REFUSED = {
    "maxAge negative": ValueError,
    "maxAge string": TypeError,
    "maxAge NaN": TypeError,
    "expires string": TypeError,
    "maxAge then expires": ValueError,
    "path empty": ValueError,
    "domain invalid": ValueError,
    "priority bogus": ValueError,
}


def translated(options: dict[str, Any]) -> dict[str, Any]:
    """Express's cookie options as ours; what Express leaves out by default is left out too."""
    given: dict[str, Any] = {"samesite": None}
    for name, value in options.items():
        match name, value:
            case "maxAge", int():
                given["max_age"] = value // 1000
            case "maxAge", "NaN":
                given["max_age"] = float("nan")
            case "maxAge", _:
                given["max_age"] = value
            case "expires", {"$date": date}:
                given["expires"] = datetime.fromisoformat(date)
            case "sameSite", False:
                pass
            case _:
                given[name.lower()] = value
    return given


def as_express_writes_it(header: str | None) -> str | None:
    """Our header without Max-Age, which Express never sends."""
    if header is None:
        return None
    return "; ".join(part for part in header.split("; ") if not part.startswith("Max-Age="))


def stored_as_express_stores_it(payload: str, vector: dict[str, Any]) -> str:
    """Our payload without `secure: false`, which Express leaves out where the option is not set; else byte for byte."""
    if "secure" not in vector["cookie_options"]:
        payload = payload.replace(',"secure":false', "")
    return payload


async def answered(vector: dict[str, Any], store: SpyStore) -> str | None:
    browser = Browser(
        secret="keyboard cat",
        store=store,
        cookie=Cookie(**translated(vector["cookie_options"])),
        proxy=vector.get("proxy", False),
        genid=lambda connection: "fixed-sid",
    )
    with pytest.warns(UserWarning, match="32 bytes"):  # that secret is short; an app is built at its first request
        await browser.visit()

    def handler(request: Any) -> None:
        if "session" in request.scope:
            request.session["user"] = "é"

    headers = list(vector.get("request_headers", {}).items())
    return set_cookie(await browser.visit(handler, vector.get("request_path", "/"), headers=headers))


@pytest.mark.parametrize("vector", [v for v in VECTORS if v["note"] not in DEVIATIONS], ids=lambda v: v["note"])
async def test_header_and_payload_are_what_express_makes_of_the_same_options(
    vector: dict[str, Any], clock: Clock
) -> None:
    clock.now = EXPRESS_CLOCK
    store = SpyStore()
    header = await answered(vector, store)
    assert as_express_writes_it(header) == vector["set_cookie"]
    expected = vector["stored"].replace(',"sameSite":false', "").replace('"LAX"', '"lax"')
    assert stored_as_express_stores_it((await store.only()).payload, vector) == expected


@pytest.mark.parametrize("vector", [v for v in VECTORS if v["note"] in REFUSED], ids=lambda v: v["note"])
def test_options_that_express_notices_while_serving_are_refused_at_construction(
    vector: dict[str, Any], clock: Clock
) -> None:
    clock.now = EXPRESS_CLOCK
    with pytest.raises(REFUSED[vector["note"]]):
        Cookie(**translated(vector["cookie_options"]))


OTHERWISE = [
    ("path /foo (request /foobar)", None),
    ("secure true, xfp https, proxy false", None),
    ('secure true, xfp "http, https", proxy true', None),
    ("sameSite none", "Path=/; HttpOnly; SameSite=Lax"),
    ("partitioned", "Path=/; HttpOnly"),
    ("expires Date", "Path=/; Expires=Thu, 06 Feb 2031 03:04:05 GMT; HttpOnly"),
]


@pytest.mark.parametrize(("note", "expected"), OTHERWISE, ids=[note for note, _ in OTHERWISE])
async def test_where_the_header_differs_from_express_on_purpose(note: str, expected: str | None, clock: Clock) -> None:
    clock.now = EXPRESS_CLOCK
    (vector,) = [v for v in VECTORS if v["note"] == note]
    store = SpyStore()
    header = as_express_writes_it(await answered(vector, store))
    assert header != vector["set_cookie"] or header is None
    assert (None if header is None else header.partition("; ")[2]) == expected
    assert bool(await store.sids()) is (expected is not None)


def test_every_deviation_from_express_is_tested() -> None:
    assert set(DEVIATIONS) == set(REFUSED) | {note for note, _ in OTHERWISE}
    assert set(DEVIATIONS) <= {vector["note"] for vector in VECTORS}
