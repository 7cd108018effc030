"""Litestar's server-side session over its memory store, its middleware alone around the same app as the others'."""

from __future__ import annotations

from collections.abc import Awaitable, MutableMapping
from importlib import import_module
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from tests.benchmarks.contenders.base import Contender


async def _cart() -> str:
    return "ok"


class LitestarServerSide(Contender):
    name = "Litestar"

    def __init__(self, data: dict[str, Any]) -> None:
        super().__init__(data)
        # By name at run time: the package is in the benchmark's environment only, not where types are checked.
        self._base = import_module("litestar.middleware.session.base")
        server_side = import_module("litestar.middleware.session.server_side")
        self._store = import_module("litestar.stores.memory").MemoryStore()
        self._backend = server_side.ServerSideSessionBackend(server_side.ServerSideSessionConfig())
        framework = import_module("litestar")
        self._handler = framework.get("/cart")(_cart)
        self._app = framework.Litestar([self._handler], stores={"sessions": self._store})

    async def forget(self) -> None:
        self._store._store.clear()

    def wrap(self, app: ASGIApp) -> ASGIApp:
        middleware = self._base.SessionMiddleware(app, self._backend)

        def wrapped(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
            # The middleware finds its store and its encoders through what Litestar's router has put there.
            scope["app"] = scope["litestar_app"] = self._app
            scope["route_handler"] = self._handler
            call: Awaitable[None] = middleware(scope, receive, send)
            return call

        return wrapped

    async def session(self, scope: Scope) -> MutableMapping[str, Any]:
        session: MutableMapping[str, Any] = scope["session"]
        return session
