"""Before-images: what a session value was, kept so that a change can be told by value.

A scalar is its own image. A container may be changed in place later on, so its image is an encoding of it (MessagePack,
the cheapest there is), in a 1-tuple that no session value can be confused with.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from types import NoneType
from typing import Any, Final

import msgspec

from asgi_session.json_text import REFUSALS, Unserializable, dumps, is_finite, is_plain, loads, pack

_decode = msgspec.msgpack.Decoder().decode


class _Absent:
    def __repr__(self) -> str:
        return "<absent>"


ABSENT: Final = _Absent()
"""The image of a key that is not there."""

SCALARS: Final = frozenset({str, int, float, bool, NoneType, _Absent})
"""Types whose values can't change in place, and that are their own image. Everything else is treated as a container."""

ALWAYS_JSON: Final = SCALARS - {float}
"""Those of them whose values JSON can hold, whatever they are."""

NEVER_THE_SAME: Final = math.nan
"""An image that shows no value at all."""


def image(value: object) -> object:
    """What to compare with later."""
    if value.__class__ in SCALARS:
        return value
    try:
        return (pack(value),)
    except REFUSALS:
        return _exact_image(value)


def shows(before: object, value: object) -> bool:
    """Whether an image is that of this value. Equal values may have other images: see `same`."""
    if value.__class__ in SCALARS:
        return before.__class__ is value.__class__ and before == value
    if before.__class__ is not tuple:
        return False
    encoded: object = before[0]
    try:
        return encoded == pack(value)
    except REFUSALS:
        return before == _exact_image(value)


def _exact_image(value: object) -> object:
    """The image of what MessagePack can't hold: large integers, lone surrogates, unknown types."""
    try:
        return (dumps(value),)
    except Unserializable:
        return NEVER_THE_SAME


def is_json(now: object, value: object) -> bool:
    """Whether the value behind an image is JSON that msgspec writes as the standard library does.

    An image alone does not tell: MessagePack has a set look like a list, and a date like its text.
    """
    if now.__class__ is tuple:
        encoded: Any = now[0]
        return encoded.__class__ is bytes and is_plain(value) and is_finite(encoded)
    return now.__class__ is not float or math.isfinite(now)


def shows_json(now: object, value: object) -> bool:
    """Whether the value behind the image of a container is JSON at all."""
    if is_json(now, value):
        return True
    try:
        dumps(value)
    except Unserializable:
        return False
    return True


def same(before: object, now: object) -> bool:
    """Whether two images show equal values, as `alike` has it."""
    if before.__class__ is now.__class__:
        if before == now:
            return True
        if before.__class__ is not tuple:
            return False
    if before is ABSENT or now is ABSENT:
        return False
    return alike(value_of(before), value_of(now))


def alike(one: object, other: object) -> bool:
    """Whether two values are equal: 1 is 1.0 and a dict's order does not matter, but True is not 1."""
    return one == other and _same_kinds(one, other)


def _same_kinds(one: Any, other: Any) -> bool:
    """Whether two equal values have their bools in the same places."""
    if isinstance(one, dict):
        return all(_same_kinds(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return all(map(_same_kinds, one, other))
    return isinstance(one, bool) is isinstance(other, bool)


def value_of(before: object) -> Any:
    """The value that an image shows; None for an absent one, `NEVER_THE_SAME` for one that JSON can't hold anyway."""
    if before is ABSENT:
        return None
    if not isinstance(before, tuple):
        return before
    encoded = before[0]
    try:
        return loads(encoded) if isinstance(encoded, str) else _decode(encoded)
    except (TypeError, msgspec.MsgspecError):  # a key that MessagePack can write and not read
        return NEVER_THE_SAME


def copied(value: Any) -> Any:
    """The value, in containers that nobody else has."""
    if value.__class__ in SCALARS:
        return value
    now = image(value)
    return value_of(now) if now.__class__ is tuple else value


def adopt(old: Any, new: Any, places: Counter[int]) -> Any:
    """The value `new`, in the containers of `old` where both have the same shape.

    Application code may still hold `old`; what it does to it next is then done to the session.

    Args:
        places: in how many places each container stands, by its id. One that stands in several can't hold two values.
    """
    if type(old) not in (dict, list) or type(old) is not type(new):
        return new
    if same(image(old), image(new)):
        return old
    if type(old) is list:
        items = [adopt(mine, theirs, places) for mine, theirs in zip(old, new, strict=False)] + new[len(old) :]
        if places[id(old)] != 1:
            return items
        old[:] = items
    else:
        members = {key: adopt(old[key], value, places) if key in old else value for key, value in new.items()}
        if places[id(old)] != 1:
            return members
        old.clear()
        old.update(members)
    return old


def places_in(values: Iterable[Any]) -> Counter[int]:
    """In how many places in these values each dict or list stands, by its id."""
    places: Counter[int] = Counter()
    left = list(values)
    while left:
        value = left.pop()
        if isinstance(value, dict | list):
            places[id(value)] += 1
            if places[id(value)] == 1:
                left += dict.values(value) if isinstance(value, dict) else value
    return places
