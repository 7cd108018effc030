"""Cookie headers and stored payloads as an attacker, a broken client or another writer may leave them."""

from __future__ import annotations

import json
import logging
from typing import Any
from urllib.parse import quote

import pytest
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from asgi_session import Cookie, Record, SessionMiddleware
from tests.clients import SECRET, Browser, call, http_scope, put, set_cookie, signature, signed
from tests.spy_store import SpyStore

SID = "a-session-that-is-stored"


@pytest.fixture
async def store() -> SpyStore:
    """A store with one session, under `SID`."""
    store = SpyStore()
    await store.inner.create(SID, Record('{"cookie":{"originalMaxAge":null,"expires":null},"user":"ann"}', None))
    return store


class Seen:
    """What an app saw of its session."""

    def __init__(self, data: dict[str, Any], is_new: bool, sid: str) -> None:
        self.data = data
        self.is_new = is_new
        self.sid = sid


async def sent(store: SpyStore, *cookie_headers: bytes, **options: Any) -> Seen:
    """What the app sees when a request comes with these Cookie headers."""
    seen: list[Seen] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        session = Request(scope).state.session
        seen.append(Seen(dict(session), session.is_new, session.id))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    headers = [(b"cookie", value) for value in cookie_headers]
    messages = await call(SessionMiddleware(app, secret=SECRET, store=store, **options), http_scope(headers=headers))
    assert messages[0]["status"] == 200
    assert not any(name == b"set-cookie" for name, _ in messages[0]["headers"])
    return seen[0]


# What counts as ours


async def test_a_cookie_that_we_signed_leads_to_its_session(store: SpyStore) -> None:
    seen = await sent(store, b"connect.sid=" + signed(SID))
    assert (seen.data, seen.is_new, seen.sid) == ({"user": "ann"}, False, SID)


@pytest.mark.parametrize(
    "header",
    [
        b"connect.sid=s:" + SID.encode() + b"." + signature(SID.encode()),  # not percent-encoded
        b"connect.sid=s%3a" + signed(SID)[4:],  # lower-case hexadecimal
        b"a=1; connect.sid=" + signed(SID) + b"; b=2",
        b"a=1;connect.sid=" + signed(SID) + b";b=2",
        b" connect.sid = " + signed(SID) + b" ",
        b"\tconnect.sid\t=\t" + signed(SID) + b"\t;",
        b";;; ;connect.sid=" + signed(SID),
        b"novalue; connect.sid=" + signed(SID),
        b"=x; connect.sid=" + signed(SID),
        b"other=\xff\xfe; connect.sid=" + signed(SID),
        b'other="a; connect.sid=' + signed(SID) + b'; b"',  # no quoted strings: RFC 6265 splits at each semicolon
    ],
)
async def test_our_cookie_is_found_however_the_header_is_spelled(store: SpyStore, header: bytes) -> None:
    assert (await sent(store, header)).data == {"user": "ann"}


async def test_two_cookie_headers_are_read_as_one(store: SpyStore) -> None:
    assert (await sent(store, b"a=1", b"connect.sid=" + signed(SID))).data == {"user": "ann"}
    assert (await sent(store, b"connect.sid=" + signed(SID), b"a=1")).data == {"user": "ann"}


# Several of our name


async def test_of_several_cookies_the_first_that_verifies_counts(store: SpyStore) -> None:
    await store.inner.create("another", Record('{"cookie":{},"user":"bob"}', None))
    good, other, bad = (b"connect.sid=" + value for value in (signed(SID), signed("another"), b"s%3Aforged.signature"))
    assert (await sent(store, good + b"; " + other)).data == {"user": "ann"}
    assert (await sent(store, other + b"; " + good)).data == {"user": "bob"}
    assert (await sent(store, bad + b"; " + good + b"; " + other)).data == {"user": "ann"}
    assert (await sent(store, bad, other, good)).data == {"user": "bob"}


