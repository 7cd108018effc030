"""Carrying out what was decided: the only place that writes sessions.

A commit works on a draft: what the handler noted so far is taken out of the session before the store is asked, and put
back if the store can't do it, so that changes made meanwhile belong to the next commit. Where somebody else wrote in
between, the newer state is loaded, this request's changes are made to it, and the decision is taken again.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from asgi_session import payload
from asgi_session.cookie import Attributes, header_age
from asgi_session.decision import (
    AGE_ASSIGNED,
    CHANGED,
    CREATED,
    DESTROYED,
    DUE,
    EMPTY,
    FORCED,
    HAS_AGE,
    HELD_DATA,
    NO_PLAN,
    OWED,
    RENEWED,
    STORED,
    TOUCHED,
    UNDELIVERABLE,
    Plan,
    StoreAction,
    decide,
)
from asgi_session.exceptions import SessionConflict, SessionError, StoreError
from asgi_session.journal import Look
from asgi_session.patience import Hold
from asgi_session.settings import logger
from asgi_session.standing import Standing, report
from asgi_session.stores.base import Record, RenewedRecord, Utf8Record
from asgi_session.turns import TRIES, Contest, beaten_every_time

NEW_IDS = 5
"""How many ids are drawn for a new session before giving up."""


Outcome = Literal["done", "moot", "beaten"]
"""What came of an action in the store.

