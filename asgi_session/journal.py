"""What a request did to its session, noted so that a commit can write it, take it back, or do it to a newer state.

Two rules make changes visible without a flag and without comparing everything:

1. Before a key is written, and before a container is handed out that could be changed in place, a before-image of it is
   kept. What has no before-image has not changed; what has one is compared by value when it matters.
2. A method only notes what is wanted (a new id, the end, a longer life). The commit carries it out.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping, Set
from threading import Lock
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol, TypeGuard

from asgi_session.cookie import Cookie
from asgi_session.decision import DESTROYED, FORCED, KEEPS, RENEWED
from asgi_session.exceptions import SessionDestroyed, SessionError
from asgi_session.flash_queue import FLASH, NOTHING_DONE, Log, Queue
from asgi_session.images import (
    ABSENT,
    NEVER_THE_SAME,
    SCALARS,
    alike,
    image,
    same,
    shows,
    shows_json,
)
from asgi_session.payload import COOKIE
from asgi_session.session_cookie import SessionCookie


class Owner(Protocol):
    """Who commits a session: the request that it belongs to."""

    def new_id(self) -> str: ...
    def make_cookie(self) -> SessionCookie: ...
    async def save(self) -> None: ...
    async def reload(self) -> None: ...
    async def claim(self, category: str | None) -> Queue: ...


ONE_BY_ONE: Final = Lock()
"""For what several threads of one request may do at once, and takes more than one step."""

NO_KEYS: Set[str] = frozenset()
_NO_INCREMENTS: Mapping[str, float] = MappingProxyType({})

Look = tuple[dict[str, object], dict[str, object]]
"""What a look at a session found: the keys whose value changed, with the images of what they are now, and the images of
all containers that may change from here on."""


class Draft(NamedTuple):
    """What was noted when a commit began, which goes back into the session if the commit fails."""

    before: dict[str, object]
    shared: Set[str]
    increments: Mapping[str, float]
    flash_log: Log
    asked: int
    age_assigned: bool


class Journal(dict[str, Any]):
    """A session's data, and what was noted about it. `Session` adds what handlers see."""

    __slots__ = (
        "_asked",
        "_before",
        "_cookie",
        "_flash_log",
        "_id",
        "_increments",
        "_is_new",
        "_loaded",
        "_owner",
        "_shared",
        "accessed",
    )

    _loaded: Mapping[str, Any] | Iterable[tuple[str, Any]]
    """What the session was made of; of what came from the store, `ABSENT` stands for values that were written since."""
    _before: dict[str, object]
    """Images of values before they were written or handed out, by key: `ABSENT` where there was none, `NEVER_THE_SAME`
    where the key is to be written in any case. A key without one has not changed."""
    _asked: int
    """What was asked for and is not yet done, as facts of the decision."""
    _shared: Set[str]
    """Keys that somebody else changed in the same way: no change by now, but one again if that is undone."""
    accessed: bool
    """Whether anything of the session was looked at: the response then varies by cookie."""

    def __init__(
        self,
        data: Mapping[str, Any] | Iterable[tuple[str, Any]] = (),
        owner: Owner | None = None,
        sid: str | None = None,
    ) -> None:
        if data:
            if owner is None:  # made by hand, as in a test of a handler
                data = dict(data)
                for key in data:
                    check_key(key)
            dict.update(self, data)
        self._loaded = data
        self._owner = owner
        self._id = sid
        self._cookie: SessionCookie | None = None
        self._is_new = sid is None
        self._before = {}
        self._increments = _NO_INCREMENTS
        self._shared = NO_KEYS
        self._flash_log = NOTHING_DONE
        self._asked = 0
        self.accessed = False

    # For the commit

    def _starts_afresh(self) -> bool:
        """Whether `regenerate` was called, and is not to keep the data."""
        return _is_fresh_start(self._asked)

    def _parts_with_stored(self) -> bool:
        """Whether what is stored does not matter any more: the session ends here, or starts afresh."""
        return self._asked & DESTROYED != 0 or self._starts_afresh()

    def _current_id(self) -> str:
        if self._id is None:
            self._id = secrets.token_urlsafe(24) if self._owner is None else self._owner.new_id()
        return self._id

    def _current_cookie(self) -> SessionCookie:
        if self._cookie is None:
            self._cookie = SessionCookie(Cookie(), None, None) if self._owner is None else self._owner.make_cookie()
            self._cookie.over = self._asked & DESTROYED != 0
        return self._cookie

    def _age_assigned(self) -> bool:
        return self._cookie is not None and self._cookie.assigned

    def _is_dirty(self) -> bool:
        """Whether the handler did anything that a commit has to carry out."""
        if self._asked or (self._cookie is not None and self._cookie.assigned):
            return True
        for key, before in self._before.items():
            if not shows(before, dict.get(self, key, ABSENT)):
                return bool(self._look()[0])
        return bool(self._flash_log) and bool(self._look()[0])

    def _look(self) -> Look:
        """Which keys have another value than before.

        The flash queue counts as changed where a message went and its like came. So does a set that was assigned in the
        place of a list with the same items: it is to be refused. Inside of a value that was loaded, it changes nothing
        that is stored, and to look for it would make reading such values a third dearer.
        """
        if self._is_new and not self._loaded:
            return self._look_at_new()
        changes: dict[str, object] = {}
        images: dict[str, object] = {}
        for key, before in self._before.items():
            value = dict.get(self, key, ABSENT)
            if value.__class__ in SCALARS:
                if before.__class__ is value.__class__:
                    if value != before:
                        changes[key] = value
                elif before is ABSENT or not same(before, value):
                    changes[key] = value
            else:
                now = image(value)
                if (
                    before is ABSENT
                    or not same(before, now)
                    or not (self._is_as_loaded(key, value) or shows_json(now, value))
                ):
                    changes[key] = now
                if now.__class__ is tuple:
                    images[key] = now
        if self._flash_log and FLASH not in changes and any(c.taken and c.added for c in self._flash_log.values()):
            changes[FLASH] = self._before[FLASH]
        return changes, images

    def _is_as_loaded(self, key: str, value: object) -> bool:
        """Whether a value is the very one that was loaded, whatever became of it."""
        return isinstance(self._loaded, dict) and self._loaded.get(key) is value

    def _look_at_new(self) -> Look:
        """What a look finds where there was nothing: all that the session holds has changed."""
        changes: dict[str, object] = {}
        images: dict[str, object] = {}
        for key, value in dict.items(self):
            now = changes[key] = image(value)
            if now.__class__ is tuple:
                images[key] = now
        return changes, images

    def _start_over(self, changes: Iterable[str], images: dict[str, object]) -> Draft:
        """Take note of nothing as yet: what is changed from here on belongs to the next commit.

        Args:
            changes, images: as a look told just now.
        """
        age_assigned = False
        if self._cookie is not None:
            age_assigned, self._cookie.assigned = self._cookie.assigned, False
        draft = Draft(self._before, self._shared, self._increments, self._flash_log, self._asked, age_assigned)
        self._note_nothing(changes, images)
        self._asked &= DESTROYED
        return draft

    def _note_nothing(self, changes: Iterable[str], images: dict[str, object]) -> None:
        """Drop the notes on values: those that there are now count from here on.

        Args:
            changes, images: as a look told just now.
        """
        loaded = self._loaded
        if loaded.__class__ is dict:
            for key in changes:
                if key in loaded:  # the handler may have put containers of others into it
                    loaded[key] = ABSENT
        self._before = images
        self._shared = NO_KEYS
        self._increments = _NO_INCREMENTS
        self._flash_log = NOTHING_DONE

    def _undo_commit(self, draft: Draft, in_doubt: Iterable[str] | None = None) -> None:
        """Note again what a failed commit was to write.

        Args:
            draft: as `_start_over` gave it.
            in_doubt: the keys that may be stored in spite of it, and are to be written even if the handler takes back
                what it did to them; None: nothing is stored.
        """
        before, shared, increments, flash_log, asked, age_assigned = draft
        if self._parts_with_stored():  # meanwhile, so that nothing of it is wanted any more
            return
        for key, added in increments.items():
            if key in self._increments or key not in self._before:  # else it was assigned since
                self._count(key, added)
        self._before = {**self._before, **before}
        self._shared |= shared
        if not self._flash_log:
            self._flash_log = flash_log
        elif flash_log:  # two logs in a row: let the difference of the queues speak
            self._flash_log = NOTHING_DONE
        self._asked |= asked
        if _is_fresh_start(asked):  # and stays one, whatever was asked for since
            self._asked &= ~KEEPS
        if age_assigned:
            self._current_cookie().assigned = True
        if in_doubt is not None:
            self._doubt(in_doubt)

    def _doubt(self, keys: Iterable[str]) -> None:
        """Write these keys in any case: they may be stored although their writing failed."""
        self._asked |= FORCED
        self._before |= {key: NEVER_THE_SAME for key in keys if key != FLASH}

    def _reset(self, sid: str, data: dict[str, Any]) -> None:
        """Take the stored state; nothing is pending."""
        self._forget()
        dict.update(self, data)
        self._loaded = data
        self._id = sid
        self._cookie = None
        self._asked = 0
        self._is_new = False
        self._watch(data)

    def _start_as_new(self) -> None:
        """The record is deleted: what is written next needs another id."""
        self._id = None
        self._is_new = True
        self._asked &= DESTROYED

    def _forget(self) -> None:
        dict.clear(self)
        self._start_over({}, {})

    def _request(self) -> Owner:
        if self._owner is None:
            raise SessionError("this session belongs to no request, or its request is over")
        return self._owner

    def _refuse_if_destroyed(self) -> None:
        if self._asked & DESTROYED:
            raise SessionDestroyed("the session was destroyed by this request")

    def _hand_out_all(self) -> None:
        self.accessed = True
        self._watch(dict.keys(self))

    def _watch(self, keys: Iterable[str]) -> None:
        """Keep images of the containers under these keys: a view that was handed out earlier shows them, too."""
        for key in keys:
            value = dict.get(self, key)
            if value.__class__ not in SCALARS and key not in self._before:
                self._before[key] = image(value)

    def _admit(self, key: str) -> None:
        """Note a key that is to be written, and was not noted yet; whatever is wrong with it shows here."""
        check_key(key)
        if self._asked:
            self._refuse_if_destroyed()
        self.accessed = True
        self._before[key] = image(dict.get(self, key, ABSENT))

    def _admit_all(self, keys: Collection[str]) -> None:
        """Note several keys that are to be written; none unless all are right."""
        for key in keys:
            check_key(key)
        if self._asked:
            self._refuse_if_destroyed()
        for key in keys:
            if key not in self._before:
                self._before[key] = image(dict.get(self, key, ABSENT))

    def _count(self, key: str, added: float) -> None:
        """Note what was added to a number."""
        self._increments = {**self._increments, key: self._increments.get(key, 0) + added}

    def _assigned(self, key: str, value: object) -> None:
        """A key is being assigned; with the value that it has, that is no change."""
        if key in self._increments and not alike(dict.get(self, key), value):
            self._discount(key)

    def _discount(self, key: str) -> None:
        """A key was changed otherwise or is gone, so what was added to it before does not matter."""
        if key in self._increments:
            self._increments = {other: added for other, added in self._increments.items() if other != key}

    def _note(self, key: str) -> None:
        """Keep what a key is before it goes or changes. One that is not there is not noted: it was not admitted."""
        self.accessed = True
        if key not in self._before and dict.__contains__(self, key):
            self._before[key] = image(dict.__getitem__(self, key))


def _is_fresh_start(asked: int) -> bool:
    """Whether what was asked for is a new id without the data."""
    return asked & (RENEWED | KEEPS) == RENEWED


def check_key(key: object) -> None:
    """TypeError or ValueError for what can't be a session key."""
    if not isinstance(key, str):
        raise TypeError("session keys are str")
    if key == COOKIE:
        raise ValueError("the session key 'cookie' is reserved")


def is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
