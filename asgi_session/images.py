"""Before-images: what a session value was, kept so that a change can be told by value.

A scalar is its own image. A container may be changed in place later on, so its image is its JSON text, in a 1-tuple
that no session value can be confused with.
"""

from __future__ import annotations

import math
from types import NoneType
from typing import Any, Final

from asgi_session.json_text import Unserializable, dumps, loads


class _Absent:
    def __repr__(self) -> str:
        return "<absent>"


ABSENT: Final = _Absent()
"""The image of a key that is not there."""

SCALARS: Final = frozenset({str, int, float, bool, NoneType})
"""Types whose values can't change in place. Everything else is treated as a container."""

_NEVER_THE_SAME: Final = math.nan


def image(value: object) -> object:
    """What to compare with later."""
    if value is ABSENT or value.__class__ in SCALARS:
        return value
    try:
        return (dumps(value),)
    except Unserializable:
        return _NEVER_THE_SAME


def same(before: object, now: object) -> bool:
    """Whether two images show the same value: of the same type too, so that True is not 1."""
    return before.__class__ is now.__class__ and before == now


def value_of(before: object) -> Any:
    """The value that an image shows; None for an absent one."""
    if before is ABSENT:
        return None
    return loads(before[0]) if isinstance(before, tuple) else before


def adopt(old: Any, new: Any) -> Any:
    """The value `new`, in the containers of `old` where both have the same shape.

    Application code may still hold `old`; what it does to it next is then done to the session.
    """
    if type(old) is dict and type(new) is dict:
        merged = {key: adopt(old[key], value) if key in old else value for key, value in new.items()}
        old.clear()
        old.update(merged)
        return old
    if type(old) is list and type(new) is list:
        old[:] = [adopt(mine, theirs) for mine, theirs in zip(old, new, strict=False)] + new[len(old) :]
        return old
    return new
