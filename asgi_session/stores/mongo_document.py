"""How a session stands in MongoDB: as JSON text, or as a sub-document like connect-mongo's with `stringify: false`.

A sub-document can hold more kinds of value than JSON (dates, object ids, decimals, ...). It is read as the JSON text
that `JSON.stringify` makes of it under Node, and written so that a value which the new text leaves as it was keeps its
kind.
"""

from __future__ import annotations

import base64
import math
import re
import uuid
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import bson
from bson.binary import UUID_SUBTYPE, Binary
from bson.code import Code
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.errors import BSONError
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp

from asgi_session.exceptions import StoreError
from asgi_session.json_text import dumps, is_deeper, loads

# Documents stay the bytes that the server sent until somebody looks, so that a comparison on the server is with exactly
# what it holds. Dates are milliseconds: Python's own stop at the year 9999 and MongoDB's do not.
RAW = CodecOptions(document_class=RawBSONDocument, datetime_conversion=DatetimeConversion.DATETIME_MS)
PLAIN: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)

MAX_DEPTH = 150
"""Levels of nesting that a sub-document may have. A server takes 179 as it is set up, and promises 100."""

_COOKIE = ("originalMaxAge", "partitioned", "priority", "expires", "secure", "httpOnly", "domain", "path", "sameSite")
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)

_YEAR_1 = -62_135_596_800_000
_YEAR_9999 = 253_402_300_799_999
_LAST_JS_DATE = 8_640_000_000_000_000
_400_YEARS = 146_097 * 86_400_000
"""The calendar repeats itself after these milliseconds."""


def date(seconds: float) -> DatetimeMS:
    """A Unix time as a BSON date, held within the years that every driver can read; NaN is the distant past."""
    if math.isnan(seconds):
        return DatetimeMS(_YEAR_1)
    return DatetimeMS(round(min(max(seconds * 1000, _YEAR_1), _YEAR_9999)))


def payload(stored: Any) -> str:
    """The JSON text of what stands under `session`, whichever form it has."""
    if isinstance(stored, str):
        return stored
    if isinstance(stored, RawBSONDocument):
        stored = bson.decode(stored.raw, PLAIN)
    return dumps(_plain(stored))


def document(text: str, previous: Any = None) -> RawBSONDocument | str:
    """The sub-document for a payload; the text itself where it is no JSON object.

    Args:
        text: the payload.
        previous: what stands in its place now; values in it that read as they do in `text` are taken over as they are.

    Raises:
        StoreError: a sub-document can't hold it.
    """
    try:
        tree = loads(text)
    except ValueError:
        return text
    if not isinstance(tree, dict):
        return text
    if is_deeper(tree, text, MAX_DEPTH):
        raise _refusal()
    with suppress(ValueError, OverflowError, RecursionError, BSONError):  # no context of ours: they quote the session
        if isinstance(previous, RawBSONDocument):
            tree = _keep(bson.decode(previous.raw, PLAIN), tree)
        if isinstance(tree.get("cookie"), dict):
            tree["cookie"] = _cookie(tree["cookie"])
        return RawBSONDocument(_encoded(tree), RAW)
    raise _refusal()


def _encoded(tree: dict[str, Any]) -> bytes:
    try:
        return bson.encode(tree, codec_options=PLAIN)
    except OverflowError:  # an integer beyond 64 bits, which JavaScript has as a double
        return bson.encode(_with_doubles(tree), codec_options=PLAIN)