async def test_the_first_that_verifies_counts_even_if_the_store_does_not_know_it(store: SpyStore) -> None:
    header = b"connect.sid=" + signed("unknown") + b"; connect.sid=" + signed(SID)
    assert (await sent(store, header)).data == {}
    assert store.calls == ["get"]


@pytest.mark.parametrize("name", [b"Connect.sid", b"CONNECT.SID", b"connect.sid2", b"xconnect.sid", b"connect-sid"])
async def test_a_name_that_is_not_ours_to_the_letter_is_ignored(store: SpyStore, name: bytes) -> None:
    assert (await sent(store, name + b"=" + signed(SID))).is_new
    assert store.calls == []


# What is refused, without asking the store

OURS = signed(SID)
SIGNATURE = signature(SID.encode())


def padded(value: bytes) -> bytes:
    return value + b"=" * (-len(value) % 4)


REFUSED = {
    "empty": b"",
    "blank": b"   ",
    "prefix alone": b"s%3A",
    "prefix alone, raw": b"s:",
    "no id": b"s%3A." + signature(b""),
    "no id and no signature": b"s%3A.",
    "no signature": b"s%3A" + SID.encode() + b".",
    "no dot": b"s%3A" + SID.encode(),
    "dots only": b"....",
    "prefix and dots": b"s%3A....",
    "no prefix": OURS[4:],
    "another prefix": b"j%3A" + OURS[4:],
    "upper-case prefix": b"S%3A" + OURS[4:],
    "half a prefix": b"s" + OURS[4:],
    "the bare id": SID.encode(),
    "another secret's": signed(SID, b"x" * 32),
    "another id's signature": b"s%3A" + SID.encode() + b"." + quote(signature(b"other"), safe="").encode(),
    "padded": b"s%3A" + SID.encode() + b"." + quote(padded(SIGNATURE), safe="").encode(),
    "padded, raw": b"s:" + SID.encode() + b"." + padded(SIGNATURE),
    "URL-safe alphabet": b"s%3A" + SID.encode() + b"." + SIGNATURE.replace(b"+", b"-").replace(b"/", b"_") + b"-",
    "cut": OURS[:-1],
    "grown": OURS + b"A",
    "very long signature": OURS + b"A" * 3000,
    "quoted": b'"' + OURS + b'"',
    "quoted inside": b's%3A"' + OURS[4:] + b'"',
    "half quoted": b'"' + OURS,
    "encoded twice": OURS.replace(b"%", b"%25"),
    "broken escape at the end": OURS + b"%",
    "broken escape": OURS + b"%zz",
    "half an escape": OURS + b"%2",
    "unicode escape": OURS + b"%u0041",
    "raw non-ASCII": b"s%3A\xc3\xa4." + quote(signature("ä".encode()), safe="").encode(),
    "not UTF-8, escaped": signed(b"\xff\xfe"),
    "overlong UTF-8": signed(b"\xc0\xae"),
    "a surrogate": signed("\ud800"),
    "NUL in the id": signed("a\0b"),
    "NUL alone": signed("\0"),
    "raw NUL": OURS + b"\0",
    "line break": OURS + b"\r\nx",
    "over 4096 bytes": signed("x" * 4096),
    "a comma list": OURS + b"," + OURS,
    "plus for blank": OURS.replace(b"-", b"+"),
    "blank inside": OURS[:10] + b" " + OURS[10:],
    "JSON": b'{"$gt":""}',
}


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED.keys())
async def test_a_value_that_we_did_not_make_is_an_anonymous_session_without_a_store_call(
    store: SpyStore, value: bytes
) -> None:
    seen = await sent(store, b"connect.sid=" + value)
    assert (seen.data, seen.is_new) == ({}, True)
    assert store.calls == []


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED.keys())
async def test_a_value_that_we_did_not_make_does_not_hide_one_that_we_did(store: SpyStore, value: bytes) -> None:
    seen = await sent(store, b"connect.sid=" + value, b"connect.sid=" + OURS)
    assert seen.data == {"user": "ann"}


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b";",
        b"=",
        b"connect.sid",
        b"connect.sid; a",
        b"\x00\xff\xfe",
        b"connect.sid==" + OURS,
        b"$Version=1; $Path=/",
        b"; ".join(b"a%d=1" % n for n in range(5000)),
        b"; ".join([b"connect.sid=s%3Ax.y"] * 2000),
        b"a=" + b"x" * 100_000,
        b"connect.sid=" + b"%" * 100_000,
    ],
    ids=lambda header: header[:20].decode("latin-1"),
)
async def test_no_header_is_an_error_or_a_store_call(store: SpyStore, header: bytes) -> None:
    assert (await sent(store, header)).is_new
    assert store.calls == []


