"""How each action that a commit may decide on is carried out in the store.

`usual_commit` has a short way for the commonest, and `claims` writes the flash queue alone.

An action works on a draft: what the handler noted so far is taken out of the session before the store is asked, and put
back if the store can't do it, so that changes made meanwhile belong to the next commit.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from asgi_session import payload
from asgi_session.cookie import Attributes
from asgi_session.decision import CREATED, DESTROYED, HELD_DATA, TOUCHED, StoreAction
from asgi_session.exceptions import SessionConflict, SessionError, StoreError
from asgi_session.log import report
from asgi_session.patience import Hold
from asgi_session.standing import Standing
from asgi_session.stores.base import Record, RenewedRecord, Utf8Record
from asgi_session.turns import TRIES, beaten_every_time

NEW_IDS = 5
"""How many ids are drawn for a new session before giving up."""


Outcome = Literal["done", "moot", "beaten"]
"""What came of an action in the store.

moot: not done, which changes nothing for anybody; but no cookie is sent for it. beaten: somebody else wrote first.
"""


class StoreActions:
    """What one commit of one session can do in the store.

    Args:
        standing: the session and its place in the store.
        hold: keeps cancellations back until the commit is done; None: nothing is expected to suspend.
        saving: the handler asked for it, so that nothing may be dropped in silence.
    """

    __slots__ = (
        "_age",
        "_attributes",
        "_changes",
        "_expires",
        "_hold",
        "_holds",
        "_images",
        "_saving",
        "_session",
        "_standing",
        "_store",
    )

    _attributes: Attributes | None
    """The cookie's, where the decision looked at them."""
    _age: float | None
    """Seconds of the full age; None: a browser session."""
    _expires: float | None
    """Unix time at which it ends, if it begins with this commit."""
    _changes: dict[str, object]
    _images: dict[str, object]
    _holds: int
    """`HELD_DATA` where there is anything in what is being written, else 0."""

    def __init__(self, standing: Standing, hold: Hold | None, saving: bool) -> None:
        assert standing.session is not None
        self._standing = standing
        self._session = standing.session
        self._store = standing.settings.calls if hold is None else standing.settings.calls_within(hold)
        self._hold = hold
        self._saving = saving

    def carry_out(self, action: StoreAction) -> Awaitable[Outcome]:
        """Do it. Raises as `Commit.run`."""
        return _CARRY_OUT[action](self)

    def _stored_id(self) -> str:
        """The id of the record that there is."""
        assert self._standing.sid is not None
        return self._standing.sid

    def _record(self) -> Utf8Record:
        """What to store, the full age beginning now."""
        session = self._session
        self._begin_life()
        attributes = self._attributes or self._standing.attributes()
        self._holds = HELD_DATA if dict.__len__(session) else 0
        return Utf8Record(payload.write(session, self._age, self._expires, attributes, self._changes), self._expires)

    def _begin_life(self) -> None:
        """Let the full age begin now, if what is written is written."""
        self._expires = None if self._age is None else time.time() + self._age

    async def _leave(self) -> Outcome:
        standing, session = self._standing, self._session
        if session._starts_afresh():  # what is written next is another session
            standing.over = False
        standing.over |= session._asked & DESTROYED != 0
        session._asked &= DESTROYED
        return "done"

    async def _replace(self) -> Outcome:
        standing, record = self._standing, self._record()
        sid, expected = standing.sid, standing.record
        assert sid is not None
        assert expected is not None
        session = self._session
        draft = session._start_over(self._changes, self._images)
        try:
            done = await self._store.replace(sid, record, expected=expected)
        except BaseException as error:
            in_doubt = isinstance(error, StoreError)
            session._undo_commit(draft, in_doubt=self._changes if in_doubt else None)
            if in_doubt:
                standing.in_doubt().note(record, adds=session._adds_up())
            raise
        if not done:
            session._undo_commit(draft)
            return "beaten"
        standing.written(sid, record, self._age, self._holds)
        return "done"

    async def _create(self) -> Outcome:
        record = self._record()
        draft = self._session._start_over(self._changes, self._images)
        try:
            sid = await self._store_new(record)
        except BaseException:
            self._session._undo_commit(draft)
            raise
        self._created(sid, record)
        return "done"

    async def _renew(self) -> Outcome:
        """Store the session under a new id, then delete the old record: a crash in between leaves one that is valid.

        A renewal that keeps the data deletes only what it knows, so that what others wrote meanwhile is not lost; and
        where the old record is gone, the new one goes too.
        """
        standing, session = self._standing, self._session
        record: Utf8Record = self._record()
        expected = None if session._starts_afresh() else standing.record
        if expected is not None:
            record = RenewedRecord(record.utf8, record.expires, expected)
        old = self._stored_id()
        draft = session._start_over(self._changes, self._images)
        done = False
        try:
            sid = await self._store_new(record)
            try:
                gone = await self._store.destroy(old, expected=expected)
                done = gone or expected is None
            finally:
                if not done:
                    await self._take_back(sid)
        finally:
            if not done:
                session._undo_commit(draft)
        if not done:
            return "beaten"
        if expected is None:
            standing.forget_record()
        else:
            standing.earlier_ids = (*standing.earlier_ids, old)
        self._created(sid, record)
        return "done"

    async def _store_new(self, record: Record) -> str:
        session = self._session
        for _ in range(NEW_IDS):
            sid = session._current_id()
            if await self._store.create(sid, record):
                return sid
            session._id = None
        raise SessionConflict("every id that was drawn for a new session is taken")

    async def _take_back(self, sid: str) -> None:
        """Delete the record that a failed renewal made, as far as the store lets us."""
        try:
            await self._store.destroy(sid)
        except StoreError as error:
            report(error)

    def _created(self, sid: str, record: Record) -> None:
        standing, session = self._standing, self._session
        standing.written(sid, record, self._age, self._holds)
        standing.known |= CREATED
        standing.over = False
        session._is_new = False

    async def _touch(self) -> Outcome:
        standing, cookie = self._standing, self._session._cookie
        self._session._asked &= ~TOUCHED  # one that is asked for meanwhile belongs to the next commit
        try:
            alive = await self._extend(self._stored_id())
        except (StoreError, SessionConflict) as error:
            return self._let_be(error)
        if not alive:
            standing.gone()
            return "moot"
        standing.expires = self._expires or time.time() + standing.settings.default_life
        if cookie is not None:
            cookie.keep_up(self._age, self._expires)
        return "done"

    async def _extend(self, sid: str) -> bool:
        """Let the full age begin anew in the store: that which the record has by then."""
        standing, seen = self._standing, self._standing.record
        self._begin_life()
        if not standing.settings.touch_compares:
            return await self._store.touch(sid, self._expires)
        touch: Callable[..., Awaitable[bool]] = self._store.touch
        for _ in range(TRIES):
            if await touch(sid, self._expires, expected=seen):
                return True
            seen = await self._store.get(sid)
            if seen is None:
                return False
            self._take_age(seen)
            self._begin_life()
        raise beaten_every_time()

    def _take_age(self, record: Record) -> None:
        """Go by the age of a record that somebody else wrote since."""
        self._standing.take_life(record)
        self._age = self._standing.age

    async def _confirm(self) -> Outcome:
        standing = self._standing
        try:
            record = await self._store.get(self._stored_id())
        except StoreError as error:
            if self._saving:
                raise
            return self._let_be(error)
        if record is None:
            standing.gone()
            return "moot"
        if standing.record is None or record.utf8 != standing.record.utf8:
            self._take_age(record)
        if standing.settings.rolling:
            self._begin_life()
        return "done"

    def _let_be(self, error: SessionError) -> Outcome:
        """An unchanged session whose life could not be extended harms nobody; but no cookie is sent for it."""
        report(error)
        return "moot"

    async def _discard(self) -> Outcome:
        """Delete a session that this request made empty; what comes next is a new one."""
        standing, session = self._standing, self._session
        draft = session._start_over(self._changes, self._images)
        done: bool = False
        try:
            done = await self._store.destroy(self._stored_id(), expected=standing.record)
        finally:
            if not done:
                session._undo_commit(draft)
        if not done:
            return "beaten"
        self._ended()
        return "done"

    async def _destroy(self) -> Outcome:
        standing = self._standing
        if not await self._store.destroy(self._stored_id()):
            standing.gone(dropped=True)
            return "moot"
        standing.over = self._session._asked & DESTROYED != 0
        self._ended()
        return "done"

    def _ended(self) -> None:
        self._standing.forget_record()
        self._session._start_as_new()
        if self._session._cookie is not None:
            self._session._cookie.take_life(*self._standing.life())


_CARRY_OUT: Mapping[StoreAction, Callable[[StoreActions], Awaitable[Outcome]]] = {
    "nothing": StoreActions._leave,
    "create": StoreActions._create,
    "renew": StoreActions._renew,
    "replace": StoreActions._replace,
    "touch": StoreActions._touch,
    "confirm": StoreActions._confirm,
    "discard": StoreActions._discard,
    "destroy": StoreActions._destroy,
}
"""How each action is carried out in the store."""
