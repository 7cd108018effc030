"""How long a store call may take, and what becomes of it when its caller is cancelled.

A driver may ignore cancellation while its server hangs, so a deadline can't rely on it; and it may swallow one (as
`asyncio.wait_for` can before Python 3.12), so that a request would go on that was to end. So no request makes a
driver's calls itself: each runs in a task, its own or one that the store has for several, and past the deadline nobody
waits for it any more. A store whose methods never suspend needs neither task nor timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol, TypeVar

from anyio import CancelScope

from asgi_session.deadlines import Deadlines, Watch
from asgi_session.exceptions import StoreError
from asgi_session.stores.base import Record, is_marked
from asgi_session.stores.pending import InTask, Pending

T = TypeVar("T")

METHODS = ("get", "create", "replace", "touch", "destroy")
"""The names of what `Calls` has."""


class Hold:
    """A stretch of work that is finished before a cancellation goes on.

    Waits are not interrupted; the cancellation that came meanwhile is raised by `release`.
    """

    __slots__ = ("_cancelled",)

    def __init__(self) -> None:
        self._cancelled: asyncio.CancelledError | None = None

    async def until(self, future: asyncio.Future[Any], timeout: float | None) -> None:
        """Wait until the future is done, or for so many seconds."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while not future.done():
            left = None if deadline is None else deadline - loop.time()
            if left is not None and left <= 0:
                return
            try:
                await self.wait_for(asyncio.wait({future}, timeout=left))
            except asyncio.CancelledError as cancelled:
                self.keep(cancelled)

    async def wait_for(self, event: Awaitable[object]) -> None:
        """Await this; a cancellation interrupts it.

        With one held back, anyio's do not: it repeats them at every turn of the event loop until they come out.
        """
        if self._cancelled is None:
            await event
        else:
            with CancelScope(shield=True):
                await event

    def keep(self, cancelled: asyncio.CancelledError) -> None:
        """Hold a cancellation back."""
        self._cancelled = cancelled

    @property
    def cancelled(self) -> bool:
        """Whether one is held back."""
        return self._cancelled is not None

    def release(self) -> None:
        """Raise the cancellation that was held back, if any."""
        if self._cancelled is not None:
            raise self._cancelled


class Calls(Protocol):
    """What every store has to have: see `asgi_session.Store`."""

    def get(self, sid: str) -> Awaitable[Record | None]: ...
    def create(self, sid: str, record: Record) -> Awaitable[bool]: ...
    def replace(self, sid: str, record: Record, *, expected: Record) -> Awaitable[bool]: ...
    def touch(self, sid: str, expires: float | None) -> Awaitable[bool]: ...
    def destroy(self, sid: str, *, expected: Record | None = None) -> Awaitable[bool]: ...


class PatientStore:
    """The methods of a store, called under a deadline.

    They raise StoreError where the call raised something, with that as the cause, or took too long: its outcome is then
    ignored. That of a caller who was cancelled goes on until its deadline.

    Args:
        store: the store.
        deadlines: how long a call may take.
        hold: the work that the calls are part of. Without it a cancellation ends the waiting at once, and the call goes
            on until its deadline.
    """

    __slots__ = ("_deadlines", "_hold", "_store")

    def __init__(self, store: Calls, deadlines: Deadlines, hold: Hold | None = None) -> None:
        self._store = store
        self._deadlines = deadlines
        self._hold = hold

    def get(self, sid: str) -> Awaitable[Record | None]:
        return self._call(self._store.get, sid)

    def create(self, sid: str, record: Record) -> Awaitable[bool]:
        return self._call(self._store.create, sid, record)

    def replace(self, sid: str, record: Record, *, expected: Record) -> Awaitable[bool]:
        return self._call(self._store.replace, sid, record, expected=expected)

    def touch(self, sid: str, expires: float | None, **expected: Record | None) -> Awaitable[bool]:
        return self._call(self._store.touch, sid, expires, **expected)

    def destroy(self, sid: str, *, expected: Record | None = None) -> Awaitable[bool]:
        return self._call(self._store.destroy, sid, expected=expected)

    async def _call(self, method: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T:
        waiting = None
        try:
            if is_marked(method):
                return await method(*args, **kwargs)
            cancels = not getattr(self._store, "ends_by_itself", False)
            waiting = _Waiting(self._hold, self._deadlines.watch(), cancels)
            if is_marked(method, "takes_waiter"):
                return await method(*args, waiter=waiting, **kwargs)
            return await waiting.wait(InTask(partial(method, *args, **kwargs)))
        except StoreError:
            raise
        except Exception as error:
            raise store_error(error) from error
        finally:
            if waiting is not None:
                waiting.leave()


def store_error(error: Exception) -> StoreError:
    """What an exception out of a store counts as."""
    if isinstance(error, StoreError):
        return error
    failure = StoreError("the session store failed")
    failure.__cause__ = error
    return failure


def answers_at_once(store: Calls) -> bool:
    """Whether none of a store's methods ever suspends, so that its calls need no patience."""
    return all(is_marked(getattr(store, name)) for name in METHODS)


class _Waiting:
    """How one store call is waited for: until it ends, or its time is up.

    Args:
        hold: as `PatientStore` has it.
        watch: keeps the deadline.
        cancels: whether a call whose time is up is cancelled.
    """

    __slots__ = ("_cancels", "_hold", "_late", "_pending", "_watch")

    def __init__(self, hold: Hold | None, watch: Watch, cancels: bool) -> None:
        self._hold = hold
        self._watch = watch
        self._cancels = cancels
        self._late = False
        self._pending: Pending[Any] | None = None
        watch.begin(self)

    async def wait(self, pending: Pending[T]) -> T:
        self._pending = pending
        if self._late:  # since the one before has ended
            self.give_up()
        while not pending.ended:
            try:
                await (pending.arrival() if self._hold is None else self._hold.wait_for(pending.arrival()))
            except asyncio.CancelledError as cancelled:
                if self._hold is None:
                    raise
                self._hold.keep(cancelled)
        return pending.outcome()

    def leave(self) -> None:
        """Nobody waits any more. What is under way goes on until its time is up."""
        if self._pending is None or self._pending.ended:
            self._watch.end(self)
        else:
            self._pending.arrival().add_done_callback(lambda _: self._watch.end(self))

    def give_up(self) -> None:
        """The time is up."""
        self._late = True
        if self._pending is not None:
            self._pending.give_up(cancel=self._cancels)