async def test_a_value_of_4096_bytes_is_still_looked_at() -> None:
    store = SpyStore()
    room = 4096 - len(signed(""))
    await store.inner.create("x" * room, Record('{"cookie":{},"a":1}', None))
    value = signed("x" * room)
    length = len(value)
    assert length <= 4096
    assert (await sent(store, b"connect.sid=" + value)).data == {"a": 1}


async def test_our_value_is_not_read_from_anywhere_else(store: SpyStore) -> None:
    seen: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(Request(scope).state.session.is_new)

    scope = http_scope(
        "/connect.sid/" + OURS.decode(),
        query_string=b"connect.sid=" + OURS,
        headers=[(b"connect.sid", OURS), (b"x-cookie", b"connect.sid=" + OURS), (b"authorization", OURS)],
    )
    await call(SessionMiddleware(app, secret=SECRET, store=store), scope)
    assert seen == [True]
    assert store.calls == []


# Valid signature, unknown session


async def test_an_id_that_the_store_does_not_know_is_never_adopted(store: SpyStore) -> None:
    browser = Browser(store=store)
    browser.cookies.set("connect.sid", signed("chosen-by-somebody").decode())
    response = await browser.visit(put(a=1))
    assert "chosen-by-somebody" not in await store.sids()
    assert "chosen-by-somebody" not in (set_cookie(response) or "")


async def test_an_unknown_id_creates_no_record(store: SpyStore) -> None:
    assert (await sent(store, b"connect.sid=" + signed("unknown"))).sid != "unknown"
    assert store.calls == ["get"]


# Stored payloads

UNREADABLE = {
    "nothing": "",
    "no JSON": "{",
    "HTML": "<html>",
    "a list": "[1]",
    "a text": '"text"',
    "a number": "7",
    "null": "null",
    "two objects": "{}{}",
    "NaN": '{"a":NaN}',
    "Infinity": '{"a":-Infinity}',
    "a trailing comma": '{"a":1,}',
    "single quotes": "{'a':1}",
    "nested too deeply": '{"a":' + "[" * 100_000 + "]" * 100_000 + "}",
    "objects nested too deeply": '{"a":' * 50_000 + "1" + "}" * 50_000,
}


