"""JSON as sessions are stored: what JSON.stringify would write, and what it may have written.

Non-finite numbers and types that JSON lacks are refused on the way out. On the way in, what JSON.parse would take is
taken; a number too large for a float becomes null, as JavaScript would store it next time.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

MAX_DEPTH = 256
"""Levels of nesting that are written. Deeper text might not be readable again on a deeper call stack."""

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class Unserializable(ValueError):
    """A value that JSON can't hold; the message says why, without the value."""


def dumps(value: object) -> str:
    """JSON text without blanks, non-ASCII characters as they are, lone surrogates escaped.

    Raises:
        Unserializable: for a set, a NaN, a reference to itself, more than `MAX_DEPTH` levels, ...
    """
    try:
        text = _encode(value)
    except TypeError as error:
        raise Unserializable(str(error)) from None  # names a type, never a value
    except ValueError as error:
        why = "refers to itself" if "ircular" in str(error) else "holds a number that is not finite"
        raise Unserializable(why) from None
    except RecursionError:
        raise Unserializable("is nested too deeply") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise Unserializable("is nested too deeply")
    return text if text.isascii() else _LONE_SURROGATE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def _depth(value: object) -> int:
    depth = 0
    level = [value]
    while level := [
        inner
        for outer in level
        if isinstance(outer, dict | list | tuple)
        for inner in (outer.values() if isinstance(outer, dict) else outer)
    ]:
        depth += 1
    return depth


def loads(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: where it is not JSON, or is nested too deeply to be read.
    """
    try:
        return _decoder.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except json.JSONDecodeError:
        raise
    except ValueError:  # an integer with more digits than Python reads
        return _lenient_decoder.decode(text)


def _no_constant(name: str) -> NoReturn:
    raise json.JSONDecodeError("not JSON", name, 0)


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _readable(digits: str) -> int | None:
    try:
        return int(digits)
    except ValueError:
        return None


_decoder = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)
_lenient_decoder = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite, parse_int=_readable)
