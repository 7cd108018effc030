"""The response half of a request: commits before the start goes out, and again where something changed later."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable

from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import Message
from starlette.websockets import WebSocketDisconnect

from asgi_session.exception_groups import essence
from asgi_session.exceptions import SessionConflict, SessionError, StoreError
from asgi_session.exchange import Exchange
from asgi_session.journal import Look
from asgi_session.log import logger, report
from asgi_session.response_headers import with_session_headers
from asgi_session.turns import TRIES
from asgi_session.unavailable import answer_unavailable, came_of_being_answered, send_to_nobody

_STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start", "websocket.close"})
_BODIES = frozenset(
    {"http.response.body", "websocket.http.response.body", "http.response.pathsend", "http.response.zerocopysend"}
)


class Response(Exchange):
    """A request's exchange, and what the app sends in answer on its way to the server."""

    _accepted = False  # a WebSocket is open
    _saves = True  # False: the response failed, so nothing more is committed
    complete = False
    """Whether the last of it was passed on."""

    def send(self, message: Message) -> Awaitable[None]:
        """Pass a message on; the server's own awaitable where there is nothing to do."""
        kind = message["type"]
        if self.headers_gone:
            if not message.get("more_body", False) if kind in _BODIES else kind == "websocket.close":
                self.complete = True
                if self._accepted or self.claims is not None or self.has_changes():
                    return self._end(message)
        elif kind in _STARTS:
            status = message.get("status", 200)
            if status >= 500:
                return self._start(message, None)
            if status >= 200:
                session = self.session
                accessed = session is not None and session.accessed
                look = session._look() if session is not None and accessed and session._before else None
                if (look is not None and look[0]) or self.has_other_work():
                    return self._start(message, look)
                # Nothing is owed, so this is what is left of `_start`.
                self.headers_gone = True
                if kind == "websocket.close":
                    self.refused = True
                else:
                    self._accepted = kind == "websocket.accept"
                    if accessed:
                        message = with_session_headers(message, None, vary=True)
        send = self._send
        return send(message)

    async def _start(self, message: Message, look: Look | None) -> None:
        """Pass a response's start on after what it calls for: a commit, or for a failed one that none is made.

        Args:
            message: the start.
            look: what changed; None: nobody looked, since nothing can have.
        """
        kind = message["type"]
        closing = kind == "websocket.close"
        if closing:
            self.headers_gone = self.refused = True  # no cookie goes with what is committed
        status = message.get("status", 200)
        if status >= 500:
            self._saves = False
            await self.settled()  # a save() may owe the client a cookie
            await self.give_back()
            error = _unhandled_inside() if status == 500 else None
            if error is not None and self._stands_for(error):
                await self._refuse(error)
                return
        elif self._saves:
            try:
                if self._store_lock is not None:
                    await self.settled()
                await self.commit(look)
                for _ in range(0 if self.settings.answers_at_once else TRIES):
                    if self.over or not self.has_changes():  # by another task, meanwhile
                        break
                    await self.commit()
            except BaseException as error:
                if not await self._answer_for(error):
                    raise
                return
        if not closing:
            set_cookie = self.set_cookie_header()
            vary = self.session is not None and self.session.accessed
            self.headers_gone = True  # there is no way back
            self._accepted = kind == "websocket.accept"
            if vary or set_cookie is not None:
                message = with_session_headers(message, set_cookie, vary)
        send = self._send
        await send(message)

    async def _answer_for(self, error: BaseException) -> bool:
        """Answer 503 where the store let the commit down; False where the error is to be let through."""
        await self.give_back()
        if isinstance(error, asyncio.CancelledError):  # the commit outlived it; who goes on may save again
            return False
        self._saves = False
        if not self._stands_for(error):
            self.failure = error
            return False
        await self._refuse(error)
        return True

    async def _end(self, message: Message) -> None:
        await self.commit_late()
        self._accepted = False
        await self._send(message)
        await self.settle_claims()

    async def absorb(self, error: BaseException) -> bool:
        """Do what an exception that left the app calls for; False where it is to go on its way."""
        if isinstance(error, StoreError | SessionConflict):
            return await self._give_way_to(error)
        if isinstance(error, WebSocketDisconnect):  # the client hung up, which is a normal end
            await self.finish()
        else:
            await self.give_back()
            if self.failure is not None and error.__cause__ is self.failure:  # as an error handler tells it
                raise self.failure from self.failure.__cause__
        return came_of_being_answered(error)

    async def finish(self) -> None:
        """Do what is left where the app returned, or a WebSocket's client hung up, be it before the accept."""
        if not self.headers_gone and self.scope["type"] == "websocket":
            self.headers_gone = self.refused = True
        await self.commit_late()
        if self.complete or self._accepted:
            await self.settle_claims()
        else:  # nothing was sent, or the client went away in mid-stream
            await self.give_back()

    async def commit_late(self) -> None:
        """Save what changed after the start. Only the log can tell of a failure now, and nothing is tried twice."""
        if not self._saves or not self.headers_gone or not self.has_changes():
            return
        try:
            await self.commit()
        except (StoreError, SessionConflict) as error:
            self._saves = False
            report(error)
        except (SessionError, TypeError) as error:
            self._saves = False
            logger.error("Changes to a session after the response started were dropped: %s", type(error).__name__)

    def _stands_for(self, error: BaseException) -> bool:
        """Whether an exception is a failure of the store that is to be answered with 503."""
        return (
            isinstance(error, StoreError | SessionConflict)
            and self.settings.on_store_error != "raise"
            and not self._is_from_around(error)
        )

    async def _give_way_to(self, error: SessionError) -> bool:
        """Answer 503 instead of letting a failure of the store through; False where it is to be let through."""
        await self.give_back()
        if not self._stands_for(error):
            return False
        if self.headers_gone and not self._accepted:
            report(error)
            return True
        await self._refuse(error)
        return True

    async def _refuse(self, error: BaseException) -> None:
        report(error)
        send, self._send = self._send, send_to_nobody
        accepted = self._accepted
        # Of what an earlier save(), or a middleware within, has committed.
        cookies = [each.set_cookie_header() for each in self.and_within()]
        self.headers_gone = True
        for each in self.and_within():
            await each.give_back()
        try:
            await answer_unavailable(self.scope, send, accepted=accepted, cookies=cookies)
        except (OSError, RuntimeError):
            if not accepted:  # else the client has gone first
                raise


def _unhandled_inside() -> BaseException | None:
    """The exception for which an app inside (mounted, or wrapped whole) is answering 500 before it lets it through."""
    error = sys.exc_info()[1]
    trace = None if error is None else error.__traceback__
    caught_in = None if trace is None else trace.tb_frame.f_globals.get("__name__")
    return essence(error) if error is not None and caught_in == ServerErrorMiddleware.__module__ else None
