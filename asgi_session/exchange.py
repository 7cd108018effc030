"""One request's session, from the cookie that came to the cookie that goes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from starlette.types import Scope

from asgi_session.claims import Claims
from asgi_session.commit import Commit
from asgi_session.cookie import delete_cookie, set_cookie
from asgi_session.decision import DESTROYED, HELD_DATA, OUTDATED, PRESENTED, RENEWED, STORED
from asgi_session.exceptions import SessionNotFound, StoreError
from asgi_session.flash_queue import Queue
from asgi_session.journal import Look
from asgi_session.log import logger, report
from asgi_session.patience import Hold, store_error
from asgi_session.presence import Presence
from asgi_session.session import Session
from asgi_session.session_cookie import SessionCookie
from asgi_session.usual_commit import is_usual, store_values


class Exchange(Presence):
    """What the middleware does for a request, and a session asks of it."""

    failure: BaseException | None = None
    """Why the commit at the response's start failed, where the app is told of it."""
    claims: Claims | None = None
    """Messages that were claimed, whose fate is open."""
    _store_lock: asyncio.Lock | None = None
    """Under which the request's tasks ask the store one after the other; made when it is first needed."""

    # Loading

    def begin(self) -> Awaitable[None] | None:
        """Begin a new session where the request names none; else give what loads the one that it names."""
        headers = self.scope["headers"]
        if headers.__class__ is not list:  # it may be good for one pass only, and the app wants to read it, too
            headers = self.scope["headers"] = list(headers)
        presented = self.settings.incoming.presented(headers)
        if presented is not None:
            self.presented = presented
            self.known = PRESENTED | OUTDATED if presented.outdated else PRESENTED
            return self._load(presented.sid)
        self._show(Session((), self))
        return None

    async def load(self) -> Session:
        """The session; read from the store the first time.

        Raises:
            StoreError: the store failed and nobody said to go on without it.
        """
        if self.session is not None:
            return self.session
        if self.settings.answers_at_once:
            await (self.begin() or nothing())
            return self.loaded
        async with self._lock():  # another task of this request may be at it
            if self.session is None:
                await (self.begin() or nothing())
            return self.loaded

    async def load_for(self, scope: Scope) -> Session:
        """The session, to be seen in this scope, too, which may be the copy that a middleware in between made."""
        session = await self.load()
        if scope is not self.scope:
            self._show_in(scope, session)
        return session

    async def _load(self, sid: str) -> None:
        settings = self.settings
        record = failure = None
        try:
            record = await (settings.store if settings.answers_at_once else settings.calls).get(sid)
        except Exception as error:
            failure = store_error(error)
        if failure is not None:
            if settings.on_store_error != "anonymous":
                raise failure
            report(failure)
            self.blind = True
        self.came = data = self.found(sid, record)
        self._show(Session((), self) if data is None else Session(data, self, sid))

    # What a session asks of its request

    def new_id(self) -> str:
        return self.settings.new_id(self.scope)

    def make_cookie(self) -> SessionCookie:
        return SessionCookie(self.template, *self.life(), self.settings.name)

    async def save(self) -> None:
        if self.blind:
            raise StoreError("the session could not be loaded, so it can't be saved")
        await self.commit(saving=True)
        if self.over and not self.loaded._asked & DESTROYED:
            raise SessionNotFound("the session was destroyed elsewhere or has expired")

    async def reload(self) -> None:
        async with self._lock():
            sid = self.presented.sid if self.blind and self.presented is not None else self.sid
            data = None if sid is None else await self.fetch(sid)
            if data is None or sid is None:
                raise SessionNotFound("there is no stored session to reload")
            self.loaded._reset(sid, data)
            self.blind = False
            self.doubts = None

    async def claim(self, category: str | None) -> Queue:
        hold = Hold()
        try:
            async with self._lock():
                if self.failed:
                    return {}
                if self.claims is None:
                    self.claims = Claims(self)
                return await self.claims.claim(category, hold)
        finally:
            hold.release()

    # What the middleware does

    def commit(self, look: Look | None = None, saving: bool = False) -> Awaitable[None]:
        """Carry out what the handler did to the session; a cancellation waits until that is done. Raises as `Commit`.

        Args:
            look: what changed, where the caller has looked just now.
            saving: at the handler's request, so that nothing may be dropped in silence.
        """
        if self.session is None:
            return self._destroy_unloaded()
        if self._state.get("session") is not self.session and self._is_unset():
            if self.settings.unset == "keep" and not self.loaded._asked & (DESTROYED | RENEWED):
                return nothing()
            self.loaded.destroy()  # or the sign-out before it would be lost
            look = None
        if self.blind:
            self._drop_blind_changes()
            return nothing()
        if self._store_lock is not None:  # another task may change the session while this one waits for its turn
            look = None
        elif self.settings.answers_at_once:
            if look is not None and is_usual(self, look):
                return store_values(self, look)
            return Commit(self, None, saving).run(look)
        return self._commit_in_turn(look, saving)

    async def settled(self) -> None:
        """Wait for what other tasks of the request ask of the store."""
        if self.is_at_work():
            async with self._lock():
                pass

    def is_at_work(self) -> bool:
        """Whether another task of the request is saving, loading or claiming."""
        return self._store_lock is not None and self._store_lock.locked()

    async def _commit_in_turn(self, look: Look | None, saving: bool) -> None:
        hold = Hold()
        try:
            async with self._lock():
                await Commit(self, hold, saving).run(look)
        finally:
            hold.release()

    def has_other_work(self) -> bool:
        """Whether the start of a response may call for a commit though a look finds no value changed.

        After the start only `has_changes` counts: no cookie can be sent, and no life is extended.
        """
        session = self.session
        if session is None:
            return self._is_unset_unloaded()
        if session.accessed and (
            session._asked or session._cookie is not None or self.claims is not None or self.is_at_work()
        ):
            return True
        return (
            self._state.get("session") is not session
            or self.settings.decides_always
            or (self.known & STORED != 0 and (self.known & OUTDATED != 0 or self.is_due(self.age)))
            or self.owed != "nothing"
        )

    def has_changes(self) -> bool:
        """Whether something was done to the session that is not committed."""
        session = self.session
        if session is None:
            return self._is_unset_unloaded()
        if session.accessed:
            if (session._before or session._asked or session._cookie is not None or self.claims is not None) and (
                session._is_dirty() or (self.known & HELD_DATA and not dict.__len__(session))
            ):
                return True
            if self._store_lock is not None and self.is_at_work():
                return True
        return self._state.get("session") is not session and self._left_by_app() is not session

    async def give_back(self) -> None:
        """Queue again what was claimed for a response that failed."""
        self.failed = True
        await self._end_claims(answered=False)

    async def settle_claims(self) -> None:
        """The client has what was claimed: nothing goes back any more."""
        await self._end_claims(answered=True)

    async def _end_claims(self, *, answered: bool) -> None:
        if self.claims is None:
            return
        claims, self.claims = self.claims, None
        hold = Hold()
        try:
            await (claims.settle(hold) if answered else claims.give_back(hold))
        finally:
            hold.release()

    def set_cookie_header(self) -> str | None:
        """The Set-Cookie header that is owed to the client; None where there is none, or it can't be sent."""
        if self.owed == "nothing":
            return None
        settings, attributes = self.settings, self.attributes()
        if not self.can_be_sent(attributes):
            settings.warn_insecure()
            return None
        if self.owed == "delete" or self.sid is None:
            return delete_cookie(settings.name, attributes)
        return set_cookie(settings.name, settings.signer.sign(self.sid, self.presented), attributes, *self.owed_age)

    async def _destroy_unloaded(self) -> None:
        (await self.load()).destroy()
        await self.commit()

    def _drop_blind_changes(self) -> None:
        session = self.loaded
        if session._asked & (DESTROYED | RENEWED):  # a 200 would claim a sign-out that did not happen
            raise StoreError("the session could not be loaded, so it can't be destroyed or given a new id")
        if session._is_dirty():
            session._start_over({}, {})
            logger.warning("Changes to a session were dropped: the store failed when it was to be loaded.")

    def _is_from_around(self, error: BaseException) -> bool:
        """Whether it is the failure of a middleware around this one, which stands for it."""
        around = self.outer
        while around is not None and around.failure is not error:
            around = around.outer
        return around is not None

    def _lock(self) -> asyncio.Lock:
        """What one request's tasks ask of the store is asked one after the other."""
        if self._store_lock is None:
            self._store_lock = asyncio.Lock()
        return self._store_lock


async def nothing() -> None:
    """What is awaited where there is nothing to do."""
