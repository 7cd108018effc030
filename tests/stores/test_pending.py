"""What comes of calls that run in tasks, and how it is waited for."""

from __future__ import annotations

import asyncio
import functools
import gc
from contextvars import ContextVar
from typing import Any

import pytest

from asgi_session import MemoryStore, Record, StoreError
from asgi_session.stores.base import is_marked, takes_waiter
from asgi_session.stores.pending import UNTIL_CANCELLED, InTask
from tests.clients import Browser, put
from tests.event_loop import turns
from tests.spy_store import SharingSpyStore


class Call:
    """A driver's call, which ends when it is told to."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.go_on = asyncio.Event()
        self.failure = failure
        self.cancelled = False

    async def make(self) -> str:
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if self.failure is not None:
            raise self.failure
        return "done"


async def test_what_a_call_returned_is_its_outcome() -> None:
    call = Call()
    call.go_on.set()
    assert await UNTIL_CANCELLED.wait(InTask(call.make)) == "done"


async def test_what_a_call_raised_is_raised() -> None:
    call = Call(failure := KeyError("broken"))
    call.go_on.set()
    with pytest.raises(KeyError) as caught:
        await UNTIL_CANCELLED.wait(InTask(call.make))
    assert caught.value is failure


async def test_who_is_cancelled_while_waiting_can_wait_again() -> None:
    call = Call()
    pending = InTask(call.make)

    async def wait() -> None:
        await pending.arrival()

    for _ in range(2):
        waiting = asyncio.create_task(wait())
        await turns(4)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    call.go_on.set()
    await pending.arrival()
    assert pending.outcome() == "done"


async def test_an_outcome_that_came_before_anybody_waits_is_there() -> None:
    call = Call()
    pending = InTask(call.make)
    call.go_on.set()
    await turns(4)
    assert pending.ended
    await pending.arrival()
    assert pending.outcome() == "done"


async def test_an_outcome_that_came_after_who_waits_was_cancelled_is_there() -> None:
    call = Call()
    pending = InTask(call.make)

    async def wait() -> None:
        await pending.arrival()

    waiting = asyncio.create_task(wait())
    await turns(4)
    waiting.cancel()
    call.go_on.set()
    await turns(4)
    async with asyncio.timeout(2):
        await pending.arrival()
    assert pending.outcome() == "done"


@pytest.mark.parametrize("cancel", [True, False])
async def test_a_call_that_is_given_up_is_cancelled_or_goes_on(cancel: bool) -> None:
    call = Call()
    pending = InTask(call.make)
    await turns(4)
    pending.give_up(cancel=cancel)
    await turns(4)
    assert call.cancelled is cancel
    call.go_on.set()
    await turns(4)
    with pytest.raises(StoreError, match="did not answer in time"):  # the first outcome counts
        pending.outcome()


async def test_a_call_that_has_ended_can_not_be_given_up() -> None:
    call = Call()
    call.go_on.set()
    pending = InTask(call.make)
    await pending.arrival()
    pending.give_up(cancel=True)
    assert pending.outcome() == "done"


async def test_a_caller_who_is_cancelled_sees_the_driver_clean_up() -> None:
    """As if it had made the call itself."""
    cleaned = False

    async def make() -> None:
        nonlocal cleaned
        try:
            await asyncio.Event().wait()
        finally:
            await turns(10)
            cleaned = True

    waiting = asyncio.create_task(UNTIL_CANCELLED.wait(InTask(make)))
    await turns(4)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert cleaned


@pytest.mark.parametrize("steps", range(4))
async def test_nobody_hangs_where_a_call_is_cancelled_from_outside(steps: int) -> None:
    """As everything is when an event loop is shut down, be it before it began."""
    call = Call()
    before = asyncio.all_tasks()
    pending = InTask(call.make)
    (task,) = asyncio.all_tasks() - before
    await turns(steps)
    task.cancel()
    async with asyncio.timeout(2):
        with pytest.raises(StoreError, match="was cancelled"):
            await UNTIL_CANCELLED.wait(pending)


async def test_an_error_that_nobody_asks_for_is_nobodys_concern() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
    call = Call(KeyError("broken"))
    pending = InTask(call.make)
    call.go_on.set()
    await pending.arrival()
    del pending
    gc.collect()
    assert complaints == []


SPEAKER: ContextVar[str] = ContextVar("SPEAKER", default="nobody")


async def test_a_call_is_made_in_its_callers_context() -> None:
    async def speaker() -> str:
        return SPEAKER.get()

    SPEAKER.set("the caller")
    assert await UNTIL_CANCELLED.wait(InTask(speaker)) == "the caller"


# Which methods take a waiter


class Knows(MemoryStore):
    @takes_waiter
    async def get(self, sid: str, *, waiter: object = None) -> Record | None:
        raise NotImplementedError


class KnowsNothingOfIt(Knows):
    async def get(self, sid: str) -> Record | None:  # type: ignore[override]
        raise NotImplementedError


def test_the_mark_is_of_the_very_method() -> None:
    @functools.wraps(Knows.get)
    async def wrapper(*args: Any) -> None: ...

    assert is_marked(Knows().get, "takes_waiter")
    assert not is_marked(KnowsNothingOfIt().get, "takes_waiter")
    assert not is_marked(wrapper, "takes_waiter")


async def test_a_subclass_that_knows_nothing_of_waiters_is_served() -> None:
    class Loud(SharingSpyStore):
        async def get(self, sid: str) -> Record | None:  # type: ignore[override]
            self.calls.append("loud")
            return await super().get(sid)

    browser = Browser(store=(store := Loud()))
    await browser.visit(put(a=1))
    assert await browser.read() == {"a": 1}
    assert store.calls == ["create", "loud", "get"]
