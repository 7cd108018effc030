"""asgi_session with its memory store: as it comes, loading only on request, and with a cookie that has an age."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Scope

from asgi_session import Cookie, MemoryStore, SessionMiddleware, load_session
from tests.benchmarks.contenders.base import SECRET, Contender


class Ours(Contender):
    name = "asgi_session"

    def __init__(self, data: dict[str, Any]) -> None:
        super().__init__(data)
        self.store = MemoryStore()

    async def forget(self) -> None:
        await self.store.clear()

    def wrap(self, app: ASGIApp) -> ASGIApp:
        return SessionMiddleware(app, secret=SECRET, store=self.store)

    async def session(self, scope: Scope) -> MutableMapping[str, Any]:
        session: MutableMapping[str, Any] = scope["state"]["session"]
        return session

    async def flash_set(self, scope: Scope) -> None:
        scope["state"]["flash"]("info", "Saved your changes")

    async def flash_read(self, scope: Scope) -> None:
        scope["seen"] = scope["state"]["flash"]("info")


class OursUnloaded(Ours):
    name = "asgi_session, autoload=False"

    def wrap(self, app: ASGIApp) -> ASGIApp:
        return SessionMiddleware(app, secret=SECRET, store=self.store, autoload=False)

    async def session(self, scope: Scope) -> MutableMapping[str, Any]:
        return await load_session(HTTPConnection(scope))

    async def flash_set(self, scope: Scope) -> None:
        await load_session(HTTPConnection(scope))
        await super().flash_set(scope)

    async def flash_read(self, scope: Scope) -> None:
        await load_session(HTTPConnection(scope))
        await super().flash_read(scope)


class OursWithAge(Ours):
    name = "asgi_session, max_age"

    def wrap(self, app: ASGIApp) -> ASGIApp:
        return SessionMiddleware(app, secret=SECRET, store=self.store, cookie=Cookie(max_age=14 * 86400))
