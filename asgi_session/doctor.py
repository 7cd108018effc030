"""What of a stored session would not survive a round trip between Express and this package. Nothing is written.

Findings name session keys, never values or ids. `python -m asgi_session doctor` is the command line for it.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from decimal import Decimal
from typing import Any, NamedTuple

from asgi_session import payload
from asgi_session.cookie import Cookie
from asgi_session.deadlines import Deadlines
from asgi_session.exceptions import StoreError
from asgi_session.flash_queue import FLASH
from asgi_session.json_text import loads
from asgi_session.patience import PatientStore, store_error
from asgi_session.stores.base import Record, Store

PATIENCE = 30.0
"""Seconds that reading one record may take."""

_MOST_AT_A_TIME = 16 * 2**20 - 16_384
"""Bytes of one statement to MongoDB, less what stands around the payloads."""

_OBJECT_MEMBERS = frozenset(
    {
        *("constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString", "toString"),
        *("valueOf", "__proto__", "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__"),
    }
)
SESSION_MEMBERS = _OBJECT_MEMBERS | {"destroy", "id", "regenerate", "reload", "req", "resetMaxAge", "save", "touch"}
"""Names that a JavaScript object and Express's session have of their own; stored keys of these names are dropped."""


class Finding(NamedTuple):
    """One thing that would not survive."""

    kind: str
    key: str = ""
    """The session key, where it is about one."""


class Report:
    """What was read, and what was found in it."""

    def __init__(self) -> None:
        self.read = 0
        self.harmed = 0
        """How many of them something was found in."""
        self.missed = 0
        """How many were listed, and had ended when they were read."""
        self.kinds: dict[str, Counter[str]] = {}
        """For each kind of finding, in how many records it is about which key."""

    def add(self, findings: set[Finding]) -> None:
        """Count one record."""
        self.read += 1
        self.harmed += bool(findings)
        for finding in sorted(findings):
            self.kinds.setdefault(finding.kind, Counter())[finding.key] += 1


async def look_through(store: Store, sample: int, *examiners: Callable[[Record], Iterable[Finding]]) -> Report:
    """Read at most `sample` live records of a store and have each examined.

    Raises:
        StoreError: the store can't be read at all. A single record that can't be read is a finding.
    """
    report = Report()
    patient = PatientStore(store, Deadlines(PATIENCE))
    missing: set[str] = set()
    async with aclosing(_ids(store)) as ids:
        async for sid in ids:
            if report.read + len(missing) >= sample:
                break
            try:
                record = await patient.get(sid)
            except StoreError:
                report.add({Finding("can't be read: the store fails on it")})
                continue
            if record is None:
                missing.add(sid)
            else:
                report.add({finding for examiner in examiners for finding in examiner(record)})
    if missing:
        async with aclosing(_ids(store)) as ids:
            async for sid in ids:
                if sid in missing:  # still, so that it is there and can't be read
                    missing.remove(sid)
                    report.add(
                        {Finding("is no UTF-8, or a document that can't be decoded: its visitor starts anew here")}
                    )
    report.missed = len(missing)
    return report


async def _ids(store: Store) -> AsyncGenerator[str, None]:
    """The ids that a store lists. What it holds for that is let go when this is closed, and not some time later."""
    ids = store.ids()
    try:
        async for sid in ids:
            yield sid
    except StoreError:
        raise
    except Exception as error:
        raise store_error(error) from error
    finally:
        if isinstance(ids, AsyncGenerator):  # a store may give any iterator
            await ids.aclose()


def examine(text: str) -> Iterator[Finding]:
    """What would become of a payload, whatever store it is in."""
    stored = payload.read(text)
    if stored is None:
        yield Finding("no JSON object, or nested too deeply to be read: its visitor starts anew here")
        return
    ours = loads(payload.rewrite(*stored))
    exact = json.loads(text, parse_int=_exactly)
    yield from _of_cookie(exact)
    yield from _of_flash(exact.get(FLASH))
    for key, value in exact.items():
        if key == payload.COOKIE:
            continue
        if key in SESSION_MEMBERS:
            yield Finding("Express drops the key when it loads the session", key)
        if _mentions_proto(value):
            yield Finding("holds a key __proto__, which gets lost where JavaScript copies the object", key)
        if ours.get(key) != value:
            yield Finding("holds a number too large to be read, which becomes null on both sides", key)
            continue
        changed = {theirs for number in _integers(value) if (theirs := _in_javascript(number)) != number}
        if None in changed:
            yield Finding("holds an integer too large for JavaScript, which becomes null there", key)
        if changed - {None}:
            yield Finding("holds an integer beyond 2**53, which Express rounds", key)


