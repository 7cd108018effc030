"""The response half of a request: commits before the start goes out, and again where something changed later."""

from __future__ import annotations

from collections.abc import Awaitable

from starlette.types import Message, Send

from asgi_session.decision import CookieAction
from asgi_session.exceptions import SessionConflict, SessionError, StoreError
from asgi_session.exchange import Exchange
from asgi_session.response_headers import with_session_headers
from asgi_session.settings import logger
from asgi_session.standing import report
from asgi_session.unavailable import answer_unavailable

_STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start", "websocket.close"})
_BODIES = frozenset(
    {"http.response.body", "websocket.http.response.body", "http.response.pathsend", "http.response.zerocopysend"}
)


class Response:
    """What the app sends, on its way to the server."""

    _accepted = False  # a WebSocket is open
    _saves = True  # False: the response failed, so nothing more is committed
    _replaced = False  # 503 went out instead of the app's response

    def __init__(self, exchange: Exchange, send: Send) -> None:
        self._exchange = exchange
        self._send = send

    def send(self, message: Message) -> Awaitable[None]:
        """Pass a message on; the server's own awaitable where there is nothing to do."""
        kind = message["type"]
        exchange = self._exchange
        if not exchange.headers_gone and kind in _STARTS:
            status = message.get("status", 200)
            if kind == "http.response.start" and 200 <= status < 500 and not exchange.leaves_a_trace():
                exchange.headers_gone = True
            elif status >= 200:
                return self._start(message)
            return self._send(message)
        if self._replaced:
            return _nothing()
        last = not message.get("more_body", False) if kind in _BODIES else kind == "websocket.close"
        if last and (self._accepted or exchange.has_changes() or exchange.has_claims()):
            return self._end(message)
        return self._send(message)

    async def _start(self, message: Message) -> None:
        exchange = self._exchange
        kind = message["type"]
        closing = kind == "websocket.close"
        exchange.headers_gone = closing  # then no cookie goes with what is committed
        if message.get("status", 200) >= 500:
            self._saves = False
            await exchange.give_back()
        elif self._saves and exchange.has_work() and not await self._commit():
            return
        if not closing:
            set_cookie = None if exchange.owed is CookieAction.NOTHING else exchange.set_cookie_header()
            vary = exchange.session is not None and exchange.session.accessed
            if vary or set_cookie is not None:
                message = with_session_headers(message, set_cookie=set_cookie, vary=vary)
        exchange.headers_gone = True
        self._accepted = kind == "websocket.accept"
        await self._send(message)

    async def _commit(self) -> bool:
        """Commit before the start; False where the app's response must not go out."""
        try:
            await self._exchange.commit()
        except BaseException as error:
            self._saves = False
            await self._exchange.give_back()
            refused = isinstance(error, StoreError | SessionConflict)
            if not refused or self._exchange.settings.on_store_error == "raise":
                raise
            await self._refuse(error)
            return False
        return True

    async def _end(self, message: Message) -> None:
        await self.commit_late()
        self._accepted = False
        await self._send(message)
        await self._exchange.settle_claims()

    async def hang_up(self) -> None:
        """Save what changed on a connection that the client has closed, be it before the accept."""
        self._exchange.headers_gone = True
        await self.commit_late()

    async def commit_late(self) -> None:
        """Save what changed after the start. Only the log can tell of a failure now, and nothing is tried twice."""
        exchange = self._exchange
        if not self._saves or not exchange.headers_gone or not exchange.has_changes():
            return
        try:
            await exchange.commit()
        except (StoreError, SessionConflict) as error:
            self._saves = False
            report(error)
        except (SessionError, TypeError) as error:
            self._saves = False
            logger.error("Changes to a session after the response started were dropped: %s", type(error).__name__)

    async def give_way_to(self, error: SessionError) -> bool:
        """Answer 503 instead of letting a failure of the store through; False where it is to be let through."""
        await self._exchange.give_back()
        if self._exchange.settings.on_store_error == "raise":
            return False
        if self._exchange.headers_gone and not self._accepted:
            report(error)
            return True
        await self._refuse(error)
        return True

    async def _refuse(self, error: BaseException) -> None:
        report(error)
        self._replaced = self._exchange.headers_gone = True
        await answer_unavailable(self._exchange.scope, self._send, accepted=self._accepted)


async def _nothing() -> None:
    """What is left of a message that must not go out."""
