"""starsessions: sessions in a store under an unsigned random id, loaded when a handler asks, saved whenever loaded."""

from __future__ import annotations

from collections.abc import MutableMapping
from importlib import import_module
from typing import Any

from starlette.types import ASGIApp, Scope

from tests.benchmarks.contenders.base import Contender


class Starsessions(Contender):
    name = "starsessions"

    def __init__(self, data: dict[str, Any]) -> None:
        super().__init__(data)
        # By name at run time: the package is in the benchmark's environment only, not where types are checked.
        self._package = import_module("starsessions")
        self._store = self._package.InMemoryStore()

    async def forget(self) -> None:
        self._store.data.clear()

    def wrap(self, app: ASGIApp) -> ASGIApp:
        wrapped: ASGIApp = self._package.SessionMiddleware(app, store=self._store)
        return wrapped

    async def session(self, scope: Scope) -> MutableMapping[str, Any]:
        await scope["session_handler"].load()
        session: MutableMapping[str, Any] = scope["session"]
        return session
