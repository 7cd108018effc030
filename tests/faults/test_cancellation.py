"""A request that is cancelled at whichever await leaves old or new, and a commit that has begun is carried out."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from asgi_session import Record
from tests.concurrency.operations import Program
from tests.concurrency.programs import ONE, START, TWO
from tests.concurrency.scheduler import stepped_loop
from tests.event_loop import turns
from tests.faults.bench import SID, App, data_of, given_back, start
from tests.faults.faulty_store import FaultyStore


@pytest.fixture(autouse=True)
def _silence(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", logger="asgi_session")


async def check(program: Program, after: int, cancels: int) -> bool:
    """Cancel one request after so many rounds of the event loop; False where it is done by then."""
    calm = FaultyStore()
    await start(calm, START["much"])
    await calm.begin()
    await App(calm).ask(program)
    allowed = [data_of(snapshot.get(SID)) for snapshot in calm.snapshots]
    whole = [data_of(record) for snapshot in calm.snapshots for record in snapshot.values()]

    store = FaultyStore()
    await start(store, START["much"])
    await store.begin()
    app = App(store)
    task = asyncio.ensure_future(app.ask(program))
    await turns(after)
    if task.done():
        return False
    committing = any(call != "get" for call in store.calls) and "claim" not in program
    for _ in range(cancels):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task

    stored = await store.records()
    if committing:
        assert data_of(stored.get(SID)) == allowed[-1]
    elif "claim" in program:
        assert data_of(stored.get(SID)) in allowed + [given_back(data, START["much"]) for data in allowed if data]
    else:
        assert data_of(stored.get(SID)) in allowed
    assert all(data_of(record) in whole for sid, record in stored.items() if sid != SID)

    await store.begin()
    assert (await app.ask(("put",), name="afterwards")).status == 200
    assert "afterwards" in [(data_of(record) or {}).get("a") for record in (await store.records()).values()]
    return True


@pytest.mark.parametrize("cancels", [1, 2, 3])
def test_a_cancelled_request_leaves_old_or_new_and_finishes_a_commit_that_has_begun(cancels: int) -> None:
    longest = 0
    with stepped_loop() as (loop, _):
        for program in ONE + TWO:
            after = 1
            while loop.run_until_complete(check(program, after, cancels)):
                after += 1
            longest = max(longest, after)
    assert longest > 10


async def test_messages_claimed_by_a_cancelled_request_are_queued_again() -> None:
    store = FaultyStore()
    await start(store, START["much"])
    await store.begin()
    task = asyncio.ensure_future(App(store).ask(("claim", "wait")))
    while "replace" not in store.calls:  # noqa: ASYNC110  # the claim's own write, which the cancellation meets
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert data_of((await store.records())[SID]) == START["much"]


class Slow(FaultyStore):
    """A store whose writes take until they are let through."""

    def __init__(self) -> None:
        super().__init__()
        self.writing = asyncio.Event()
        self.go_on = asyncio.Event()

    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        self.writing.set()
        await self.go_on.wait()
        return await super().replace(sid, record, expected=expected)


async def test_a_cancel_scope_that_insists_does_not_stop_a_commit() -> None:
    store = Slow()
    await start(store, START["much"])
    await store.begin()

    async def cut_off() -> None:
        await store.writing.wait()
        scope.cancel()
        await turns(10)
        store.go_on.set()

    cutting = asyncio.ensure_future(cut_off())
    with anyio.CancelScope() as scope:
        await App(store).ask(("put",))
    await cutting
    assert scope.cancelled_caught
    assert (data_of((await store.records())[SID]) or {})["a"] == "me"


async def test_a_request_that_waits_for_its_turn_commits_though_it_is_cancelled() -> None:
    store = Slow()
    await start(store, START["much"])
    await store.begin()
    app = App(store)
    tasks = [asyncio.ensure_future(app.ask(("increment",))) for _ in range(4)]
    await store.writing.wait()
    store.go_on.set()
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result) for result in results} == {asyncio.CancelledError}
    assert (data_of((await store.records())[SID]) or {})["n"] == 10 + len(tasks)
    assert (await app.ask(("increment",))).status == 200
    assert (data_of((await store.records())[SID]) or {})["n"] == 10 + len(tasks) + 1
