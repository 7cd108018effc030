"""How the middleware waits for a store's calls, be they in a task of their own or what the store says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgi_session import Record, StoreError
from asgi_session.deadlines import Deadlines, Watch
from asgi_session.patience import Hold, PatientStore
from asgi_session.stores.base import takes_waiter
from asgi_session.stores.pending import UNTIL_CANCELLED, InTask, Waiter
from tests.event_loop import Loop, turns
from tests.spy_store import SpyStore, either_store

store = either_store


class Clock(Deadlines):
    """Deadlines whose time is the test's."""

    __slots__ = ("_only", "loop")

    def __init__(self) -> None:
        super().__init__(5)
        self.loop = Loop()
        self._only = Watch(self.loop, 5)  # type: ignore[arg-type]

    def watch(self) -> Watch:
        return self._only

    def run_out(self) -> None:
        """The time of what was begun so far is up."""
        self.loop.advance(6)

    @property
    def kept(self) -> int:
        """How many deadlines are kept."""
        return len(self._only._due)


@pytest.fixture
async def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize("steps", range(8))
async def test_the_deadline_of_a_cancelled_call_is_kept_until_the_call_has_ended(
    store: SpyStore, steps: int, clock: Clock
) -> None:
    go_on = asyncio.Event()

    async def wait() -> None:
        await go_on.wait()

    store.before["get"] = wait
    call = asyncio.ensure_future(PatientStore(store, clock).get("a"))
    await turns(steps)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await turns(6)
    assert clock.kept == (1 if store.calls else 0)
    go_on.set()
    await turns(6)
    assert clock.kept == 0


class InTwoSteps(SpyStore):
    """Asks twice for one session."""

    def __init__(self, clock: Clock, late: str) -> None:
        super().__init__()
        self.clock = clock
        self.late = late
        """When the time runs out."""
        self.asked: list[str] = []

    @takes_waiter
    async def get(self, sid: str, *, waiter: Waiter = UNTIL_CANCELLED) -> Record | None:
        await waiter.wait(InTask(self.first))
        await waiter.wait(InTask(self.second))
        return None

    async def first(self) -> None:
        self.asked.append("first")
        if self.late == "during the first":
            self.clock.run_out()
            await asyncio.Event().wait()
        if self.late == "between":  # in the turn in which who waits is to go on
            asyncio.get_running_loop().call_soon(self.clock.run_out)

    async def second(self) -> None:
        self.asked.append("second")
        if self.late == "during the second":
            self.clock.run_out()
        await asyncio.Event().wait()


@pytest.mark.parametrize("held", [False, True], ids=["a load", "within a commit"])
@pytest.mark.parametrize("late", ["during the first", "between", "during the second"])
async def test_one_deadline_is_for_all_that_a_call_asks_for(clock: Clock, late: str, held: bool) -> None:
    store = InTwoSteps(clock, late)
    async with asyncio.timeout(2):
        with pytest.raises(StoreError, match="did not answer in time"):
            await PatientStore(store, clock, Hold() if held else None).get("a")
    await turns(6)
    assert "second" not in store.asked or late == "during the second"
    assert clock.kept == 0


async def test_a_call_that_fails_before_it_asks_for_anything_leaves_no_deadline_behind(clock: Clock) -> None:
    class Picky(SpyStore):
        @takes_waiter
        async def get(self, sid: str, **_: Any) -> Record | None:
            raise TypeError("no such id")

    with pytest.raises(StoreError) as caught:
        await PatientStore(Picky(), clock).get("a")
    assert isinstance(caught.value.__cause__, TypeError)
    assert clock.kept == 0