def examine_for_connect_mongo(text: str) -> Iterator[Finding]:
    """What connect-mongo would do to a payload besides."""
    stored = payload.read(text)
    if stored is not None and "lastModified" in stored[0]:
        yield Finding("connect-mongo with touchAfter removes the key", "lastModified")


def examine_for_update(text: str) -> Iterator[Finding]:
    """Whether `MongoStore` could change a payload: a write sends the old text and the new one together."""
    if 2 * len(text.encode("utf-8", "surrogatepass")) > _MOST_AT_A_TIME:
        yield Finding("is too large for MongoStore to change (about 8 MB)")


def examine_for_document(text: str) -> Iterator[Finding]:
    """Whether a payload could be written as a MongoDB document (``stringify=False``)."""
    from asgi_session.stores.mongo_document import document

    try:
        document(text)
    except StoreError:
        yield Finding(
            "a MongoDB document can't hold it (a lone surrogate, more than 64 bits, NUL in a key, nested too deeply)"
        )


def examine_form(record: Record, *, stringify: bool) -> Iterator[Finding]:
    """Whether connect-mongo could read a record in MongoDB: only the form that its ``stringify`` writes."""
    from asgi_session.stores.mongo import is_text

    if is_text(record) is not stringify:
        kept, option = ("a sub-document", "stringify") if stringify else ("text", "no-stringify")
        yield Finding(f"is kept as {kept}, which connect-mongo can't read with the option given here (--{option})")


def _exactly(digits: str) -> int | Decimal:
    """An integer with every digit. Python refuses very long ones as an int."""
    return int(digits) if len(digits) < 4000 else Decimal(digits)


def _integers(value: Any) -> Iterator[int | Decimal]:
    """All integers in a value."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _integers(inner)
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        yield value


def _in_javascript(integer: int | Decimal) -> float | None:
    """What is read of an integer after JavaScript has read and written it."""
    try:
        number = float(integer)
    except OverflowError:
        return None
    if not math.isfinite(number):
        return None
    # Up to here JavaScript writes digits, and zeros after as many as tell the number from others.
    return int(Decimal(repr(number))) if abs(number) < 1e21 else number


def _mentions_proto(value: Any) -> bool:
    if isinstance(value, dict):
        return "__proto__" in value or any(map(_mentions_proto, value.values()))
    return isinstance(value, list) and any(map(_mentions_proto, value))


def _of_cookie(session: dict[str, Any]) -> Iterator[Finding]:
    if payload.COOKIE not in session:
        yield Finding("no cookie: Express answers with an error; here the template's age counts")
        return
    cookie = session[payload.COOKIE]
    if not isinstance(cookie, dict):
        yield Finding("the cookie is no object: here the template's age counts")
        return
    expires, age = cookie.get("expires"), cookie.get("originalMaxAge")
    dated, aged = _is_date(expires), _is_age(age)
    if not dated and not _is_unset(expires):
        yield Finding("the cookie's expires is no date: a browser session here")
    elif not aged and not _is_unset(age):
        yield Finding("the cookie's originalMaxAge is no age in milliseconds: here the template's age counts")
    elif dated and not aged:
        yield Finding("the cookie has expires but no originalMaxAge: here the template's age counts")
    elif aged and not dated:
        yield Finding("the cookie has originalMaxAge but no expires: a browser session here")


def _is_unset(value: object) -> bool:
    return value is None or value is False


def _is_date(expires: object) -> bool:
    """Whether reading sessions takes it for a date."""
    return payload.stored_age({"originalMaxAge": 1000, "expires": expires}, Cookie()) is not None


def _is_age(age: object) -> bool:
    """Whether reading sessions takes it for an age."""
    return payload.stored_age({"originalMaxAge": age, "expires": "2030-01-01T00:00:00.000Z"}, Cookie()) is not None


def _of_flash(value: object) -> Iterator[Finding]:
    if value is None:
        return
    if not isinstance(value, dict) or not all(isinstance(messages, list) for messages in value.values()):
        yield Finding("is no queue of flash messages: here what is none counts as empty", FLASH)
    if isinstance(value, dict) and not _OBJECT_MEMBERS.isdisjoint(value):
        yield Finding("has a category that connect-flash stumbles over", FLASH)
