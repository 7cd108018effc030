"""The text that a store keeps for a session: Express's JSON, the member `cookie` first, then one for each key."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from asgi_session.cookie import MAX_AGE, Attributes, Cookie
from asgi_session.exceptions import SessionSerializationError
from asgi_session.images import ALWAYS_JSON, is_json
from asgi_session.json_text import Unserializable, dump, loads

COOKIE = "cookie"
"""The one session key that is not the application's."""

_NUMBERS = (int, float)
_YEAR_OF_SIX_DIGITS = re.compile(r"[+-]\d{6}(?=-)", re.ASCII)
_FRONT = f'{{"{COOKIE}":'.encode()


def read(payload: str | bytes) -> tuple[dict[str, Any], object] | None:
    """Take a payload apart: the session's data, and the member `cookie` as it was found (None where there is none).

    None where it is no JSON object or is nested too deeply.
    """
    try:
        data = loads(payload)
    except ValueError:
        return None
    return (data, data.pop(COOKIE, None)) if isinstance(data, dict) else None


def write(
    data: dict[str, Any],
    age: float | None,
    expires: float | None,
    attributes: Attributes,
    changes: Mapping[str, object] | None = None,
) -> bytes:
    """Put a payload together.

    Args:
        data: the session's keys and values.
        age: seconds of the full age; None for a browser session.
        expires: Unix time at which it ends; None likewise.
        attributes: the cookie's other settings, stored for Express's sake.
        changes: the keys whose values may not be JSON, since they did not come from a payload, and the images of what
            they are now; None: all.

    Raises:
        SessionSerializationError: a value that JSON can't hold; names its key.
    """
    plain = shallow = changes is not None
    for key, now in (changes or {}).items():
        if now.__class__ not in ALWAYS_JSON:
            shallow = False
            plain = plain and is_json(now, dict.get(data, key))
    try:
        members = dump(data, plain=plain, shallow=shallow)
    except Unserializable:
        raise _with_key(data) from None
    if age is None or expires is None:
        cookie = attributes.stored_browser_session
    else:
        front, back = attributes.stored_front, attributes.stored_back
        cookie = b'{"originalMaxAge":%d%b,"expires":"%b"%b}' % (round(age * 1000), front, _iso(expires), back)
    return b"".join((_FRONT, cookie, b"," if dict.__len__(data) else b"", members[1:]))


def _with_key(data: dict[str, Any]) -> SessionSerializationError:
    """The error that names the key whose value JSON can't hold."""
    for key, value in dict.items(data):
        try:
            dump({key: value})
        except Unserializable as error:
            return SessionSerializationError(f"session key {key!r}: {error}")
    return SessionSerializationError("the session is nested too deeply")


def rewrite(data: Mapping[str, Any], cookie: object) -> bytes:
    """A payload with other data and the cookie as it was found."""
    front = {} if cookie is None else {COOKIE: cookie}
    return dump({**front, **data})


def stored_age(cookie: object, template: Cookie) -> float | None:
    """The full age in seconds that a stored cookie stands for; None for a browser session.

    Express stores `originalMaxAge` (ms) and `expires` as null, as false or not at all where there is no age. Without
    the one that says when it ends it is a browser session, without the other the template's age counts, and so it does
    for no cookie or nonsense.
    """
    if not isinstance(cookie, dict):
        return template.first_age()
    expires = cookie.get("expires")
    if expires is None or not _is_date(expires):
        return None
    age = cookie.get("originalMaxAge")
    if age.__class__ in _NUMBERS and 0 < age < math.inf:
        age = min(age, MAX_AGE * 1000)
        return age // 1000 if age % 1000 == 0 else age / 1000
    return template.first_age()


def _is_date(text: object) -> bool:
    """Whether it is a date. JavaScript writes a year beyond four digits with six and a sign."""
    if not isinstance(text, str):
        return False
    if (year := _YEAR_OF_SIX_DIGITS.match(text)) is not None:  # the calendar repeats itself after 400 years
        text = f"{2000 + int(year[0]) % 400}{text[year.end() :]}"
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _iso(moment: float) -> bytes:
    """A moment as JavaScript writes it, to the millisecond that has begun."""
    second = int(moment)
    microseconds = round((moment - second) * 1_000_000)
    if microseconds == 1_000_000:
        second, microseconds = second + 1, 0
    return b"%b.%03dZ" % (_iso_second(second), microseconds // 1000)


@lru_cache(maxsize=64)
def _iso_second(second: int) -> bytes:
    return datetime.fromtimestamp(second, UTC).isoformat()[:19].encode()
