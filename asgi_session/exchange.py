"""What one request and the store have to do with each other: load, commit, claim, give back.

A commit works on a draft: what the handler noted so far is taken out of the session before the store is asked, and put
back if the store can't do it. Where somebody else wrote in between, the newer state is loaded, this request's changes
are made to it, and the decision is taken again from the new facts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from starlette.types import Scope

from asgi_session import flash_queue, payload
from asgi_session.cookie import delete_cookie, set_cookie
from asgi_session.decision import NO_PLAN, CookieAction, Facts, Plan, StoreAction, decide, is_due
from asgi_session.exceptions import SessionConflict, SessionError, SessionNotFound, StoreError
from asgi_session.flash import Flash
from asgi_session.flash_queue import FLASH, Queue
from asgi_session.patience import Hold, call_store
from asgi_session.payload import Stored
from asgi_session.session import Session
from asgi_session.session_cookie import SessionCookie
from asgi_session.settings import Settings, logger
from asgi_session.signing import Presented
from asgi_session.stores.base import Record, Store
from asgi_session.turns import Contest

_NEW_IDS = 5
"""How many ids are drawn for a new session before giving up."""

REGISTRY = "asgi_session"
"""The key in the ASGI scope under which each cookie name's exchange stands, the innermost last."""


class Exchange:
    """One request's session, from the cookie that came to the cookie that goes."""

    def __init__(self, settings: Settings, scope: Scope, presented: Presented | None) -> None:
        self._settings = settings
        self._scope = scope
        self._registry: dict[str, Exchange] = scope.setdefault(REGISTRY, {})
        self._registry[settings.name] = self
        self._state: dict[str, Any] = scope.setdefault("state", {})
        self._presented = presented
        self._session: Session | None = None
        self._sid: str | None = None  # the id under which a record is known to be stored
        self._record: Record | None = None  # that record as last seen or written
        self._held_data = False
        self._owed = CookieAction.NOTHING
        self._known_alive = False
        self._wrote = False
        self._headers_gone = False
        self._blind = False  # the load failed: nothing is known, so nothing is written
        self._over = False  # destroyed, here or elsewhere
        self._claimed: Queue = {}
        self._saving = asyncio.Lock()

    # Loading

    async def load(self) -> Session:
        """The session; read from the store the first time.

        Raises:
            StoreError: the store failed and nobody said to go on without it.
        """
        if self._session is not None:
            return self._session
        stored = None
        if self._presented is not None:
            try:
                stored = await self._fetch(self._presented.sid)
            except StoreError as error:
                if self._settings.on_store_error != "anonymous":
                    raise
                report(error)
                self._blind = True
        if self._session is None:  # else another task of this request was faster
            self._session = self._made(stored)
            self._scope["session"] = self._state["session"] = self._session
            self._state["flash"] = Flash(self._session)
        return self._session

    def _made(self, stored: Stored | None) -> Session:
        if stored is None:
            return Session(owner=self)
        self._sid = self._presented.sid if self._presented else None
        self._held_data = bool(stored.data)
        return Session(stored.data, owner=self, sid=self._sid, cookie=self._stored_cookie(stored))

    async def _fetch(self, sid: str, hold: Hold | None = None) -> Stored | None:
        """Read a record; None where it is missing or unreadable."""
        record = await self._call(self._settings.store.get, sid, hold=hold)
        if record is None:
            return None
        stored = payload.read(record.payload)
        if stored is None:
            logger.warning("A stored session is no JSON object or is nested too deeply; it is treated as missing.")
            return None
        self._record = record
        return stored

    def _stored_cookie(self, stored: Stored) -> SessionCookie:
        template = self._settings.cookie_for(self._scope)
        age = payload.stored_age(stored.cookie, template.first_age())
        expires = None if age is None or self._record is None else self._record.expires
        return SessionCookie(template, age, expires)

    # What a session asks of its request

    def new_id(self) -> str:
        return self._settings.new_id(self._scope)

    def new_cookie(self) -> SessionCookie:
        template = self._settings.cookie_for(self._scope)
        cookie = SessionCookie(template, template.first_age(), None)
        cookie.start_anew()
        return cookie

    async def save(self) -> None:
        if self._blind:
            raise StoreError("the session could not be loaded, so it can't be saved")
        await self.commit(saving=True)
        if self._over and self._session is not None and not self._session._destroyed:
            raise SessionNotFound("the session was destroyed elsewhere or has expired")

    async def reload(self) -> None:
        session = self._the_session()
        stored = None if self._sid is None else await self._fetch(self._sid)
        if stored is None or self._sid is None:
            raise SessionNotFound("there is no stored session to reload")
        self._held_data = bool(stored.data)
        session._reset(self._sid, stored.data, self._stored_cookie(stored))

    async def claim(self, category: str | None) -> Queue:
        session = self._the_session()
        claimed: Queue = {}
        hold = Hold()
        try:
            async with self._saving:
                if self._sid is not None and session._renewal != "fresh" and not session._destroyed:
                    with Contest(self._settings.turns, hold) as contest:
                        claimed = await self._claim_stored(session, category, contest, hold)
                own = session._flash_drain(category)
        finally:
            hold.release()
        return {name: [*claimed.get(name, []), *own.get(name, [])] for name in {**claimed, **own}}

    async def _claim_stored(self, session: Session, category: str | None, contest: Contest, hold: Hold) -> Queue:
        taken: Queue = {}

        def take(data: dict[str, Any]) -> dict[str, Any] | None:
            nonlocal taken
            taken, rest = flash_queue.claim(data.get(FLASH), category, session._flash_log)
            return _with_flash(data, rest) if taken else None

        if not await self._amend(take, contest, hold):
            return {}
        for name, messages in taken.items():
            self._claimed.setdefault(name, []).extend(messages)
        return taken

    async def give_back(self) -> None:
        """Queue again what was claimed for a response that failed."""
        claimed, self._claimed = self._claimed, {}
        if not claimed or self._sid is None:
            return

        def put_back(data: dict[str, Any]) -> dict[str, Any]:
            return _with_flash(data, flash_queue.restored(data.get(FLASH), claimed))

        hold = Hold()
        try:
            with Contest(self._settings.turns, hold) as contest:
                await self._amend(put_back, contest, hold)
        except (StoreError, SessionConflict) as error:
            report(error)
        finally:
            hold.release()

    async def _amend(
        self, change: Callable[[dict[str, Any]], dict[str, Any] | None], contest: Contest, hold: Hold
    ) -> bool:
        """Change what is stored and nothing else: not the expiry, and nothing that this request has pending.

        Args:
            change: from the stored data to what it shall be, or to None where there is nothing to change.
        """
        session = self._the_session()
        while self._sid is not None and self._record is not None:
            stored = payload.read(self._record.payload)
            data = None if stored is None else change(stored.data)
            if stored is None or data is None:
                return False
            record = Record(payload.rewrite(stored, data), self._record.expires)
            expected = self._record
            if await self._call(self._settings.store.replace, self._sid, record, expected=expected, hold=hold):
                self._record = record
                session._rebase(data)
                return True
            await contest.lost(self._sid)
            await self._refresh(hold)
        return False

    # Committing

    async def commit(self, *, saving: bool = False) -> None:
        """Carry out what the handler did to the session.

        Args:
            saving: at the handler's own request, which must not be dropped in silence.

        Raises:
            StoreError: the store failed; the changes are pending again.
            SessionConflict: other writers kept being faster; likewise.
            SessionSerializationError: a value is not JSON; nothing was written.
            SessionError: `saving` a new session whose cookie can't reach the client.
        """
        hold = Hold()
        try:
            async with self._saving:
                with Contest(self._settings.turns, hold) as contest:
                    await self._commit(contest, hold, saving)
        finally:
            hold.release()

    async def _commit(self, contest: Contest, hold: Hold, saving: bool) -> None:
        plan = self._plan(saving)
        if self._sid is not None and plan.store is not StoreAction.NOTHING and await contest.queue_for(self._sid):
            await self._refresh(hold)
            plan = self._plan(saving)
        while not await self._carry_out(plan, hold):
            assert self._sid is not None
            await contest.lost(self._sid)
            await self._refresh(hold)
            plan = self._plan(saving)

    async def _refresh(self, hold: Hold) -> None:
        """Load what is stored now and make this request's changes changes to that."""
        if self._sid is None:
            return
        session = self._the_session()
        stored = await self._fetch(self._sid, hold)
        if stored is None:
            self._gone()
            return
        self._held_data = bool(stored.data)
        session._rebase(stored.data)
        if not session._age_assigned():
            self._take_stored_age(session, stored)

    def _take_stored_age(self, session: Session, stored: Stored) -> None:
        theirs = self._stored_cookie(stored)
        session._current_cookie().take_age(theirs.original_max_age, theirs.expires_at)

    def _plan(self, saving: bool) -> Plan:
        plan = self._decided()
        if plan.undeliverable:
            self._say_undeliverable(saving)
        return plan

    def _decided(self) -> Plan:
        session = self._the_session()
        if not self._is_attached(session):
            if self._settings.unset == "keep":
                return NO_PLAN
            session.destroy()
        if self._over and session._renewal != "fresh":
            return NO_PLAN
        if self._blind:
            return self._blind_plan(session)
        settings = self._settings
        dirty = session._is_dirty()
        stored = self._sid is not None
        cookie = session._current_cookie()
        age = cookie.original_max_age
        return decide(
            Facts(
                stored=stored,
                presented=self._presented is not None,
                destroyed=session._destroyed,
                renewed=session._renewal is not None,
                empty=not dict.__len__(session),
                held_data=self._held_data,
                changed=dirty and bool(cookie.assigned or session._changed_keys()),
                forced=session._forced or (settings.resave and stored and not self._wrote and not self._headers_gone),
                touched=session._touched,
                due=stored and not self._headers_gone and self._is_due(age),
                has_age=age is not None,
                age_assigned=cookie.assigned,
                outdated=self._presented is not None and self._presented.outdated and not self._headers_gone,
                owed=self._owed is CookieAction.SEND and not self._headers_gone,
                known_alive=self._known_alive,
                rolling=settings.rolling and not self._headers_gone,
                save_uninitialized=settings.save_uninitialized,
                deliverable=self._is_deliverable(),
            )
        )

    def _is_attached(self, session: Session) -> bool:
        """Whether ``request.state.session`` is still ours, as far as that is ours to say."""
        present = self._state.get("session")
        if present is session or next(reversed(self._registry.values())) is not self:
            return True
        if present is not None:
            raise TypeError("request.state.session was assigned something else than None")
        return False

    def _blind_plan(self, session: Session) -> Plan:
        if session._destroyed:
            raise StoreError("the session could not be loaded, so it can't be destroyed")
        if session._is_dirty():
            session._start_over({})
            logger.warning("Changes to a session were dropped: the store failed when it was to be loaded.")
        return NO_PLAN

    def _default_expiry(self) -> float:
        return time.time() + self._default_life()

    def _default_life(self) -> float:
        life: float = getattr(self._settings.store, "ttl", Store.ttl)
        return life

    def _is_due(self, age: float | None) -> bool:
        life = self._default_life() if age is None else age
        expires = self._record.expires if self._record is not None else None
        return expires is not None and is_due(time.time(), life, expires, self._settings.touch_after)

    def _is_deliverable(self) -> bool:
        return not self._headers_gone and self._can_be_sent()

    def _can_be_sent(self) -> bool:
        template = self._the_session()._current_cookie().template
        https = is_https(self._scope, proxy=self._settings.proxy)
        return template.attributes(https=https).can_be_sent and (https or not self._settings.must_be_secure)

    def _say_undeliverable(self, saving: bool) -> None:
        if self._headers_gone:
            if saving:
                raise SessionError("the response has started: a new session's cookie can't be sent any more")
            logger.error("A session first written after the response started was not stored: its cookie can't be sent.")
            return
        self._settings.warn_insecure()
        if saving:
            raise SessionError("the session cookie is Secure and the connection is plain http")

    async def _carry_out(self, plan: Plan, hold: Hold) -> bool:
        """Do what was decided; False where somebody else wrote first."""
        match plan.store:
            case StoreAction.NOTHING:
                if plan.cookie is CookieAction.DELETE:
                    self._over = True
            case StoreAction.CREATE:
                await self._create(hold)
            case StoreAction.RENEW:
                if not await self._renew(hold):
                    return False
            case StoreAction.REPLACE:
                if not await self._replace(hold):
                    return False
            case StoreAction.TOUCH | StoreAction.CONFIRM:
                if not await self._extend(plan, hold):
                    return True
            case StoreAction.DISCARD:
                if not await self._discard(hold):
                    return False
            case StoreAction.DESTROY:
                if not await self._destroy(hold):
                    return True
        if plan.cookie is not CookieAction.NOTHING:
            self._owed = plan.cookie
        return True

    async def _create(self, hold: Hold) -> None:
        session = self._the_session()
        record = self._draft_record(session)
        draft = session._begin_commit()
        try:
            sid = await self._store_new(session, record, hold)
        except BaseException:
            session._undo_commit(draft)
            raise
        self._created(session, sid, record)

    async def _renew(self, hold: Hold) -> bool:
        """Store the session under a new id, then delete the old record.

        A renewal that keeps the data deletes only what it knows, so that what others wrote meanwhile is not lost; and
        where the old record is gone, the new one goes too.
        """
        session = self._the_session()
        old, expected = self._sid, self._record if session._renewal == "keep" else None
        record = self._draft_record(session)
        draft = session._begin_commit()
        try:
            sid = await self._store_new(session, record, hold)
            try:
                done = await self._call(self._settings.store.destroy, old, expected=expected, hold=hold)
            except StoreError:
                await self._take_back(sid, hold)
                raise
            if expected is not None and not done:
                await self._take_back(sid, hold)
                session._undo_commit(draft)
                return False
        except BaseException:
            session._undo_commit(draft)
            raise
        self._created(session, sid, record)
        return True

    async def _store_new(self, session: Session, record: Record, hold: Hold) -> str:
        for _ in range(_NEW_IDS):
            sid = session._current_id()
            if await self._call(self._settings.store.create, sid, record, hold=hold):
                return sid
            session._id = None
        raise SessionConflict("every id that was drawn for a new session is taken")

    async def _take_back(self, sid: str, hold: Hold) -> None:
        """Delete the record that a failed renewal made, as far as the store lets us."""
        try:
            await self._call(self._settings.store.destroy, sid, hold=hold)
        except StoreError as error:
            report(error)

    def _created(self, session: Session, sid: str, record: Record) -> None:
        self._written(session, sid, record)
        self._known_alive = True
        self._over = False
        session._is_new = False
        session._renewal = None

    async def _replace(self, hold: Hold) -> bool:
        session = self._the_session()
        expected = self._record
        assert self._sid is not None
        assert expected is not None
        record = self._draft_record(session)
        draft = session._begin_commit()
        try:
            done = await self._call(self._settings.store.replace, self._sid, record, expected=expected, hold=hold)
        except BaseException:
            session._undo_commit(draft)
            raise
        if not done:
            session._undo_commit(draft)
            return False
        self._written(session, self._sid, record)
        return True

    async def _extend(self, plan: Plan, hold: Hold) -> bool:
        """Touch the record, or see that it is there; False where it is not, or nobody can tell."""
        session = self._the_session()
        cookie = session._current_cookie()
        assert self._sid is not None
        try:
            if plan.store is StoreAction.TOUCH:
                cookie.start_anew()
                alive = await self._call(self._settings.store.touch, self._sid, cookie.expires_at, hold=hold)
            else:
                alive = await self._call(self._settings.store.get, self._sid, hold=hold) is not None
                if self._settings.rolling:
                    cookie.start_anew()
        except StoreError as error:
            report(error)
            self._owed = CookieAction.NOTHING
            return False
        session._touched = False
        if not alive:
            self._gone()
            return False
        if plan.store is StoreAction.TOUCH and self._record is not None:
            self._record = Record(self._record.payload, cookie.expires_at or self._default_expiry())
        return True

    async def _discard(self, hold: Hold) -> bool:
        session = self._the_session()
        assert self._sid is not None
        draft = session._begin_commit()
        try:
            done = await self._call(self._settings.store.destroy, self._sid, expected=self._record, hold=hold)
        except BaseException:
            session._undo_commit(draft)
            raise
        if not done:
            session._undo_commit(draft)
            return False
        self._sid = self._record = session._id = None
        self._held_data = False
        session._is_new = True
        return True

    async def _destroy(self, hold: Hold) -> bool:
        session = self._the_session()
        assert self._sid is not None
        there = await self._call(self._settings.store.destroy, self._sid, hold=hold)
        if not there:
            self._gone(dropped=True)
            return False
        self._sid = self._record = None
        self._held_data = False
        session._renewal = None
        self._over = session._destroyed
        if not self._over:  # renewed with nothing to keep: what comes next is a new session
            session._is_new = True
        return True

    def _draft_record(self, session: Session) -> Record:
        """What to store, the full age beginning now."""
        cookie = session._current_cookie()
        cookie.start_anew()
        attributes = cookie.template.attributes(https=is_https(self._scope, proxy=self._settings.proxy))
        expires = cookie.expires_at
        data = dict(dict.items(session))
        return Record(payload.write(data, cookie.original_max_age, expires, attributes), expires)

    def _written(self, session: Session, sid: str, record: Record) -> None:
        self._sid = sid
        self._record = Record(record.payload, record.expires or self._default_expiry())
        self._held_data = bool(dict.__len__(session))
        self._wrote = True

    def _gone(self, *, dropped: bool = False) -> None:
        """The session ended while this request was at work: nothing of it is written and no cookie is sent."""
        session = self._the_session()
        if dropped or session._changed_keys() or session._age_assigned() or session._destroyed:
            logger.warning("Changes to a session were dropped: it was destroyed, was given a new id or has expired.")
        self._sid = self._record = None
        self._over = True
        self._owed = CookieAction.NOTHING

    async def _call(self, method: Any, *args: Any, hold: Hold | None = None, **kwargs: Any) -> Any:
        return await call_store(method, *args, timeout=self._settings.store_timeout, hold=hold, **kwargs)

    def _the_session(self) -> Session:
        assert self._session is not None
        return self._session

    # The response

    def is_dirty(self) -> bool:
        """Whether something was done to the session that is not committed."""
        return self._session is not None and (self._session._is_dirty() or not self._is_attached(self._session))

    def is_loaded(self) -> bool:
        """Whether there is a session to commit."""
        return self._session is not None

    def was_accessed(self) -> bool:
        """Whether the response depends on the session."""
        return self._session is not None and self._session.accessed

    def close_headers(self) -> None:
        """Note that no cookie can be sent from here on."""
        self._headers_gone = True

    def set_cookie(self) -> str | None:
        """The Set-Cookie header that the commits of this request call for."""
        if self._owed is CookieAction.NOTHING:
            return None
        if not self._can_be_sent():
            self._settings.warn_insecure()
            return None
        name = self._settings.name
        cookie = self._the_session()._current_cookie()
        attributes = cookie.template.attributes(https=is_https(self._scope, proxy=self._settings.proxy))
        if self._owed is CookieAction.DELETE or self._sid is None:
            return delete_cookie(name, attributes)
        return set_cookie(name, self._settings.signer.sign(self._sid), attributes, cookie.expires_at)


def report(error: SessionError) -> None:
    """Log a failure of the store: which kind, never what the backend said, which may quote ids or data."""
    cause = error.__cause__
    logger.error("%s%s", error, "" if cause is None else f" ({type(cause).__name__})")


def is_https(scope: Scope, *, proxy: bool) -> bool:
    """Whether the client's connection is encrypted, as far as the server or a trusted proxy says."""
    if scope.get("scheme") in ("https", "wss"):
        return True
    if proxy:
        for name, value in scope.get("headers", ()):
            if name == b"x-forwarded-proto":
                return value.split(b",")[0].strip().lower() in (b"https", b"wss")
    return False


def _with_flash(data: dict[str, Any], queue: dict[str, Any] | None) -> dict[str, Any]:
    rest = {key: value for key, value in data.items() if key != FLASH}
    return rest if queue is None else {**data, FLASH: queue}
