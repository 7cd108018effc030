"""How long a store call may take, and what becomes of it when its caller is cancelled.

A driver may ignore cancellation while its server hangs, so a deadline can't rely on it; and it may swallow one (as
`asyncio.wait_for` can before Python 3.12), so that a request would go on that was to end. So the call runs in a task of
its own, and past the deadline nobody waits for that task any more. A store whose methods never suspend needs neither
task nor timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

from anyio import CancelScope

from asgi_session.deadlines import Deadlines, Watch
from asgi_session.exceptions import StoreError
from asgi_session.stores.base import Record, is_marked

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
    ignored.

    Args:
        store: the store.
        deadlines: how long a call may take.
        hold: the work that the calls are part of; without it a cancellation ends a call at once.
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

    def _call(self, method: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> Awaitable[T]:
        if is_marked(method):
            return method(*args, **kwargs)
        return _Call(method, args, kwargs, self._deadlines.watch()).outcome(self._hold)


def answers_at_once(store: Calls) -> bool:
    """Whether none of a store's methods ever suspends, so that its calls need no patience."""
    return all(is_marked(getattr(store, name)) for name in METHODS)


class _Call(Generic[T]):
    """A call in a task of its own, under way until it ends or its time is up.

    That of a caller who was cancelled goes on likewise: cancelled midway, it would cost the driver a connection.
    The first outcome counts. It is kept here: a task would wake its caller a round of the event loop later, and both
    tasks and futures complain about an error that nobody asked for.
    """

    __slots__ = ("_ended", "_failure", "_method", "_result", "_task", "_wake", "_watch")

    def __init__(
        self,
        method: Callable[..., Awaitable[T]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        watch: Watch,
    ) -> None:
        self._method = method
        self._result: T | None = None
        self._failure: Exception | None = None
        self._ended = False
        self._wake: asyncio.Future[None] = watch.loop.create_future()
        self._watch = watch
        watch.begin(self)
        self._task = watch.loop.create_task(self._run(args, kwargs))

    async def outcome(self, hold: Hold | None) -> T:
        """Wait for what the method returns or raises."""
        while not self._ended:
            try:
                await (self._wake if hold is None else hold.wait_for(self._wake))
            except asyncio.CancelledError as cancelled:
                if hold is None:
                    raise
                hold.keep(cancelled)
                if not self._ended:
                    self._wake = asyncio.get_running_loop().create_future()
        if isinstance(self._failure, StoreError):
            raise self._failure
        if self._failure is not None:
            raise StoreError("the session store failed") from self._failure
        return self._result  # type: ignore[return-value]  # set where there is no failure

    async def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            self._result = await self._method(*args, **kwargs)
            self._end(None)
        except Exception as error:
            self._end(error)
        finally:
            self._watch.end(self)
            if not self._ended:  # somebody cancelled it
                self._end(_no_answer())

    def give_up(self) -> None:
        """Wait no longer."""
        self._end(_no_answer())
        store = getattr(self._method, "__self__", None)
        if not getattr(store, "ends_by_itself", False):
            self._task.cancel()

    def _end(self, failure: Exception | None) -> None:
        if not self._ended:
            self._ended = True
            self._failure = failure
            if not self._wake.done():
                self._wake.set_result(None)


def _no_answer() -> StoreError:
    return StoreError("the session store did not answer in time")
