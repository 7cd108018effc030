"""The life of a request: find the cookie, load, run the app, commit before the first header leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from asgi_session.cookie import Cookie
from asgi_session.exceptions import SessionConflict, SessionError, SessionNotLoaded, StoreError
from asgi_session.exchange import REGISTRY, Exchange
from asgi_session.request_cookie import cookie_values, path_matches
from asgi_session.response_headers import with_session_headers
from asgi_session.session import Session
from asgi_session.settings import OneSecret, OnStoreError, Settings, Unset, logger
from asgi_session.signing import Presented
from asgi_session.standing import report
from asgi_session.stores.base import Store
from asgi_session.stores.memory import MemoryStore
from asgi_session.unavailable import answer_unavailable

_STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start", "websocket.close"})
_BODIES = frozenset(
    {"http.response.body", "websocket.http.response.body", "http.response.pathsend", "http.response.zerocopysend"}
)


class SessionMiddleware:
    """Gives every HTTP and WebSocket connection a session: ``request.state.session`` and ``request.state.flash``.

    Args:
        app: the application.
        secret: signs the cookie: str, bytes or Starlette's Secret of 32 bytes or more, or several of them: the first
            signs, all verify.
        store: where sessions are kept; a `MemoryStore` by default.
        name: the cookie's name.
        cookie: the cookie's template, or a callable that gives one for a connection.
        genid: draws session ids; 24 random bytes as 32 characters by default.
        proxy: trust the first value of X-Forwarded-Proto.
        save_uninitialized: store new sessions although nothing was put into them.
        resave: write sessions back although nothing changed.
        rolling: send the cookie with a fresh expiry with every response of a stored session.
        touch_after: seconds; extend an unchanged session's life in the store at most this often, and at least every
            tenth of its age. 0: at every request.
        unset: what ``request.state.session = None`` does to the stored session: "keep" or "destroy".
        autoload: False: read the store only when `load_session`, `SessionDep` or `FlashDep` asks.
        on_store_error: "unavailable" (answer 503), "raise" (let `StoreError` through) or "anonymous" (go on with an
            empty session where it could not be loaded).
        store_timeout: seconds that one store call may take; None: no limit.

    Raises:
        TypeError: an option of a wrong type.
        ValueError: an option with a value that makes no sense.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        secret: OneSecret | Sequence[OneSecret],
        store: Store | None = None,
        name: str = "connect.sid",
        cookie: Cookie | Callable[[HTTPConnection], Cookie] | None = None,
        genid: Callable[[HTTPConnection], str] | None = None,
        proxy: bool = False,
        save_uninitialized: bool = False,
        resave: bool = False,
        rolling: bool = False,
        touch_after: float = 60,
        unset: Unset = "keep",
        autoload: bool = True,
        on_store_error: OnStoreError = "unavailable",
        store_timeout: float | None = 5.0,
    ) -> None:
        self.app = app
        self._settings = Settings(
            secret=secret,
            store=MemoryStore() if store is None else store,
            name=name,
            cookie=Cookie() if cookie is None else cookie,
            genid=genid,
            proxy=proxy,
            save_uninitialized=save_uninitialized,
            resave=resave,
            rolling=rolling,
            touch_after=touch_after,
            unset=unset,
            autoload=autoload,
            on_store_error=on_store_error,
            store_timeout=store_timeout,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        settings = self._settings
        if scope["type"] not in ("http", "websocket") or settings.name in scope.get(REGISTRY, ()):
            await self.app(scope, receive, send)
            return
        if not path_matches(scope, settings.cookie_for(scope).path):
            await self.app(scope, receive, send)
            return
        exchange = Exchange(settings, scope, self._presented(scope))
        response = _Response(settings, exchange, scope, send)
        try:
            if settings.autoload:
                await exchange.load()
            await self.app(scope, receive, response.send)
        except WebSocketDisconnect:  # the client hung up, which is a normal end
            await response.end()
            raise
        except (StoreError, SessionConflict) as error:
            if not await response.give_way_to(error):
                raise
        except BaseException:
            await exchange.give_back()
            raise
        else:
            await response.end()

    def _presented(self, scope: Scope) -> Presented | None:
        for value in cookie_values(scope["headers"], self._settings.wire_name):
            presented = self._settings.signer.unsign(value)
            if presented is not None:
                return presented
        return None


class _Response:
    """The response half: commits before the start goes out, and again where something changed later."""

    def __init__(self, settings: Settings, exchange: Exchange, scope: Scope, send: Send) -> None:
        self._settings = settings
        self._exchange = exchange
        self._scope = scope
        self._send = send
        self._started = False
        self._accepted = False
        self._saves = True  # False: the response failed, so nothing more is committed
        self._replaced = False  # 503 went out instead of the app's response

    async def send(self, message: Message) -> None:
        if self._replaced:
            return
        kind = message["type"]
        if kind in _STARTS and not self._started and message.get("status", 200) >= 200:
            await self._start(message)
            return
        if (kind in _BODIES and not message.get("more_body", False)) or kind == "websocket.close":
            await self._commit_late()
        await self._send(message)

    async def _start(self, message: Message) -> None:
        exchange = self._exchange
        kind = message["type"]
        if kind == "websocket.close":
            exchange.headers_gone = True
        if message.get("status", 200) >= 500:
            self._saves = False
            await exchange.give_back()
        elif self._saves and exchange.has_work():
            try:
                await exchange.commit()
            except (StoreError, SessionConflict) as error:
                self._saves = False
                await exchange.give_back()
                if self._settings.on_store_error == "raise":
                    raise
                await self._refuse(error)
                return
            except BaseException:
                self._saves = False
                await exchange.give_back()
                raise
        set_cookie = None if kind == "websocket.close" else exchange.set_cookie_header()
        vary = kind != "websocket.close" and exchange.session is not None and exchange.session.accessed
        if set_cookie is not None or vary:
            message = with_session_headers(message, set_cookie=set_cookie, vary=vary)
        exchange.headers_gone = True
        self._started = True
        self._accepted = kind == "websocket.accept"
        await self._send(message)

    async def _commit_late(self) -> None:
        """Save what changed after the start. Only the log can tell of a failure now."""
        if not self._saves or not self._started or not self._exchange.has_changes():
            return
        try:
            await self._exchange.commit()
        except (StoreError, SessionConflict) as error:
            report(error)
        except (SessionError, TypeError) as error:
            logger.error("Changes to a session after the response started were dropped: %s", type(error).__name__)

    async def end(self) -> None:
        """The app is done with this connection."""
        await self._commit_late()

    async def give_way_to(self, error: SessionError) -> bool:
        """Answer 503 instead of letting a failure of the store through; False where it is to be let through."""
        await self._exchange.give_back()
        if self._settings.on_store_error == "raise":
            return False
        if self._started and not self._accepted:
            report(error)
            return False
        await self._refuse(error)
        return True

    async def _refuse(self, error: SessionError) -> None:
        report(error)
        self._replaced = self._started = True
        await answer_unavailable(self._scope, self._send, accepted=self._accepted)


async def load_session(connection: HTTPConnection) -> Session:
    """The session of a connection, read from the store if that has not happened yet (``autoload=False``).

    Raises:
        SessionNotLoaded: no `SessionMiddleware` is in charge of this connection, or its path is outside the cookie's.
        StoreError: the store failed.
    """
    return await exchange_of(connection).load()


def exchange_of(connection: HTTPConnection, name: str | None = None) -> Exchange:
    """The exchange of a cookie name if there is one, else of the innermost middleware."""
    registry: dict[str, Exchange] = connection.scope.get(REGISTRY) or {}
    if not registry:
        raise SessionNotLoaded("no SessionMiddleware is in charge of this connection, or its path is not the cookie's")
    return registry[name] if name in registry else next(reversed(registry.values()))
