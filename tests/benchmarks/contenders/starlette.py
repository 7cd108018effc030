"""Starlette's own `SessionMiddleware`: the data itself, signed, in the cookie."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from starlette.middleware.sessions import SessionMiddleware
from starlette.types import ASGIApp, Scope

from tests.benchmarks.contenders.base import SECRET, Contender


class StarletteCookie(Contender):
    name = "Starlette"

    def wrap(self, app: ASGIApp) -> ASGIApp:
        return SessionMiddleware(app, secret_key=SECRET)

    async def session(self, scope: Scope) -> MutableMapping[str, Any]:
        session: MutableMapping[str, Any] = scope["session"]
        return session

    async def flash_set(self, scope: Scope) -> None:
        # It does not see changes inside a value; its property on the request does this call.
        scope["session"].mark_modified()
        await super().flash_set(scope)
