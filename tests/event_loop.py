"""An event loop whose time the test moves, and turns of the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Loop:
    """Has the clock and the timers of an event loop."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> object:
        self.timers.append((when, callback))
        return object()

    def advance(self, seconds: float) -> None:
        self.now += seconds
        while due := [timer for timer in self.timers if timer[0] <= self.now]:
            self.timers.remove(due[0])
            due[0][1]()


async def turns(number: int) -> None:
    """Let everybody go on, so many times."""
    for _ in range(number):
        await asyncio.sleep(0)
