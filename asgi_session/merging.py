"""What a request did to its session, made a change to a newer state: somebody else wrote in between.

Merging goes key by key and three ways: what this request left alone is theirs, what it changed is its own, numbers that
were incremented and the flash queue are both. The handler's containers stay the ones that it holds.
"""

from __future__ import annotations

import math
from typing import Any

from asgi_session import flash_queue
from asgi_session.flash_notes import FlashNotes
from asgi_session.flash_queue import FLASH, NOTHING_DONE
from asgi_session.images import ABSENT, adopt, image, places_in, same, value_of
from asgi_session.journal import NO_KEYS, is_number


class Merging(FlashNotes):
    """A journal whose changes can be made to another state than the one that was loaded."""

    __slots__ = ()

    def _rebase(self, theirs: dict[str, Any]) -> None:
        """Make this request's changes changes to `theirs`, the state that is stored now."""
        changed, _ = self._look()
        changed |= dict.fromkeys(self._shared)
        if self._flash_log:  # somebody else may have done the same, and undone it since
            changed[FLASH] = ABSENT
        images = {key: image(theirs.get(key, ABSENT)) for key in self._before}
        merged = self._adopted({key: value for key, value in theirs.items() if key not in changed})
        mine: dict[str, Any] = {}
        for key in changed:
            if key == FLASH:
                value = flash_queue.merge(
                    value_of(self._before.get(key, ABSENT)), dict.get(self, key), theirs.get(key), self._flash_log
                )
                mine[key] = ABSENT if value is None else value
            else:
                counted = _sum(theirs.get(key, 0), self._increments[key]) if key in self._increments else None
                mine[key] = dict.get(self, key, ABSENT) if counted is None else counted
        result = {key: mine.get(key, merged.get(key)) for key in theirs} | mine
        new = [key for key in merged if not dict.__contains__(self, key)]
        dict.clear(self)
        dict.update(self, {key: value for key, value in result.items() if value is not ABSENT})
        self._before = {key: before for key, before in images.items() if key in changed or isinstance(before, tuple)}
        self._watch(new)
        left, _ = self._look()
        self._shared = {key for key in changed if key in images and key not in left and key != FLASH}

    def _adopted(self, theirs: dict[str, Any]) -> dict[str, Any]:
        """Values that this request did not change, in the containers that the handler was given.

        Only what was loaded is given other content. What the handler assigned under a key may be anybody's, a constant
        even.
        """
        places = places_in(dict.values(self))
        loaded: dict[str, Any] = {}
        adopted: dict[str, Any] = {}
        for key, value in theirs.items():
            old = dict.get(self, key)
            if self._is_as_loaded(key, old):
                adopted[key] = loaded[key] = adopt(old, value, places)
            elif same(image(old), image(value)):
                adopted[key] = old
            else:
                adopted[key] = loaded[key] = value
        self._loaded = {**dict(self._loaded), **loaded}
        return adopted

    def _adds_up(self) -> bool:
        """Whether something is noted that would count twice if it were done twice."""
        return bool(self._increments) or any(change.added for change in self._flash_done().values())

    def _rebase_on_own(self, theirs: dict[str, Any]) -> None:
        """What is stored turns out to be this request's own earlier write: only what was done since is a change."""
        increments = {}
        for key in self._increments:
            mine: Any = dict.get(self, key)
            stored: Any = theirs.get(key)
            increments[key] = mine - stored if is_number(mine) and is_number(stored) else 0
        self._increments = increments
        self._before = {key: image(theirs.get(key, ABSENT)) for key in self._before}
        self._shared = NO_KEYS
        self._flash_log = NOTHING_DONE


def _sum(number: object, added: float) -> float | None:
    """The sum, where it is a number that can be stored."""
    if not is_number(number):
        return None
    try:
        counted = number + added
    except OverflowError:  # an integer beyond all floats, and a float
        return None
    return None if isinstance(counted, float) and not math.isfinite(counted) else counted
