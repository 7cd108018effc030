"""The contract between sessions and the place where they are kept.

A store maps a session id to a `Record`: a text that it never interprets, and a time of death. It knows nothing of
cookies, signing or HTTP. Two rules hold for every store:

1. A record whose time has come does not exist, whether or not the backend has removed it yet.
2. A write says what it expects to find, so that it can't undo what it has not seen.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from inspect import signature
from types import TracebackType
from typing import Literal, Self, TypeVar

Method = TypeVar("Method", bound=Callable[..., object])


def never_suspends(method: Method) -> Method:
    """Mark a store's method that never suspends: its calls need no deadline and no task."""
    method.never_suspends = method  # type: ignore[attr-defined]  # so that a wrapper's copy of it marks nothing
    return method


def takes_waiter(method: Method) -> Method:
    """Mark a store's method that takes ``waiter`` as a keyword, and awaits nothing but what that waits for.

    Its calls need no task: whoever makes them says how they are waited for (see `asgi_session.stores.pending`).
    """
    method.takes_waiter = method  # type: ignore[attr-defined]
    return method


def is_marked(method: object, mark: Literal["never_suspends", "takes_waiter"] = "never_suspends") -> bool:
    """Whether this very method bears the mark."""
    function = getattr(method, "__func__", method)
    return getattr(function, mark, None) is function


def checked_ttl(ttl: float) -> float:
    """A `Store.ttl`; TypeError where it is no number, ValueError where it is not positive and finite."""
    if isinstance(ttl, bool) or not isinstance(ttl, int | float):
        raise TypeError("ttl must be a number of seconds")
    if not 0 < ttl < math.inf:
        raise ValueError("ttl must be a positive number of seconds")
    return ttl


def touch_compares(store: object) -> bool:
    """Whether a store's `touch` takes ``expected``."""
    return "expected" in signature(store.touch).parameters  # type: ignore[attr-defined]


class Record:
    """What a store holds under one id: the payload, and when it dies. Not to be changed once made.

    Args:
        payload: the session as JSON text.
        expires: Unix time in seconds. None only goes into a store, where it means `Store.ttl` from now; a record
            that comes out of a store has its effective expiry.
    """

    __slots__ = ("_text", "_utf8", "expires")

    def __init__(self, payload: str, expires: float | None) -> None:
        self._text: str | None = payload
        self._utf8: bytes | None = None
        self.expires: float | None = expires

    @property
    def payload(self) -> str:
        """The session as JSON text."""
        if self._text is None:
            self._text = self.utf8.decode("utf-8", "surrogatepass")
        return self._text

    @property
    def utf8(self) -> bytes:
        """The session as JSON in UTF-8, lone surrogates as the three bytes that they would have."""
        if self._utf8 is None:
            self._utf8 = self.payload.encode("utf-8", "surrogatepass")
        return self._utf8

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Record):
            return NotImplemented
        return self.payload == other.payload and self.expires == other.expires

    def __hash__(self) -> int:
        return hash((self.payload, self.expires))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self.payload)} characters>"


class Utf8Record(Record):
    """A record whose payload is at hand as bytes.

    Args:
        utf8: the payload in UTF-8.
        expires: as `Record` has it.
        text: the payload, where that is at hand, too; None: it is made of the bytes if somebody asks for it.
    """

    __slots__ = ("utf8",)

    utf8: bytes

    def __init__(self, utf8: bytes, expires: float | None, text: str | None = None) -> None:
        self._text = text
        self.utf8 = utf8
        self.expires = expires


class RenewedRecord(Utf8Record):
    """A record for a new id of a session whose data is kept.

    Args:
        utf8: the payload in UTF-8.
        expires: as `Record` has it.
        origin: the record under the old id, as it was read; a store may keep how unchanged values stand there.
    """

    __slots__ = ("origin",)

    def __init__(self, utf8: bytes, expires: float | None, origin: Record) -> None:
        super().__init__(utf8, expires)
        self.origin = origin


class Store(ABC):
    """Base of all stores. `asgi_session.testing.StoreContract` checks an implementation.

    Every failure of the backend is raised as `StoreError`, with the backend's error as its cause. A write whose reply
    was lost has failed: a store never repeats a `create` or a `replace` on its own.
    """

    ttl: float = 14 * 86400
    """Life in seconds of a record stored with ``expires=None``. Two weeks, as in connect-mongo."""

    ends_by_itself: bool = False
    """Whether a call that took too long is left alone instead of cancelled: its driver ends it, and may take harm."""

    @abstractmethod
    async def get(self, sid: str) -> Record | None:
        """The record, with its effective expiry; None where it is missing or expired."""

    @abstractmethod
    async def create(self, sid: str, record: Record) -> bool:
        """Store a record under an id that has none; False, and nothing written, where there is a live one."""

    @abstractmethod
    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        """Overwrite the record if its payload is still `expected`'s; else False, and nothing written.

        `expected` is the record as `get` returned it, or as it was last written. Only the payload is compared, so that
        a touch in between does not matter.
        """

    @abstractmethod
    async def touch(self, sid: str, expires: float | None) -> bool:
        """Set a live record's expiry and nothing else; False, and nothing written, where there is none.

        A store that can may take ``expected: Record | None = None`` as a keyword, and then, where it is given, touch
        the record only if its payload is still that one: so a request that only read does not undo the age that another
        one gave the session meanwhile.
        """

    @abstractmethod
    async def destroy(self, sid: str, *, expected: Record | None = None) -> bool:
        """Delete a live record, with `expected` only if its payload is still that one; False: nothing was deleted."""

    def ids(self) -> AsyncIterator[str]:
        """The ids of all live records, in any order. Optional."""
        raise NotImplementedError(f"{type(self).__name__} does not list its ids")

    async def length(self) -> int:
        """How many live records there are. Optional: counts `ids()` unless the store knows better."""
        return sum([1 async for _ in self.ids()])

    async def clear(self) -> None:
        """Delete every record. Optional."""
        raise NotImplementedError(f"{type(self).__name__} does not clear itself")

    async def purge(self) -> int:
        """Remove expired records that the backend still holds; returns how many. Optional; 0 where it does itself."""
        return 0

    async def aclose(self) -> None:  # noqa: B027  # optional: most stores have nothing to close
        """Release what the store itself opened; a client that was handed in stays open."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