@pytest.mark.parametrize("payload", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_an_unreadable_payload_is_logged_and_treated_as_missing(
    store: SpyStore, payload: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await store.inner.create("broken", Record(payload, None))
    seen = await sent(store, b"connect.sid=" + signed("broken"))
    assert (seen.data, seen.is_new) == ({}, True)
    assert seen.sid != "broken"
    assert len([record for record in caplog.records if record.name == "asgi_session"]) == 1
    assert "broken" not in caplog.text
    if len(payload) > 3:
        assert payload[:50] not in caplog.text


async def test_a_new_session_replaces_one_that_was_unreadable(store: SpyStore) -> None:
    await store.inner.create("broken", Record("[", None))
    browser = Browser(store=store)
    browser.cookies.set("connect.sid", signed("broken").decode(), domain="testserver.local", path="/")
    await browser.visit(put(a=1))
    assert await browser.read() == {"a": 1}


READABLE: dict[str, tuple[str, dict[str, Any]]] = {
    "no cookie": ('{"a":1}', {"a": 1}),
    "nothing at all": ("{}", {}),
    "cookie null": ('{"cookie":null,"a":1}', {"a": 1}),
    "cookie nonsense": ('{"cookie":[1,2],"a":1}', {"a": 1}),
    "cookie not first": ('{"a":1,"cookie":{"originalMaxAge":null,"expires":null}}', {"a": 1}),
    "cookie of odd types": (
        '{"cookie":{"originalMaxAge":{},"expires":[],"secure":"x","sameSite":true,"path":7,"domain":null},"a":1}',
        {"a": 1},
    ),
    "sameSite in any case": ('{"cookie":{"originalMaxAge":null,"expires":null,"sameSite":"LAX"},"a":1}', {"a": 1}),
    "blanks and line breaks": ('{\n  "cookie": {},\n  "a": [1, 2]\n}', {"a": [1, 2]}),
    "escapes": ('{"a":"\\u00e9\\ud83d\\ude00"}', {"a": "é😀"}),
    "a lone surrogate": ('{"a":"\\ud800"}', {"a": "\ud800"}),
    "a key twice": ('{"a":1,"a":2}', {"a": 2}),
    "keys like methods": (
        '{"id":1,"save":2,"__proto__":3,"clear":4}',
        {"id": 1, "save": 2, "__proto__": 3, "clear": 4},
    ),
    "an integer beyond 2^53": ('{"a":9007199254740993}', {"a": 9007199254740993}),
    "a number too large for a float": ('{"a":1e999}', {"a": None}),
    "an integer of 10000 digits": ('{"a":' + "9" * 10_000 + ',"b":1}', {"a": None, "b": 1}),
    "deep, but not too deep": ('{"a":' + "[" * 100 + "]" * 100 + "}", {"a": json.loads("[" * 100 + "]" * 100)}),
}


@pytest.mark.parametrize(("payload", "data"), READABLE.values(), ids=READABLE.keys())
async def test_whatever_json_object_is_stored_is_read(store: SpyStore, payload: str, data: dict[str, Any]) -> None:
    await store.inner.create("odd", Record(payload, None))
    seen = await sent(store, b"connect.sid=" + signed("odd"))
    assert (seen.data, seen.is_new) == (data, False)


@pytest.mark.parametrize(
    "cookie",
    [
        '{"originalMaxAge":99999999999999,"expires":"2031-01-01T00:00:00.000Z"}',
        '{"originalMaxAge":1e308,"expires":"2031-01-01T00:00:00.000Z"}',
    ],
)
async def test_a_stored_age_is_capped_like_any_other(store: SpyStore, cookie: str) -> None:
    await store.inner.create("old", Record(f'{{"cookie":{cookie},"a":1}}', None))
    browser = Browser(store=store)
    browser.cookies.set("connect.sid", signed("old").decode(), domain="testserver.local", path="/")
    response = await browser.visit(lambda request: request.state.session.cookie.original_max_age)
    assert response.json() == 400 * 86400


@pytest.mark.parametrize("cookie", ["null", "[]", '"x"', "7"])
async def test_a_session_without_a_usable_cookie_gets_the_templates_age(store: SpyStore, cookie: str) -> None:
    await store.inner.create("old", Record(f'{{"cookie":{cookie},"a":1}}', None))
    browser = Browser(store=store, cookie=Cookie(max_age=77))
    browser.cookies.set("connect.sid", signed("old").decode(), domain="testserver.local", path="/")
    response = await browser.visit(lambda request: request.state.session.cookie.original_max_age)
    assert response.json() == 77


async def test_a_stored_expires_that_is_over_does_not_end_a_living_record(store: SpyStore) -> None:
    payload = '{"cookie":{"originalMaxAge":1000,"expires":"1999-01-01T00:00:00.000Z"},"a":1}'
    await store.inner.create("touched", Record(payload, None))
    assert (await sent(store, b"connect.sid=" + signed("touched"), touch_after=10**9)).data == {"a": 1}
