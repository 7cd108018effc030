"""Colliding requests, one of whose store calls fails: what got a 200 is there, and nobody waits for ever."""

from __future__ import annotations

import asyncio

import pytest

from tests.concurrency.programs import START
from tests.concurrency.scheduler import stepped_loop
from tests.faults.bench import SID, App, data_of, settle, start
from tests.faults.faulty_store import FAULTS, Fault, FaultyStore

DEADLINE = 5.0
REQUESTS = 5


@pytest.fixture(autouse=True)
def _silence(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", logger="asgi_session")


async def check(fault: Fault, at: int, lasting: bool) -> bool:
    """Run the requests, the call of that number failing; False where there is none."""
    store = FaultyStore()
    await start(store, START["much"])
    await store.begin(fault, at=at, lasting=lasting)
    app = App(store, store_timeout=DEADLINE)
    responses = await asyncio.gather(*(app.ask(("increment",)) for _ in range(REQUESTS)))
    if not store.failed:
        assert [response.status for response in responses] == [200] * REQUESTS
        return False
    await settle(store)

    statuses = [response.status for response in responses]
    assert set(statuses) <= {200, 503}
    assert 503 in statuses
    if not lasting:
        assert statuses.count(503) == 1
    # its own deadline, after that of the one whose turn it was
    assert max(response.seconds for response in responses) < 2 * DEADLINE + 0.01
    counted = ((data_of((await store.records())[SID])) or {})["n"] - START["much"]["n"]
    assert statuses.count(200) <= counted <= REQUESTS
    if fault in ("error before", "hang before"):
        assert counted == statuses.count(200)

    await store.begin()
    assert (await app.ask(("increment",))).status == 200
    assert ((data_of((await store.records())[SID])) or {})["n"] - START["much"]["n"] == counted + 1
    return True


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("fault", FAULTS)
def test_what_was_answered_with_200_is_there_whichever_call_fails(fault: Fault, lasting: bool) -> None:
    at = 0
    with stepped_loop() as (loop, _):
        while loop.run_until_complete(check(fault, at, lasting)):
            at += 1
    assert at >= 3 * REQUESTS