def _with_doubles(value: Any) -> Any:
    """The value with doubles for integers beyond 64 bits, where a double holds that number or JavaScript means one.

    Raises:
        OverflowError: where it does not.
    """
    if isinstance(value, dict):
        return {key: _with_doubles(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_with_doubles(member) for member in value]
    if type(value) is int and not -(2**63) <= value < 2**63:
        number = float(value)
        if int(number) != value and int(Decimal(repr(number))) != value:  # the latter is how JavaScript writes it
            raise OverflowError
        return number
    return value


def _refusal() -> StoreError:
    return StoreError(
        "a MongoDB document can't hold this session: it has a lone surrogate, an integer of more than 64 bits, "
        f"NUL in a key or more than {MAX_DEPTH} levels of nesting "
        "(with stringify=True the session is kept as text, which can)"
    )


def _cookie(cookie: dict[str, Any]) -> dict[str, Any]:
    """As connect-mongo writes it: every attribute in its order, null where unset, and the expiry a date."""
    whole = {name: cookie.get(name) for name in _COOKIE} | cookie
    expires = whole["expires"]
    if isinstance(expires, str) and _ISO.fullmatch(expires):
        with suppress(ValueError):  # a thirteenth month
            whole["expires"] = DatetimeMS(datetime.fromisoformat(expires))
    return whole


def _keep(old: Any, new: Any) -> Any:
    """`new`, a JSON value, with every part that equals `old` as JSON replaced by that part of `old`."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {key: _keep(old[key], value) if key in old else value for key, value in new.items()}
    if isinstance(old, list) and isinstance(new, list):
        return _keep_items(old, new)
    if isinstance(old, (dict, list)):
        return new
    return old if dumps(_plain(old)) == dumps(new) else new


def _keep_items(old: list[Any], new: list[Any]) -> list[Any]:
    """The list as it is now. Items that read alike belong together wherever they stand, the others in their order."""
    left: dict[str, deque[Any]] = {}
    for item in old:
        left.setdefault(dumps(_plain(item)), deque()).append(item)
    alike = [left[text].popleft() if left.get(text := dumps(item)) else _NONE for item in new]
    used = {id(item) for item in alike}
    others = iter([item for item in old if id(item) not in used])
    return [_keep(next(others, item), item) if kept is _NONE else kept for kept, item in zip(alike, new, strict=True)]


_NONE: Final = object()


def _plain(value: Any) -> Any:
    """A BSON value as the JSON value that Node makes of it.

    One deviation: a 64-bit integer stays that number where Node's driver shows its two halves.
    """
    match value:
        case None | bool() | str() if not isinstance(value, Code):
            return value
        case Mapping():
            return {key: _plain(member) for key, member in value.items()}
        case list():
            return [_plain(member) for member in value]
        case int():
            return int(value)
        case float():
            return _number(value)
        case DatetimeMS():
            return _iso(int(value))
        case ObjectId():
            return str(value)
        case Decimal128():
            return {"$numberDecimal": str(value)}
        case Binary() if value.subtype == UUID_SUBTYPE and len(value) == 16:
            return str(uuid.UUID(bytes=bytes(value)))
        case bytes():
            return base64.b64encode(value).decode()
        case Timestamp():
            return {"$timestamp": str(value.time << 32 | value.inc)}
        case Code():
            return {"code": str(value)} | ({} if value.scope is None else {"scope": _plain(value.scope)})
        case DBRef():
            return _plain(value.as_doc())
        case _:
            return {}  # regular expressions, the smallest and the largest key: objects without members


def _number(value: float) -> float | int | None:
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) < 1e21 else value


def _iso(ms: int) -> str | None:
    """A date as `toISOString` writes it: a year beyond four digits has six and a sign. None: no date to JavaScript."""
    if abs(ms) > _LAST_JS_DATE:
        return None
    cycles = 0 if _YEAR_1 <= ms <= _YEAR_9999 else (ms - _YEAR_1) // _400_YEARS
    seconds, fraction = divmod(ms - cycles * _400_YEARS - _YEAR_1, 1000)
    moment = datetime.fromtimestamp(seconds + _YEAR_1 // 1000, UTC)
    year = moment.year + 400 * cycles
    shown = f"{year:04}" if 0 <= year <= 9999 else f"{year:+07}"
    return f"{shown}-{moment:%m-%dT%H:%M:%S}.{fraction:03}Z"
