"""Calls that come up at about the same time are made together: many requests under way, few round trips.

A call that nobody else is with is made at once. While `_ENOUGH` are on their way, those that come up wait for one to be
back, and go together: under load that takes less of the processor's time than each one by itself, and so less of
everybody's. They do not wait long, should the others be slow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import Context
from copy import copy
from typing import Generic, TypeVar

Call = TypeVar("Call")
Outcome = TypeVar("Outcome")

_ENOUGH = 2
_MOST = 8  # together; more save little, and the backend would have to wait for us, and we for it
_LONGEST_WAIT = 0.001  # seconds


class AloneError(Exception):
    """What comes of a call that has to be made alone after all."""


class Together(Generic[Call, Outcome]):
    """Makes calls alone, or together with others.

    Whoever is cancelled harms no other: what is made together ends early only when nobody waits for it any more.

    Args:
        alone: makes one call.
        together: makes one or more. Returns what came of each, in their order; an exception is raised for
            the caller of that one, but for `AloneError`. What it raises itself is raised for all.
    """

    __slots__ = ("_alone", "_latest", "_together")

    def __init__(
        self,
        alone: Callable[[Call], Awaitable[Outcome]],
        together: Callable[[Sequence[Call]], Awaitable[Sequence[Outcome | Exception]]],
    ) -> None:
        self._alone = alone
        self._together = together
        self._latest: _Gate[Call, Outcome] | None = None

    async def make(self, call: Call) -> Outcome:
        """Make a call, together with others if there are any."""
        loop = asyncio.get_running_loop()
        gate = self._latest
        if gate is None or gate.loop is not loop:  # another loop's goes on for the calls that it has
            gate = self._latest = _Gate(loop)
        group = gate.open
        if group is None:
            group = gate.open = _Group(gate, self._together)
            try:
                await gate.pause(group)
            except asyncio.CancelledError:
                group.begin()
                raise
            place = group.add(call) if group.calls else None
            group.begin()
            if place is None:
                gate.under_way += 1
                try:
                    return await self._alone(call)
                finally:
                    gate.one_is_back()
        else:
            place = group.add(call)
            if len(group.calls) + 1 >= _MOST:
                gate.open = None
                gate.go()
        outcome = await group.outcome(place)
        if isinstance(outcome, AloneError):
            return await self._alone(call)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class _Gate(Generic[Call, Outcome]):
    """Where the calls of one event loop wait for others to come with them."""

    __slots__ = ("_pause", "loop", "open", "under_way")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.open: _Group[Call, Outcome] | None = None
        """The calls that wait, but for the first of them, which waits for a pause to end."""
        self.under_way = 0
        self._pause: asyncio.Future[None] | None = None

    async def pause(self, group: _Group[Call, Outcome]) -> None:
        """Let others come into the group, until there is room, it is full or it has been long enough."""
        await asyncio.sleep(0)
        if self.under_way >= _ENOUGH and self.open is group:
            self._pause = self.loop.create_future()
            timer = self.loop.call_later(_LONGEST_WAIT, self.go)
            try:
                await self._pause
            finally:
                timer.cancel()

    def go(self) -> None:
        """End the pause."""
        if self._pause is not None and not self._pause.done():
            self._pause.set_result(None)

    def one_is_back(self) -> None:
        self.under_way -= 1
        self.go()


class _Group(Generic[Call, Outcome]):
    """Calls that are made together."""

    __slots__ = ("_gate", "_task", "_together", "calls")

    def __init__(
        self,
        gate: _Gate[Call, Outcome],
        together: Callable[[Sequence[Call]], Awaitable[Sequence[Outcome | Exception]]],
    ) -> None:
        self._gate = gate
        self.calls: dict[asyncio.Future[Outcome | Exception], Call] = {}
        """Those that somebody waits for."""
        self._together = together
        self._task: asyncio.Task[None] | None = None

    def add(self, call: Call) -> asyncio.Future[Outcome | Exception]:
        """Have a call made with the others. Returns its place among them, to wait for what comes of it."""
        place: asyncio.Future[Outcome | Exception] = self._gate.loop.create_future()
        self.calls[place] = call
        return place

    async def outcome(self, place: asyncio.Future[Outcome | Exception]) -> Outcome | Exception:
        """What comes of a call. A caller who is cancelled takes it out, if it is not being made yet."""
        try:
            return await place
        finally:
            del self.calls[place]
            if not self.calls and self._task is not None:
                self._task.cancel()  # no harm where it is done

    def begin(self) -> None:
        """Make the calls, if there are any. No more can be added."""
        if self._gate.open is self:  # else it is full
            self._gate.open = None
        if self.calls:
            # Not in the context of one of the callers, which may limit or bind what it does.
            self._task = self._gate.loop.create_task(self._make(), context=Context())

    async def _make(self) -> None:
        places, calls = [*self.calls], [*self.calls.values()]
        self._gate.under_way += 1
        try:
            outcomes = await self._together(calls)
        except Exception as error:
            outcomes = [error] * len(calls)
        except asyncio.CancelledError:  # by somebody else, if anybody still waits
            for place in places:
                place.cancel()
            raise
        finally:
            self._gate.one_is_back()
        for place, outcome in zip(places, outcomes, strict=True):
            if not place.done():
                place.set_result(_another(outcome) if isinstance(outcome, Exception) else outcome)


def _another(error: Exception) -> Exception:
    """The same without traceback and context, so that nobody's error shows what others did."""
    with suppress(Exception):
        return copy(error)
    return error
