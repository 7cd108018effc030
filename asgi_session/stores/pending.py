"""What comes of calls that are under way, and how it is waited for.

A request does not make a driver's call itself: the call runs in a task, and the request waits for what comes of it. So
the waiting can end while the call goes on, since a call that is cancelled midway may cost the driver a connection; and
it can go on after the request was cancelled.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from asgi_session.exceptions import StoreError

T = TypeVar("T")


class Pending(ABC, Generic[T]):
    """What comes of a call that is under way, for one at a time who waits for it. The first outcome counts.

    It is kept here: a task would wake who waits a round of the event loop later, and both tasks and futures complain
    about an error that nobody asked for.
    """

    __slots__ = ("_failure", "_loop", "_result", "_wake", "ended")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._wake: asyncio.Future[None] = loop.create_future()
        self._result: T | None = None
        self._failure: Exception | None = None
        self.ended = False
        """Whether there is an outcome."""

    def arrival(self) -> asyncio.Future[None]:
        """What is done as soon as there is an outcome. Who is cancelled while awaiting it can ask for it again."""
        if self._wake.cancelled():
            self._wake = self._loop.create_future()
            if self.ended:
                self._wake.set_result(None)
        return self._wake

    def outcome(self) -> T:
        """What the call returned, where there is an outcome. Raises what it raised."""
        if self._failure is not None:
            raise self._failure
        return self._result  # type: ignore[return-value]  # set where there is no failure

    def succeed(self, result: T) -> None:
        """The call returned something."""
        if not self.ended:
            self._result = result
            self._end()

    def fail(self, failure: Exception) -> None:
        """The call raised something."""
        if not self.ended:
            self._failure = failure
            self._end()

    def give_up(self, *, cancel: bool) -> asyncio.Task[None] | None:
        """Take it that no answer comes.

        Args:
            cancel: the call, too, unless others need it.

        Returns:
            The task that was cancelled.
        """
        self.fail(StoreError("the session store did not answer in time"))
        return self._let_go(cancel)

    def over(self) -> None:
        """The call is over; where there is no outcome, somebody cancelled it, as when an event loop is shut down."""
        if not self.ended:
            self.fail(StoreError("a call to the session store was cancelled"))

    @abstractmethod
    def _let_go(self, cancel: bool) -> asyncio.Task[None] | None:
        """The outcome does not matter any more. Arguments and result are those of `give_up`."""

    def _end(self) -> None:
        self.ended = True
        if not self._wake.done():
            self._wake.set_result(None)


class InTask(Pending[T]):
    """What comes of something that runs in a task of its own, in the caller's context.

    Args:
        work: what to await.
    """

    __slots__ = ("_task",)

    def __init__(self, work: Callable[[], Awaitable[T]]) -> None:
        super().__init__(asyncio.get_running_loop())
        self._task = self._loop.create_task(self._run(work))
        self._task.add_done_callback(lambda _: self.over())

    async def _run(self, work: Callable[[], Awaitable[T]]) -> None:
        try:
            self.succeed(await work())
        except Exception as error:
            self.fail(error)

    def _let_go(self, cancel: bool) -> asyncio.Task[None] | None:
        if not cancel:
            return None
        self._task.cancel()
        return self._task


class Waiter(Protocol):
    """How a store waits for the calls that one call of its own needs."""

    async def wait(self, pending: Pending[T]) -> T:
        """Wait for what comes of this. Raises what the call raised."""


class _UntilCancelled:
    """Waits until the caller is cancelled; then the call is, too, as if the caller had made it itself."""

    async def wait(self, pending: Pending[T]) -> T:
        try:
            await pending.arrival()
        except asyncio.CancelledError:
            task = pending.give_up(cancel=True)
            if task is not None:
                await asyncio.wait({task})  # until the driver has cleaned up
            raise
        return pending.outcome()


UNTIL_CANCELLED: Waiter = _UntilCancelled()
