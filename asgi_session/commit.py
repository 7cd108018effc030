"""Carrying out what was decided: the only place that writes sessions.

A commit works on a draft: what the handler noted so far is taken out of the session before the store is asked, and put
back if the store can't do it, so that changes made meanwhile belong to the next commit. Where somebody else wrote in
between, the newer state is loaded, this request's changes are made to it, and the decision is taken again.
"""

from __future__ import annotations

import time

from asgi_session import payload
from asgi_session.decision import NO_PLAN, CookieAction, Plan, StoreAction, decide
from asgi_session.exceptions import SessionConflict, SessionError, StoreError
from asgi_session.patience import Hold
from asgi_session.settings import logger
from asgi_session.standing import Standing, report
from asgi_session.stores.base import Record
from asgi_session.turns import Contest

NEW_IDS = 5
"""How many ids are drawn for a new session before giving up."""


class Commit:
    """One commit of one session.

    Args:
        standing: the session and its place in the store.
        presented: the request's cookie named a session, stored or not.
        outdated: that cookie was signed by an old secret.
        saving: the handler asked for it, so that nothing may be dropped in silence.
    """

    __slots__ = ("_changes", "_hold", "_outdated", "_presented", "_saving", "_session", "_standing", "_store")

    def __init__(self, standing: Standing, hold: Hold, *, presented: bool, outdated: bool, saving: bool) -> None:
        self._standing = standing
        self._session = standing.loaded
        self._store = standing.settings.store
        self._hold = hold
        self._presented = presented
        self._outdated = outdated
        self._saving = saving
        self._changes: dict[str, object] = {}

    async def run(self) -> None:
        """Decide and carry out, until nobody else is faster.

        Raises:
            StoreError: the store failed; the changes are pending again.
            SessionConflict: other writers kept being faster; likewise.
            SessionSerializationError: a value is not JSON; nothing was written.
            SessionError: `saving` a new session whose cookie can't reach the client.
        """
        standing, turns = self._standing, self._standing.settings.turns
        plan = self._plan()
        lost = not (self._depends_on_others(plan) and standing.sid is not None and turns.are_taken(standing.sid))
        if lost and await self._carry_out(plan):
            return
        with Contest(turns, self._hold) as contest:
            while True:
                assert standing.sid is not None
                if lost:
                    await contest.lost(standing.sid)
                else:
                    await contest.queue_for(standing.sid)
                await standing.refresh(self._hold)
                if await self._carry_out(self._plan()):
                    return
                lost = True

    def _depends_on_others(self, plan: Plan) -> bool:
        """Whether what others wrote since matters: a fresh start and an end never look back."""
        if plan.store is StoreAction.RENEW:
            return self._session._renewal == "keep"
        return plan.store in (StoreAction.REPLACE, StoreAction.DISCARD)

    def _plan(self) -> Plan:
        standing, session, settings = self._standing, self._session, self._standing.settings
        if standing.over and session._renewal != "fresh":
            return NO_PLAN
        cookie = session._current_cookie()
        age = cookie.original_max_age
        stored = standing.sid is not None
        renewed = session._renewal is not None
        in_time = not standing.headers_gone
        self._changes = session._changes(thorough=True) if session._before else {}
        changed = cookie.assigned or bool(self._changes)
        plan = decide(
            stored=stored,
            presented=self._presented,
            destroyed=session._destroyed,
            renewed=renewed,
            keeps=session._renewal == "keep",
            empty=not dict.__len__(session),
            held_data=standing.held_data,
            changed=changed,
            forced=session._forced or (settings.resave and stored and in_time and not standing.wrote),
            touched=session._touched,
            due=stored and in_time and not (changed or standing.created) and standing.is_due(age),
            has_age=age is not None,
            age_assigned=cookie.assigned,
            outdated=self._outdated and in_time,
            owed=standing.owed is CookieAction.SEND and in_time,
            created=standing.created,
            rolling=settings.rolling and in_time,
            save_uninitialized=settings.save_uninitialized,
            deliverable=in_time and ((stored and not renewed) or standing.can_send_cookie()),
        )
        if plan.undeliverable:
            self._say_undeliverable()
        if self._saving and plan.store is StoreAction.NOTHING and stored and not standing.wrote:
            return Plan(StoreAction.CONFIRM, plan.cookie)  # save() has to say where the session is gone
        return plan

    def _say_undeliverable(self) -> None:
        if self._standing.headers_gone:
            if self._saving:
                raise SessionError("the response has started: a new session's cookie can't be sent any more")
            logger.error("A session first written after the response started was not stored: its cookie can't be sent.")
            return
        self._standing.settings.warn_insecure()
        if self._saving:
            raise SessionError("the session cookie is Secure and the connection is plain http")

    async def _carry_out(self, plan: Plan) -> bool:
        """Do what was decided; False where somebody else wrote first."""
        done = True
        owes = True
        match plan.store:
            case StoreAction.NOTHING:
                self._standing.over |= plan.cookie is CookieAction.DELETE
            case StoreAction.REPLACE:
                done = await self._replace()
            case StoreAction.TOUCH:
                owes = await self._touch()
            case StoreAction.CONFIRM:
                owes = await self._confirm()
            case StoreAction.CREATE:
                await self._create()
            case StoreAction.RENEW:
                done = await self._renew()
            case StoreAction.DISCARD:
                done = await self._discard()
            case StoreAction.DESTROY:
                owes = await self._destroy()
        if done and owes and plan.cookie is not CookieAction.NOTHING:
            self._standing.owed = plan.cookie
            cookie = self._session._current_cookie()
            self._standing.owed_age = cookie.header_age(), cookie.expires_at
        if plan.undeliverable:  # it was said; what is not stored now never will be
            self._session._renewal = None
            self._session._begin_commit(self._changes)
        return done

    def _record(self) -> Record:
        """What to store, the full age beginning now."""
        cookie = self._session._current_cookie()
        cookie.start_anew()
        session, expires = self._session, cookie.expires_at
        text = payload.write(
            session, cookie.original_max_age, expires, self._standing.attributes(), suspects=session._before
        )
        return Record(text, expires)

    async def _replace(self) -> bool:
        standing, record = self._standing, self._record()
        assert standing.sid is not None
        draft = self._session._begin_commit(self._changes)
        done: bool = False
        try:
            done = await standing.call(
                self._store.replace, standing.sid, record, expected=standing.record, hold=self._hold
            )
        except StoreError:
            standing.unsure = record.payload
            raise
        finally:
            if not done:
                self._session._undo_commit(draft)
        if done:
            standing.written(standing.sid, record.payload, record.expires)
        return done

    async def _create(self) -> None:
        record = self._record()
        draft = self._session._begin_commit(self._changes)
        try:
            sid = await self._store_new(record)
        except BaseException:
            self._session._undo_commit(draft)
            raise
        self._created(sid, record)

    async def _renew(self) -> bool:
        """Store the session under a new id, then delete the old record: a crash in between leaves one that is valid.

        A renewal that keeps the data deletes only what it knows, so that what others wrote meanwhile is not lost; and
        where the old record is gone, the new one goes too.
        """
        standing, session, record = self._standing, self._session, self._record()
        expected = standing.record if session._renewal == "keep" else None
        draft = session._begin_commit(self._changes)
        done = False
        try:
            sid = await self._store_new(record)
            try:
                gone = await standing.call(self._store.destroy, standing.sid, expected=expected, hold=self._hold)
                done = gone or expected is None
            finally:
                if not done:
                    await self._take_back(sid)
        finally:
            if not done:
                session._undo_commit(draft)
        if done:
            self._created(sid, record)
        return done

    async def _store_new(self, record: Record) -> str:
        session = self._session
        for _ in range(NEW_IDS):
            sid = session._current_id()
            if await self._standing.call(self._store.create, sid, record, hold=self._hold):
                return sid
            session._id = None
        raise SessionConflict("every id that was drawn for a new session is taken")

    async def _take_back(self, sid: str) -> None:
        """Delete the record that a failed renewal made, as far as the store lets us."""
        try:
            await self._standing.call(self._store.destroy, sid, hold=self._hold)
        except StoreError as error:
            report(error)

    def _created(self, sid: str, record: Record) -> None:
        standing, session = self._standing, self._session
        standing.written(sid, record.payload, record.expires)
        standing.created = True
        standing.over = False
        session._is_new = session._asked = False
        session._renewal = None

    async def _touch(self) -> bool:
        standing, cookie = self._standing, self._session._current_cookie()
        cookie.start_anew()
        expires = cookie.expires_at
        try:
            alive = await standing.call(self._store.touch, standing.sid, expires, hold=self._hold)
        except StoreError as error:
            return self._let_be(error)
        self._session._touched = self._session._asked = False
        if not alive:
            standing.gone()
            return False
        assert standing.record is not None
        standing.record = Record(standing.record.payload, expires or time.time() + standing.default_life())
        return True

    async def _confirm(self) -> bool:
        standing = self._standing
        try:
            alive = await standing.call(self._store.get, standing.sid, hold=self._hold) is not None
        except StoreError as error:
            return self._let_be(error)
        if not alive:
            standing.gone()
        elif standing.settings.rolling:
            self._session._current_cookie().start_anew()
        return alive

    def _let_be(self, error: StoreError) -> bool:
        """An unchanged session whose life could not be extended harms nobody; but no cookie is sent for it."""
        report(error)
        self._session._touched = self._session._asked = False
        return False

    async def _discard(self) -> bool:
        """Delete a session that this request made empty; what comes next is a new one."""
        standing, session = self._standing, self._session
        draft = session._begin_commit(self._changes)
        done: bool = False
        try:
            done = await standing.call(self._store.destroy, standing.sid, expected=standing.record, hold=self._hold)
        finally:
            if not done:
                session._undo_commit(draft)
        if done:
            self._ended()
        return done

    async def _destroy(self) -> bool:
        standing = self._standing
        if not await standing.call(self._store.destroy, standing.sid, hold=self._hold):
            standing.gone(dropped=True)
            return False
        standing.over = self._session._destroyed
        self._ended()
        return True

    def _ended(self) -> None:
        self._standing.forget_record()
        self._session._start_as_new()
