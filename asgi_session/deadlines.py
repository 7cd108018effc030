"""Until when calls may take: one timer serves all that may take the same time, as the first to begin is due first."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Limited(Protocol):
    """What has a deadline."""

    def give_up(self) -> None: ...


class Deadlines:
    """Deadlines for calls that may take the same time, in whichever event loop they run.

    Args:
        timeout: that time in seconds; None: as long as they like.
    """

    __slots__ = ("_latest", "_timeout")

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self._latest: Watch | None = None

    def watch(self) -> Watch:
        """The watch of the running event loop."""
        loop = asyncio.get_running_loop()
        watch = self._latest
        if watch is None or watch.loop is not loop:  # another loop's goes on for the calls that it has
            watch = self._latest = Watch(loop, self._timeout)
        return watch


class Watch:
    """Keeps the deadlines of one event loop's calls.

    Args:
        loop: the event loop.
        timeout: seconds that each call may take; None: no limit.
    """

    __slots__ = ("_due", "_timeout", "_timer", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float | None) -> None:
        self.loop = loop
        self._timeout = timeout
        self._due: dict[Limited, float] = {}  # in the order of time
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, call: Limited) -> None:
        """Let a call's time begin; it is told to give up when that is over."""
        if self._timeout is not None:
            due = self._due[call] = self.loop.time() + self._timeout
            if self._timer is None:
                self._timer = self.loop.call_at(due, self._look)

    def end(self, call: Limited) -> None:
        """The call has ended."""
        self._due.pop(call, None)

    def _look(self) -> None:
        self._timer = None
        now = self.loop.time()
        for call, due in [*self._due.items()]:
            if due > now:
                self._timer = self.loop.call_at(due, self._look)
                return
            del self._due[call]
            call.give_up()