moot: not done, which changes nothing for anybody; but no cookie is sent for it. beaten: somebody else wrote first.
"""


class Commit:
    """One commit of one session.

    Args:
        standing: the session and its place in the store.
        hold: keeps cancellations back until the commit is done; None where the store never suspends.
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

    async def run(self, look: Look | None = None) -> None:
        """Decide and carry out, until nobody else is faster.

        Args:
            look: what changed, where the caller has looked just now.

        Raises:
            StoreError: the store failed; the changes are pending again.
            SessionConflict: other writers kept being faster; likewise.
            SessionSerializationError: a value is not JSON; nothing was written.
            SessionError: `saving` a new session whose cookie can't reach the client.
        """
        plan = self._plan(look)
        if self._standing.settings.turns.busy and self._has_to_queue(plan):
            plan, outcome = await self._contend(lost=False)
        else:
            outcome = await _CARRY_OUT[plan.store](self)
            if outcome == "beaten":
                plan, outcome = await self._contend(lost=True)
        if plan.cookie != "nothing" and outcome == "done":
            self._standing.owed = plan.cookie
            self._standing.owed_age = self._header_age()
        if plan.undeliverable:  # it was said; what is not stored now never will be
            self._session._start_over(self._images)

    def _has_to_queue(self, plan: Plan) -> bool:
        """Whether others are at it and matter: a fresh start and an end never look back."""
        sid, turns = self._standing.sid, self._standing.settings.turns
        if sid is None or not turns.are_taken(sid):
            return False
        if plan.store == "renew":
            return not self._session._starts_afresh()
        return plan.store in ("replace", "discard")

    async def _contend(self, *, lost: bool) -> tuple[Plan, Outcome]:
        """Load what others wrote, decide again and carry that out, until nobody else is faster."""
        standing, hold = self._standing, self._hold or Hold()
        try:
            with Contest(standing.settings.turns, hold) as contest:
                while True:
                    if lost:
                        await contest.lost(self._stored_id())
                    else:
                        await contest.queue_for(self._stored_id())
                    await standing.refresh(hold)
                    plan = self._plan()
                    if plan.store in ("nothing", "touch", "confirm"):  # others have done the same
                        self._session._start_over(self._images)
                    outcome = await _CARRY_OUT[plan.store](self)
                    if outcome != "beaten":
                        return plan, outcome
                    lost = True
        finally:
            if self._hold is None:
                hold.release()

    def _plan(self, look: Look | None = None) -> Plan:
        standing, session = self._standing, self._session
        self._changes, self._images = look or session._look()
        if standing.over and not session._starts_afresh():
            if self._changes or session._age_assigned():
                if not standing.warned:
                    standing.warn_dropped()
                session._start_over(self._images)
            standing.warned = False
            return NO_PLAN
        facts = self._facts()
        plan = decide(facts)
        if plan.undeliverable:
            self._say_undeliverable()
        if self._saving and plan.store == "nothing" and facts & STORED:
            return Plan("confirm", plan.cookie)  # save() has to say where the session is gone
        return plan

    def _facts(self) -> int:
        """What the decision depends on."""
        standing, session, settings = self._standing, self._session, self._standing.settings
        facts = settings.facts | session._asked | standing.known
        cookie = session._cookie
        if cookie is not None:
            age = cookie.original_max_age
            if cookie.assigned:
                facts |= AGE_ASSIGNED | CHANGED
        else:
            age = standing.full_age()
        self._age = age
        self._attributes = self._expires = None
        if age is not None:
            facts |= HAS_AGE
        if self._changes:
            facts |= CHANGED
        if not dict.__len__(session):
            facts |= EMPTY
        if standing.headers_gone:
            return facts | UNDELIVERABLE
        if standing.owed == "send":
            facts |= OWED
        if not facts & STORED or facts & RENEWED:
            self._attributes = standing.attributes()
            if not standing.can_be_sent(self._attributes):
                facts |= UNDELIVERABLE
        elif not facts & (CHANGED | CREATED) and standing.is_due(age):
            facts |= DUE
        if settings.resave and facts & STORED and not standing.wrote:
            facts |= FORCED
        return facts

    def _say_undeliverable(self) -> None:
        if self._standing.headers_gone:
            if self._saving:
                raise SessionError("the response has started: a new session's cookie can't be sent any more")
            if dict.__len__(self._session) and not self._standing.refused:
                logger.error(
                    "A session first written after the response started was not stored: its cookie can't be sent."
                )
            return
        self._standing.settings.warn_insecure()
        if self._saving:
            raise SessionError("the session cookie is Secure and the connection is plain http")

    def _stored_id(self) -> str:
        """The id of the record that there is."""
        assert self._standing.sid is not None
        return self._standing.sid

    def _record(self) -> Utf8Record:
        """What to store, the full age beginning now."""
        session = self._session
        if self._age is not None:
            self._begin_life()
        attributes = self._attributes or self._standing.attributes()
        self._holds = HELD_DATA if dict.__len__(session) else 0
        return Utf8Record(payload.write(session, self._age, self._expires, attributes, self._changes), self._expires)

    def _begin_life(self) -> None:
        """Let the full age begin now, if what is written is written."""
        self._expires = None if self._age is None else time.time() + self._age

    def _header_age(self) -> tuple[int | None, float | None]:
        """Max-Age and expiry for a Set-Cookie header.

        With ``rolling`` alone a browser may keep the cookie longer than we, by ``touch_after`` at most, since the store
        is told no more often.
        """
        if self._age is None or self._expires is not None:
            return header_age(self._age, self._expires)
        _, expires = self._standing.life()
        return header_age(None if expires is None else expires - time.time(), expires)

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
        draft = session._start_over(self._images)
        try:
            done = await self._store.replace(sid, record, expected=expected)
        except BaseException as error:
            in_doubt = isinstance(error, StoreError)
            session._undo_commit(draft, in_doubt=self._changes if in_doubt else None)
            if in_doubt:
                standing.doubt(record, adds=session._adds_up())
            raise
        if not done:
            session._undo_commit(draft)
            return "beaten"
        standing.written(sid, record, self._age, self._holds)
        return "done"

    async def _create(self) -> Outcome:
        record = self._record()
        draft = self._session._start_over(self._images)
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
        draft = session._start_over(self._images)
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
        standing.earlier_ids = () if expected is None else (*standing.earlier_ids, old)
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
        draft = session._start_over(self._images)
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


_CARRY_OUT: Mapping[StoreAction, Callable[[Commit], Awaitable[Outcome]]] = {
    "nothing": Commit._leave,
    "create": Commit._create,
    "renew": Commit._renew,
    "replace": Commit._replace,
    "touch": Commit._touch,
    "confirm": Commit._confirm,
    "discard": Commit._discard,
    "destroy": Commit._destroy,
}
"""How each action is carried out in the store."""
