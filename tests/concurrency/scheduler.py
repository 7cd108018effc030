"""All orders in which concurrent requests can call the store, one after the other.

Two pieces. An event loop whose time is imagined: when no task can run, it moves its clock to the next timer instead of
waiting, and when there is none, it lets one store call through. Which one, the third party decides: an `Orders` object
that goes through all decisions, depth first, in as many runs as there are orders.

Tasks meet only in the store and in the queue for turns, and what a task does between two store calls is one step of the
event loop. So the order of store calls is all that there is to vary. First calls (each request's load) change nothing
for anybody: two of them in a row are tried in one order only.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

from asgi_session import MemoryStore, Record, Store

T = TypeVar("T")

Choose = Callable[[Sequence[int]], int]
"""Of the requests that wait, which comes next: its place among them."""

who: ContextVar[int] = ContextVar("who")
"""The number of the request that a task belongs to."""


class Call(NamedTuple):
    """A store call that waits to be let through."""

    request: int
    is_first: bool  # of its request
    go: asyncio.Future[None]


class Orders:
    """Goes through all ways to take decisions, depth first.

    Attributes:
        count: how many ways were begun.
    """

    def __init__(self) -> None:
        self._path: list[tuple[int, int]] = []  # what was chosen, out of how many
        self._depth = 0
        self.count = 0

    def __iter__(self) -> Iterator[int]:
        """The number of each way; the caller then takes decisions by `choose` until it has no more."""
        while True:
            self._depth = 0
            yield self.count
            self.count += 1
            assert self._depth == len(self._path), "the same decisions led elsewhere: a run is not deterministic"
            while self._path and self._path[-1][0] + 1 == self._path[-1][1]:
                self._path.pop()
            if not self._path:
                return
            chosen, of = self._path.pop()
            self._path.append((chosen + 1, of))

    def choose(self, options: Sequence[int]) -> int:
        """Decide among requests; the place of the chosen one."""
        if len(options) == 1:
            return 0
        if self._depth == len(self._path):
            self._path.append((0, len(options)))
        chosen, of = self._path[self._depth]
        assert of == len(options), "the same decisions led elsewhere: a run is not deterministic"
        self._depth += 1
        return chosen


class Gate(selectors.SelectSelector):
    """What the event loop asks when it has nothing to do: time passes at once, and store calls go one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.waiting: list[Call] = []
        self.choose: Choose = lambda options: 0
        self._last: Call | None = None

    def restart(self, choose: Choose) -> None:
        """Begin a run, with `choose` deciding."""
        assert not self.waiting
        self.choose = choose
        self._last = None

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is not None:
            self.now += max(timeout, 0)
            return []
        assert self.waiting, "every task waits, and not for the store: a deadlock"
        waiting = sorted(self.waiting, key=lambda call: call.request)
        options = list(filter(self._matters, waiting)) or waiting
        call = options[self.choose([call.request for call in options])]
        self.waiting.remove(call)
        self._last = call
        call.go.set_result(None)
        return []

    def _matters(self, call: Call) -> bool:
        last = self._last
        return not (call.is_first and last is not None and last.is_first and call.request < last.request)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, gate: Gate) -> None:
        super().__init__(gate)
        self._gate = gate

    def time(self) -> float:
        return self._gate.now


@contextmanager
def stepped_loop() -> Iterator[tuple[asyncio.AbstractEventLoop, Gate]]:
    """An event loop of imagined time, and the gate in it."""
    gate = Gate()
    loop = _Loop(gate)
    try:
        yield loop, gate
    finally:
        loop.close()


class SteppedStore(Store):
    """A `MemoryStore` each of whose calls waits at the gate, then is one step.

    Args:
        called: told of each call once it is done.
    """

    def __init__(self, gate: Gate, called: Callable[[int, str], None]) -> None:
        self.inner = MemoryStore()
        self._gate = gate
        self._called = called
        self._seen: set[int] = set()

    async def get(self, sid: str) -> Record | None:
        return await self._step(self.inner.get, sid)

    async def create(self, sid: str, record: Record) -> bool:
        return await self._step(self.inner.create, sid, record)

    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        return await self._step(self.inner.replace, sid, record, expected=expected)

    async def touch(self, sid: str, expires: float | None) -> bool:
        return await self._step(self.inner.touch, sid, expires)

    async def destroy(self, sid: str, *, expected: Record | None = None) -> bool:
        return await self._step(self.inner.destroy, sid, expected=expected)

    async def _step(self, method: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T:
        request = who.get()
        go: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._gate.waiting.append(Call(request, request not in self._seen, go))
        self._seen.add(request)
        await go
        self._called(request, method.__name__)
        return await method(*args, **kwargs)
