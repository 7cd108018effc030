"""The response half of a request: commits before the start goes out, and again where something changed later."""

from __future__ import annotations

from collections.abc import Awaitable

from starlette.types import Message

from asgi_session.exceptions import SessionConflict, SessionError, StoreError
from asgi_session.exchange import Exchange
from asgi_session.response_headers import with_session_headers
from asgi_session.settings import logger
from asgi_session.standing import report
from asgi_session.unavailable import answer_unavailable, send_to_nobody

_STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start", "websocket.close"})
_BODIES = frozenset(
    {"http.response.body", "websocket.http.response.body", "http.response.pathsend", "http.response.zerocopysend"}
)


class Response(Exchange):
    """A request's exchange, and what the app sends in answer on its way to the server."""

    _accepted = False  # a WebSocket is open
    _saves = True  # False: the response failed, so nothing more is committed

    def send(self, message: Message) -> Awaitable[None]:
        """Pass a message on; the server's own awaitable where there is nothing to do."""
        kind = message["type"]
        if self.headers_gone:
            last = not message.get("more_body", False) if kind in _BODIES else kind == "websocket.close"
            if last and (self._accepted or self._claims is not None or self.has_changes()):
                return self._end(message)
        elif kind in _STARTS:
            status = message.get("status", 200)
            if status >= 500 or kind == "websocket.close" or (status >= 200 and self.may_have_work()):
                return self._start(message)
            if status >= 200:  # nothing is owed, so this is what is left of `_start`
                self.headers_gone = True
                self._accepted = kind == "websocket.accept"
                if self.session is not None and self.session.accessed:
                    message = with_session_headers(message, None, vary=True)
        send = self._send
        return send(message)

    async def _start(self, message: Message) -> None:
        kind = message["type"]
        closing = kind == "websocket.close"
        if closing:
            self.headers_gone = self.refused = True  # no cookie goes with what is committed
        if message.get("status", 200) >= 500:
            self._saves = False
            await self.give_back()
        elif self._saves and self.session is not None:
            look = self.session._look()
            if look[0] or self.may_have_work(values=False):
                try:
                    await self.commit(look)
                    if not self.settings.answers_at_once and self.has_changes():  # by another task, meanwhile
                        await self.commit()
                except BaseException as error:
                    if not await self._answer_for(error):
                        raise
                    return
        if not closing:
            set_cookie = None if self.owed == "nothing" else self.set_cookie_header()
            vary = self.session is not None and self.session.accessed
            self.headers_gone = True  # there is no way back
            self._accepted = kind == "websocket.accept"
            if vary or set_cookie is not None:
                message = with_session_headers(message, set_cookie, vary)
        send = self._send
        await send(message)

    async def _answer_for(self, error: BaseException) -> bool:
        """Answer 503 where the store let the commit down; False where the error is to be let through."""
        self._saves = False
        await self.give_back()
        if self.settings.on_store_error == "raise" or not isinstance(error, StoreError | SessionConflict):
            self.failure = error
            return False
        await self._refuse(error)
        return True

    async def _end(self, message: Message) -> None:
        await self.commit_late()
        self._accepted = False
        await self._send(message)
        await self.settle_claims()

    async def hang_up(self) -> None:
        """Save what changed on a connection that the client has closed, be it before the accept."""
        self.refused |= not self.headers_gone
        self.headers_gone = True
        await self.commit_late()

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

    async def give_way_to(self, error: SessionError) -> bool:
        """Answer 503 instead of letting a failure of the store through; False where it is to be let through."""
        await self.give_back()
        if self.settings.on_store_error == "raise" or self._is_from_around(error):
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
        set_cookie = None if accepted or self.owed == "nothing" else self.set_cookie_header()  # of an earlier save()
        self.headers_gone = True
        try:
            await answer_unavailable(self.scope, send, accepted=accepted, set_cookie=set_cookie)
        except (OSError, RuntimeError):
            if not accepted:  # else the client has gone first
                raise
