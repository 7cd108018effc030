"""How long a store call may take, and what becomes of it when its caller is cancelled.

A driver may ignore cancellation while its server hangs, so a deadline can't rely on it: the call runs in a task of its
own, and past the deadline nobody waits for that task any more. A store whose methods never suspend needs neither task
nor timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from asgi_session.exceptions import StoreError

T = TypeVar("T")


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
                await asyncio.wait({future}, timeout=left)
            except asyncio.CancelledError as cancelled:
                self._cancelled = cancelled

    def release(self) -> None:
        """Raise the cancellation that was held back, if any."""
        if self._cancelled is not None:
            raise self._cancelled


async def call_store(
    method: Callable[..., Awaitable[T]],
    *args: Any,
    timeout: float | None,
    hold: Hold | None = None,
    **kwargs: Any,
) -> T:
    """Call a store's method under a deadline.

    Args:
        timeout: seconds; None: no deadline.
        hold: the work that this call is part of; without it a cancellation ends the call at once.

    Raises:
        StoreError: the call raised something, with that as the cause, or took too long: its outcome is then ignored.
    """
    try:
        if answers_at_once(method):
            return await method(*args, **kwargs)
        call = asyncio.create_task(_called(method, args, kwargs))
        if hold is not None:
            await hold.until(call, timeout)
        else:
            try:
                await asyncio.wait({call}, timeout=timeout)
            except asyncio.CancelledError:
                _leave_to_itself(call, timeout)
                raise
        if call.done() and not call.cancelled():
            return call.result()
        _abandon(call)
    except StoreError:
        raise
    except Exception as error:
        raise StoreError("the session store failed") from error
    raise StoreError("the session store did not answer in time")


def answers_at_once(method: Callable[..., object]) -> bool:
    """Whether a store's method is marked as never suspending."""
    return getattr(method, "never_suspends", False) is True


async def _called(method: Callable[..., Awaitable[T]], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
    return await method(*args, **kwargs)


def _leave_to_itself(call: asyncio.Task[Any], timeout: float | None) -> None:
    """Let a call that nobody waits for come to its end: cancelled midway, it would cost the driver a connection."""
    call.add_done_callback(_ignore)
    if timeout is not None:
        asyncio.get_running_loop().call_later(timeout, call.cancel)


def _abandon(call: asyncio.Task[Any]) -> None:
    call.cancel()
    call.add_done_callback(_ignore)


def _ignore(call: asyncio.Task[Any]) -> None:
    if not call.cancelled():
        call.exception()
