"""The life of a request: find the cookie, load, run the app, commit before the first header leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_session.cookie import Cookie
from asgi_session.cookie_path import path_matches
from asgi_session.exception_groups import essence
from asgi_session.exceptions import SessionNotLoaded
from asgi_session.exchange import Exchange
from asgi_session.presence import IN_CHARGE
from asgi_session.response import Response
from asgi_session.secret_bytes import SomeSecret
from asgi_session.session import Session
from asgi_session.settings import OnStoreError, Settings, Unset
from asgi_session.stores.base import Store
from asgi_session.stores.memory import MemoryStore


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
        secret: SomeSecret | Sequence[SomeSecret],
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
        app, settings = self.app, self._settings
        outer: Response | None = scope.get(IN_CHARGE)
        if scope["type"] not in ("http", "websocket") or (outer is not None and _find(outer, settings.name)):
            await app(scope, receive, send)
            return
        template = settings.template or settings.template_for(scope)
        if template.path != "/" and not path_matches(scope, template.path):
            await app(scope, receive, send)
            return
        response = scope[IN_CHARGE] = Response(settings, scope, send, template)
        if outer is not None:
            response.stand_within(outer)
        try:
            if settings.autoload:
                loading = response.begin()
                if loading is not None:
                    await loading
            else:
                response.begin_without()
            await app(scope, receive, response.send)
        except BaseException as error:
            if not await response.absorb(essence(error)):
                raise
        else:
            if not response.headers_gone or response.claims is not None or response.has_changes():
                await response.finish()
        finally:
            session = response.session
            if session is not None:
                session._owner = None  # else garbage would wait for a collector
            if outer is None:
                scope.pop(IN_CHARGE, None)
            else:
                response.step_back(outer)


async def load_session(connection: HTTPConnection) -> Session:
    """The session of a connection, read from the store if that has not happened yet (``autoload=False``).

    Raises:
        SessionNotLoaded: no `SessionMiddleware` is in charge of this connection, or its path is outside the cookie's.
        StoreError: the store failed.
    """
    return await exchange_of(connection).load_for(connection.scope)


def exchange_of(connection: HTTPConnection, name: str | None = None) -> Exchange:
    """The exchange of the middleware with this cookie name; None: of the innermost.

    Raises:
        SessionNotLoaded: there is none.
    """
    exchange: Exchange | None = connection.scope.get(IN_CHARGE)
    if name is not None:
        exchange = _find(exchange, name)
    if exchange is None:
        which = "" if name is None else " with this cookie name"
        raise SessionNotLoaded(
            f"no SessionMiddleware{which} is in charge of this connection, or its path is not the cookie's"
        )
    return exchange


def _find(exchange: Exchange | None, name: str) -> Exchange | None:
    """The exchange of a cookie name, from the innermost middleware outwards."""
    while exchange is not None and exchange.settings.name != name:
        exchange = exchange.outer
    return exchange
