"""No session package: the handlers work on one dict in memory. What others take on top of this is what they cost."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Scope

from tests.benchmarks.contenders.base import Contender
from tests.benchmarks.request import plain


class Bare(Contender):
    name = "bare app"

    def __init__(self, data: dict[str, Any]) -> None:
        super().__init__(data)
        self._dict: dict[str, Any] = plain(data)

    def wrap(self, app: ASGIApp) -> ASGIApp:
        return app

    async def session(self, scope: Scope) -> MutableMapping[str, Any]:
        return self._dict
