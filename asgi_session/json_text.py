"""JSON as sessions are stored: what JSON.stringify would write, and what it may have written.

msgspec does the work, for its speed, and the standard library has the last word. msgspec also writes what JSON can't
hold (a set as a list, NaN as null), so its text is taken only if the value equals what msgspec makes of it in Python's
own types and holds no NaN; and what it can't read (a lone surrogate, a number beyond a float) is read by the standard
library.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

import msgspec

MAX_DEPTH = 256
"""Levels of nesting that are written and read. Deeper text might not be readable again on a deeper call stack."""

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_SHALLOW = 2 * MAX_DEPTH  # characters of text that can't hold more levels
_NOT_MARKS = bytes(set(range(256)) - set(b'[]{}"'))

REFUSALS = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)
"""What msgspec raises for a value that it can't encode."""

_fast_encode = msgspec.json.Encoder().encode
_fast_decode = msgspec.json.Decoder().decode
_to_builtins = msgspec.to_builtins
_exact_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

pack = msgspec.msgpack.Encoder().encode
"""MessagePack: faster to make than JSON, and NaN can be told from null in it. Raises some of `REFUSALS`."""

_NOT_FINITE = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")  # how such a float begins in MessagePack


class Unserializable(ValueError):
    """A value that JSON can't hold; the message says why, without the value."""


def dumps(value: object) -> str:
    """JSON text without blanks, non-ASCII characters as they are, lone surrogates escaped. Raises as `dump`."""
    return dump(value).decode("utf-8")


def dump(value: object, *, plain: bool = False, shallow: bool = False) -> bytes:
    """JSON in UTF-8, without blanks, lone surrogates escaped.

    Args:
        value: what to write.
        plain: it is known to be plain and finite.
        shallow: it is known to have no more than `MAX_DEPTH` levels.

    Raises:
        Unserializable: for a set, a NaN, a reference to itself, more than `MAX_DEPTH` levels, ...
    """
    try:
        encoded = _fast_encode(value)
        faithful = plain or (is_plain(value) and is_finite(pack(value)))
    except REFUSALS:  # a lone surrogate, ...
        faithful = False
    if not faithful:
        encoded = _exactly(value)
    if not shallow and len(encoded) > _SHALLOW and is_deeper(value, encoded, MAX_DEPTH):
        raise Unserializable("is nested too deeply")
    return encoded


def is_plain(value: object) -> bool:
    """Whether a value is made of what JSON has: no sets, no dates, no keys that are not str. Numbers may be NaN."""
    try:
        plain = _to_builtins(value, str_keys=True)
        # A subclass of dict is compared as the dict that it is, whatever it makes of its methods.
        return dict.__eq__(plain, value) is True if isinstance(value, dict) else bool(plain == value)
    except REFUSALS:
        return False


def is_finite(packed: bytes) -> bool:
    """Whether no number in a value is infinite or NaN, told from its MessagePack; in doubt not."""
    return _NOT_FINITE.search(packed) is None


def _exactly(value: object) -> bytes:
    if isinstance(value, dict):
        value = dict(dict.items(value))  # whatever a subclass makes of its methods
    try:
        text = _exact_encode(value)
    except TypeError as error:
        raise Unserializable(str(error)) from None  # names a type, never a value
    except ValueError as error:
        raise Unserializable(_why(str(error))) from None
    except RecursionError:
        raise Unserializable("is nested too deeply") from None
    return _LONE_SURROGATE.sub(_escaped, text).encode("utf-8")


def _why(error: str) -> str:
    if "ircular" in error:
        return "refers to itself"
    return "holds an integer of too many digits" if "digits" in error else "holds a number that is not finite"


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def is_deeper(value: object, text: str | bytes, levels: int) -> bool:
    """Whether a value has more levels of nesting than that: counted only where its text does not tell.

    Args:
        value: what was written or read.
        text: its JSON.
        levels: how many it may have.
    """
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogatepass")
    marks = text.translate(None, _NOT_MARKS)
    brackets = marks.translate(None, b'"')
    if len(brackets) <= 2 * levels:
        return False
    if _are_structure(brackets, marks, text):
        for peeled in range(2, levels, 2):  # a round takes two levels away at most
            rest = brackets.replace(b"[]", b"").replace(b"{}", b"")
            if len(rest) <= 2 * (levels - peeled):
                return False
            if len(rest) > len(brackets) * 7 // 8:  # deep throughout: so many rounds would take long
                break
            brackets = rest
    return _has_more_levels(value, levels)


def _are_structure(brackets: bytes, marks: bytes, text: bytes) -> bool:
    """Whether no string holds any of a text's brackets; in doubt not. `marks` are its brackets and quotes."""
    quotes = len(marks) - len(brackets)  # a string without brackets leaves two that stand together
    return 2 * marks.count(b'""') == quotes and (b"\\" not in text or b'\\"' not in text)


def _has_more_levels(value: object, levels: int) -> bool:
    level = [value]
    for _ in range(levels):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list | tuple)
            for inner in (dict.values(outer) if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return any(isinstance(inner, dict | list | tuple) for inner in level)


def loads(text: str | bytes) -> Any:
    """The value of a JSON text. A number too large for a float is None, as JavaScript would store it next time.

    Raises:
        ValueError: where it is not JSON, or is nested too deeply to be read.
    """
    try:
        value = _fast_decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except (ValueError, msgspec.MsgspecError):
        value = _exactly_read(text)
    if len(text) > _SHALLOW and is_deeper(value, text, MAX_DEPTH):
        raise ValueError("nested too deeply")
    return value


def _exactly_read(text: str | bytes) -> Any:
    try:
        return _exact_decode(text if isinstance(text, str) else text.decode("utf-8", "surrogatepass"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _no_constant(name: str) -> NoReturn:
    raise json.JSONDecodeError("not JSON", name, 0)


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _readable(digits: str) -> int | None:
    try:
        return int(digits)
    except ValueError:  # more digits than Python reads
        return None


_exact_decode = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite, parse_int=_readable).decode
