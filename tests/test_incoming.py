"""Which session a Cookie header names: Express's own answers (`tests/vectors/incoming.json`), and the memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from asgi_session import MemoryStore, Record
from asgi_session.incoming import IncomingCookies
from asgi_session.signing import CookieSigner, Presented
from tests.clients import SECRET, Browser

ROWS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "vectors" / "incoming.json").read_text("utf-8"))

KNOWN = ["abc", "会话😀", "with.dots"]

DEVIATIONS = {
    "quoted": None,  # quotes are part of the value: what interprets them can be made to read another cookie's text
    "duplicate: first bad, second good": "abc",  # the first that verifies counts, so that nobody can hide it
}


class Known(MemoryStore):
    """Knows some sessions and notes what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.looked_up: list[str] = []

    async def get(self, sid: str) -> Record | None:
        self.looked_up.append(sid)
        return await super().get(sid)


@pytest.mark.filterwarnings("ignore:a session secret is shorter")
@pytest.mark.parametrize("row", ROWS, ids=[row["note"] for row in ROWS])
async def test_a_cookie_header_finds_the_session_that_express_finds(row: dict[str, Any]) -> None:
    store = Known()
    for sid in KNOWN:
        assert await store.create(sid, Record('{"cookie":{"originalMaxAge":null,"expires":null},"n":1}', None))
    found = row["sid"]
    looked_up = row["looked_up"]
    if row["note"] in DEVIATIONS:
        found = DEVIATIONS[row["note"]]
        looked_up = [] if found is None else [found]
    browser = Browser(store=store, secret=row["secrets"])
    response = await browser.visit(id_of_a_stored_session, headers=[("cookie", row["cookie_header"])])
    assert response.json() == found
    assert list(dict.fromkeys(store.looked_up)) == looked_up  # twice where the cookie is signed anew


def id_of_a_stored_session(request: Request) -> str | None:
    session = request.state.session
    return None if session.is_new else session.id


def test_every_deviation_is_one_of_the_rows() -> None:
    assert set(DEVIATIONS) <= {row["note"] for row in ROWS}


class CountingSigner(CookieSigner):
    """Counts the cookies that it verifies."""

    def __init__(self) -> None:
        super().__init__([SECRET.encode()])
        self.verified = 0

    def unsign(self, value: bytes) -> Presented | None:
        self.verified += 1
        return super().unsign(value)


class Visitors:
    """Clients whose headers are looked at, and the signer that is asked."""

    def __init__(self) -> None:
        self.signer = CountingSigner()
        self.incoming = IncomingCookies("connect.sid", self.signer)

    def cookie(self, sid: str) -> bytes:
        return b"connect.sid=" + self.signer.sign(sid).encode()

    def sid(self, *headers: bytes) -> str | None:
        """The id that these Cookie headers name."""
        presented = self.incoming.presented([(b"host", b"connect.sid=x"), *[(b"cookie", header) for header in headers]])
        return None if presented is None else presented.sid


def test_only_cookie_headers_are_looked_at() -> None:
    visitors = Visitors()
    assert visitors.incoming.presented([(b"host", visitors.cookie("a"))]) is None
    assert visitors.sid() is None
    assert visitors.signer.verified == 0


def test_cookies_split_over_several_headers_are_found() -> None:
    visitors = Visitors()
    assert visitors.sid(b"a=b", visitors.cookie("a"), b"c=d") == "a"


def test_the_first_cookie_that_verifies_counts_in_whichever_header() -> None:
    visitors = Visitors()
    forged = b"connect.sid=s%3Aforged." + b"A" * 43
    assert visitors.sid(forged + b"; " + visitors.cookie("a"), visitors.cookie("b")) == "a"
    assert visitors.sid(forged, visitors.cookie("b"), visitors.cookie("a")) == "b"


def test_no_more_cookies_are_tried_than_a_browser_may_have() -> None:
    """Fifty of one site (RFC 6265, 6.1): else a client could have thousands of signatures computed for each request."""
    visitors = Visitors()
    forged = b"; ".join(b"connect.sid=s%%3Aforged%d." % number + b"A" * 43 for number in range(49))
    one = b"connect.sid=s%3Aforged." + b"A" * 43
    assert visitors.sid(forged + b"; " + visitors.cookie("a")) == "a"
    assert visitors.sid(forged, visitors.cookie("a")) == "a"
    tried = visitors.signer.verified
    assert visitors.sid(forged + b"; " + one + b"; " + visitors.cookie("a") + b";") is None
    assert visitors.sid(forged + b"; ", one + b"; ", visitors.cookie("a") + b"; ") is None
    assert visitors.signer.verified == tried + 50 + 50


def test_a_header_that_verified_is_not_verified_again() -> None:
    visitors = Visitors()
    header = b"theme=dark; " + visitors.cookie("a")
    assert [visitors.sid(header) for _ in range(3)] == ["a", "a", "a"]
    assert visitors.signer.verified == 1


def test_a_header_with_any_other_byte_is_another_header() -> None:
    visitors = Visitors()
    header = visitors.cookie("a")
    assert visitors.sid(header) == "a"
    assert visitors.sid(header[:-1] + (b"A" if header[-1:] != b"A" else b"B")) is None
    assert visitors.sid(header + b"; theme=dark") == "a"
    assert visitors.signer.verified == 3


def forged(number: int = 0) -> bytes:
    return b"connect.sid=s%3Aforged." + b"%043d" % number


def test_a_header_that_did_not_verify_is_not_looked_at_again() -> None:
    visitors = Visitors()
    assert [visitors.sid(forged()) for _ in range(3)] == [None, None, None]
    assert visitors.signer.verified == 1


def test_a_refused_header_hides_no_other_one() -> None:
    visitors = Visitors()
    assert visitors.sid(forged()) is None
    assert visitors.sid(forged(), visitors.cookie("a")) == "a"
    assert visitors.sid(forged() + b"; " + visitors.cookie("a")) == "a"
    assert visitors.sid(forged()) is None


def test_a_header_without_our_cookie_takes_no_place_in_the_memory() -> None:
    visitors = Visitors()
    visitors.sid(forged())
    for number in range(1025):
        assert visitors.sid(b"theme=%d" % number) is None
    visitors.sid(forged())
    assert visitors.signer.verified == 1


def test_forged_headers_push_out_nothing_that_verified() -> None:
    visitors = Visitors()
    first = visitors.cookie("a")
    assert visitors.sid(first) == "a"
    for number in range(1025):
        assert visitors.sid(forged(number)) is None
    assert visitors.signer.verified == 1026
    assert visitors.sid(first) == "a"
    assert visitors.signer.verified == 1026


def test_the_memory_is_bounded_in_number() -> None:
    visitors = Visitors()
    for number in range(1025):  # one more than are kept
        assert visitors.sid(visitors.cookie(str(number))) == str(number)
        assert visitors.sid(forged(number)) is None
    assert visitors.sid(visitors.cookie("0")) == "0"
    assert visitors.sid(forged(0)) is None
    assert visitors.signer.verified == 2 * 1026


def test_the_memory_is_bounded_in_length() -> None:
    visitors = Visitors()
    padding = b"; padding=" + b"x" * 2048
    assert [visitors.sid(visitors.cookie("0") + padding) for _ in range(2)] == ["0", "0"]
    assert [visitors.sid(forged() + padding) for _ in range(2)] == [None, None]
    assert visitors.signer.verified == 4


def test_the_memory_shows_no_id() -> None:
    visitors = Visitors()
    visitors.sid(visitors.cookie("secret-id"))
    assert "secret-id" not in repr(visitors.incoming)
