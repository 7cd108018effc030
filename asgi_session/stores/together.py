"""Calls that come up at about the same time are made together: many requests under way, few round trips.

A call that nobody else is with is made at once. While `_ENOUGH` are on their way, those that come up wait for one to be
back, and go together: under load that takes less of the processor's time than each one by itself, and so less of
everybody's. They do not wait long, should the others be slow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from contextvars import Context
from copy import copy
from typing import Any, Generic, TypeVar

from asgi_session.stores.pending import Pending

Call = TypeVar("Call")
Outcome = TypeVar("Outcome")

_ENOUGH = 2
_MOST = 8  # together; more save little, and the backend would have to wait for us, and we for it
_LONGEST_WAIT = 0.001  # seconds


class AloneError(Exception):
    """What comes of a call that has to be made alone after all."""


class Together(Generic[Call, Outcome]):
    """Makes calls alone, or together with others.

    Whoever gives up harms no other: what is made together is cancelled only when nobody waits for it any more.

    Args:
        alone: makes one call. It is made in its caller's context, where it was alone from the start.
        together: makes one or more, in nobody's context. Returns what came of each, in their order; an exception is
            raised for the caller of that one, but for `AloneError`. What it raises itself is raised for all.
    """

    __slots__ = ("_latest", "alone", "together")

    def __init__(
        self,
        alone: Callable[[Call], Awaitable[Outcome]],
        together: Callable[[Sequence[Call]], Awaitable[Sequence[Outcome | Exception]]],
    ) -> None:
        self.alone = alone
        self.together = together
        self._latest: _Gate[Call, Outcome] | None = None

    def begin(self, call: Call) -> Pending[Outcome]:
        """Have a call made, together with others if there are any."""
        loop = asyncio.get_running_loop()
        gate = self._latest
        if gate is None or gate.loop is not loop:  # another loop's goes on for the calls that it has
            gate = self._latest = _Gate(loop)
        if gate.open is None or gate.open.is_cancelled():
            gate.open = _Group(self, gate)
        return gate.open.add(call)


class _Gate(Generic[Call, Outcome]):
    """Where the calls of one event loop wait for others to come with them."""

    __slots__ = ("_pause", "loop", "open", "under_way")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.open: _Group[Call, Outcome] | None = None
        """The calls that wait."""
        self.under_way = 0
        self._pause: asyncio.Future[None] | None = None

    async def pause(self) -> None:
        """Let others come, until there is room for what is open, it is full or it has been long enough."""
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


class _Place(Pending[Outcome], Generic[Call, Outcome]):
    """What comes of one call of a group."""

    __slots__ = ("group",)

    def __init__(self, group: _Group[Call, Outcome], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.group = group

    def _let_go(self, cancel: bool) -> asyncio.Task[None] | None:
        return self.group.leave(self, cancel)


class _Group(Generic[Call, Outcome]):
    """Calls that came up together: they are made by a task, which several leave to another one, in nobody's context."""

    __slots__ = ("_first", "_gate", "_task", "_ways", "calls")

    _task: asyncio.Task[None]

    def __init__(self, ways: Together[Call, Outcome], gate: _Gate[Call, Outcome]) -> None:
        self._ways = ways
        self._gate = gate
        self.calls: dict[_Place[Call, Outcome], Call] = {}
        """Those that somebody waits for."""
        self._first: _Place[Call, Outcome] | None = None
        """That of the caller in whose context the first task is."""

    def add(self, call: Call) -> Pending[Outcome]:
        """Have a call made with the others."""
        gate = self._gate
        place: _Place[Call, Outcome] = _Place(self, gate.loop)
        self.calls[place] = call
        if self._first is None:
            self._first = place
            self._begin(self._make())
        elif len(self.calls) == _MOST:
            gate.open = None
            gate.go()
        return place

    def leave(self, place: _Place[Call, Outcome], cancel: bool) -> asyncio.Task[None] | None:
        """One of them does not matter any more. Returns the task, if that was cancelled."""
        self.calls.pop(place, None)
        if self.calls or not cancel or self._gate.open is self:  # others may still come
            return None
        self._task.cancel()
        return self._task

    def is_cancelled(self) -> bool:
        """Whether somebody cancelled its task, so that it makes no calls any more."""
        return self._task.cancelling() > 0

    def _begin(self, work: Coroutine[Any, Any, None], context: Context | None = None) -> None:
        self._task = self._gate.loop.create_task(work, context=context)
        self._task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        """A task has ended; if somebody cancelled it, maybe before it began."""
        if task is self._task:  # else there is another one by now
            for place in self.calls:
                place.over()
            self.calls = {}  # else this and its places would be garbage for the collector
            self._first = None

    async def _make(self) -> None:
        gate = self._gate
        if gate.under_way >= _ENOUGH and gate.open is self:
            await gate.pause()
        if gate.open is self:  # else it is full
            gate.open = None
        first = self._first
        if first in self.calls and len(self.calls) == 1:
            await self._make_alone(first, self.calls[first])
        elif self.calls:
            # Not in the context of one of the callers, which may limit or bind what it does.
            self._begin(self._make_together([*self.calls], [*self.calls.values()]), Context())

    async def _make_alone(self, place: _Place[Call, Outcome], call: Call) -> None:
        self._gate.under_way += 1
        try:
            place.succeed(await self._ways.alone(call))
        except Exception as error:
            place.fail(error)
        finally:
            self._gate.one_is_back()

    async def _make_together(self, places: Sequence[_Place[Call, Outcome]], calls: Sequence[Call]) -> None:
        self._gate.under_way += 1
        outcomes: Sequence[Outcome | Exception]
        try:
            outcomes = await self._ways.together(calls)
        except Exception as error:
            outcomes = [error] * len(calls)
        finally:
            self._gate.one_is_back()
        for place, outcome in zip(places, outcomes, strict=True):
            if isinstance(outcome, AloneError):
                self._leave_alone(place)
            elif isinstance(outcome, Exception):
                place.fail(_another(outcome))
            else:
                place.succeed(outcome)

    def _leave_alone(self, place: _Place[Call, Outcome]) -> None:
        """Have one made alone, if somebody still waits for it."""
        if place in self.calls:
            call = self.calls.pop(place)
            group = place.group = _Group(self._ways, self._gate)
            group.calls[place] = call
            group._begin(group._make_alone(place, call), Context())


def _another(error: Exception) -> Exception:
    """An error like this one without traceback and context, so that nobody's error shows what others did."""
    with suppress(Exception):
        return copy(error)
    return error
