"""What the benchmark asks of a contender: wrap an app, get at the session, and forget everything."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import MutableMapping
from typing import Any, ClassVar

from starlette.types import ASGIApp, Scope

from tests.benchmarks.request import plain

SECRET = "benchmark-secret-of-more-than-32-bytes"


class Contender(ABC):
    """One way to have sessions, and what a handler does with them.

    The methods that take a scope are the handlers of the cells. They are the same for all but where a package has an
    interface of its own for the purpose.
    """

    name: ClassVar[str]

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data

    @abstractmethod
    def wrap(self, app: ASGIApp) -> ASGIApp:
        """`app` with sessions."""

    @abstractmethod
    async def session(self, scope: Scope) -> MutableMapping[str, Any]:
        """The session of this request, loaded."""

    async def forget(self) -> None:  # noqa: B027
        """Drop all stored sessions, so that memory does not grow while new ones are timed."""

    async def nothing(self, scope: Scope) -> None:  # noqa: B027
        """Leave the session alone."""

    async def read(self, scope: Scope) -> None:
        """Look at a scalar."""
        (await self.session(scope))["count"]

    async def read_nested(self, scope: Scope) -> None:
        """Look at a value inside a value."""
        (await self.session(scope))["cart"]["currency"]

    async def write(self, scope: Scope) -> None:
        """Count."""
        (await self.session(scope))["count"] += 1

    async def fill(self, scope: Scope) -> None:
        """Put the whole payload in: a new session where the request brought none."""
        (await self.session(scope)).update(self.data)

    async def flash_set(self, scope: Scope) -> None:
        """Queue a message for the next page."""
        (await self.session(scope)).setdefault("flash", {}).setdefault("info", []).append("Saved your changes")

    async def flash_read(self, scope: Scope) -> None:
        """Take the messages out."""
        scope["seen"] = (await self.session(scope)).pop("flash", {}).get("info", [])

    async def snapshot(self, scope: Scope) -> None:
        """Copy the session's content for a check outside; never timed."""
        scope["seen"] = plain(dict(await self.session(scope)))
