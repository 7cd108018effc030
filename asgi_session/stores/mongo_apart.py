"""How MongoStore keeps out of its caller's transactions: what is saved is saved, whatever becomes of them."""

from __future__ import annotations

import sys
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any


def variable(module: str, name: str) -> ContextVar[Any] | None:
    """A context variable of PyMongo's, which has no public way to ask; None in a version without it."""
    found = getattr(sys.modules.get(module), name, None)
    return found if isinstance(found, ContextVar) else None


_BOUND = variable("pymongo.asynchronous.client_session", "_SESSION")


class Apart:
    """A context in which the driver takes no part in the session that the caller bound (`AsyncClientSession.bind`)."""

    __slots__ = ("_token",)

    def __enter__(self) -> None:
        self._token: Token[Any] | None = None
        if _BOUND is not None and _BOUND.get(None) is not None:
            self._token = _BOUND.set(None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if _BOUND is not None and self._token is not None:
            _BOUND.reset(self._token)
