"""One request's session, from the cookie that came to the cookie that goes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Mapping, MutableMapping
from typing import Any

from starlette.types import Scope

from asgi_session.claims import Claims
from asgi_session.commit import Commit
from asgi_session.cookie import delete_cookie, set_cookie
from asgi_session.decision import DESTROYED, HELD_DATA, OUTDATED, PRESENTED, RENEWED, STORED
from asgi_session.exceptions import SessionNotFound, StoreError
from asgi_session.flash import Flash
from asgi_session.flash_queue import Queue
from asgi_session.journal import Look
from asgi_session.log import logger, report
from asgi_session.patience import Hold, store_error
from asgi_session.session import Session
from asgi_session.session_cookie import SessionCookie
from asgi_session.standing import Standing
from asgi_session.usual_commit import is_usual, store_values

IN_CHARGE = "asgi_session"
"""The key in the ASGI scope under which the innermost middleware's exchange stands; it knows the ones around it."""


_OURS = ("session", "flash")
_Seen = tuple[dict[str, Any], dict[str, Any]]
"""What is found of a session in an ASGI scope, and in its state."""


class Exchange(Standing):
    """What the middleware does for a request, and a session asks of it."""

    outer: Exchange | None = None
    """The exchange of the next middleware around this one."""
    failure: BaseException | None = None
    """Why the commit at the response's start failed, where the app is told of it."""
    _inner: Exchange | None = None
    _around: _Seen
    """What is to be found in the scope outside of this one, where it stands within another."""
    _state: dict[str, Any]
    _was_none = False
    """Whether somebody else's None stood in the session's place before this request."""
    claims: Claims | None = None
    """Messages that were claimed, whose fate is open."""
    _store_lock: asyncio.Lock | None = None
    """Under which the request's tasks ask the store one after the other; made when it is first needed."""

    def stand_within(self, outer: Exchange) -> None:
        """Be the next one within another of the same connection."""
        self.outer = outer
        self._around = self._seen()
        outer._inner = self

    def and_within(self) -> Iterator[Exchange]:
        """This one and those within it."""
        exchange: Exchange | None = self
        while exchange is not None:
            yield exchange
            exchange = exchange._inner

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

    def begin_without(self) -> None:
        """Begin without a session, which somebody may ask for later."""
        state = self.scope.setdefault("state", {})  # so that a copy of the scope shares it
        self._was_none = state.get("session", self) is None

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
        if scope is not self.scope and scope.get(IN_CHARGE) is self and scope.get("session") is not session:
            scope["session"] = session
            state = scope.setdefault("state", {})
            if state.get("session") is not session:
                state["session"] = session
                state["flash"] = Flash(session)
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

    def _seen(self) -> _Seen:
        """What the handler finds of a session in the scope now."""
        in_scope, in_state = [{key: place[key] for key in _OURS if key in place} for place in self._places()]
        return in_scope, in_state

    def _see(self, seen: _Seen) -> None:
        """Let it find this instead."""
        for place, contents in zip(self._places(), seen, strict=True):
            for key in _OURS:
                place.pop(key, None)
            place.update(contents)

    def _places(self) -> list[MutableMapping[str, Any]]:
        return [self.scope, self.scope.setdefault("state", {})]

    def _show(self, session: Session) -> None:
        self.session = session
        scope = self.scope
        state = scope.get("state")
        if state is None:
            state = scope["state"] = {}
        self._state = state
        if self._inner is None:
            scope["session"] = state["session"] = session
            state["flash"] = Flash(session)
        else:  # theirs is the session to be seen now
            self._inner._around = {"session": session}, {"session": session, "flash": Flash(session)}

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

    def step_back(self, outer: Exchange) -> None:
        """Let the one around this one be the innermost again."""
        self.outer = None
        outer._inner = None
        self.scope[IN_CHARGE] = outer
        self._see(self._around)

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

    def _is_unset_unloaded(self) -> bool:
        """Whether ``request.state.session`` was unset before anybody loaded it, and that is to destroy what is stored.

        Anything else that stands there is not ours, nor is what stood there before.
        """
        if self.settings.unset == "keep" or self._was_none:
            return False
        return self._state_left().get("session", self) is None

    async def _destroy_unloaded(self) -> None:
        (await self.load()).destroy()
        await self.commit()

    def _left_by_app(self) -> object:
        """``request.state.session`` as those between this middleware and the next one within have left it."""
        return self._state_left().get("session")

    def _state_left(self) -> Mapping[str, Any]:
        """``request.state`` as those between this middleware and the next one within have left it."""
        if self._inner is not None:
            return self._inner._around[1]
        return self.scope["state"] if self.session is None else self._state

    def _is_unset(self) -> bool:
        """Whether ``request.state.session`` was unset."""
        left = self._left_by_app()
        if left is not None and left is not self.session:
            raise TypeError("request.state.session was assigned something else than None")
        return left is None

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
