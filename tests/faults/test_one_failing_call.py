"""Whatever request meets whatever failure at whichever of its store calls: old or new, and no cookie."""

from __future__ import annotations

import pytest

from tests.concurrency.operations import Program
from tests.concurrency.programs import ONE, START, TWO
from tests.concurrency.scheduler import stepped_loop
from tests.faults.bench import SID, App, data_of, given_back, settle, start
from tests.faults.faulty_store import FAULTS, Fault, FaultyStore

DEADLINE = 5.0


@pytest.fixture(autouse=True)
def _silence(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", logger="asgi_session")


async def check(program: Program, session: str, fault: Fault, at: int) -> bool:
    """Run one request with one failing call; False where it has no call of that number."""
    calm = FaultyStore()
    await start(calm, START[session])
    await calm.begin()
    await App(calm).ask(program)
    allowed = [data_of(snapshot.get(SID)) for snapshot in calm.snapshots]

    store = FaultyStore()
    await start(store, START[session])
    await store.begin(fault, at=at)
    app = App(store, store_timeout=DEADLINE)
    response = await app.ask(program)
    if not store.failed:
        return False
    failing = store.calls[at]
    await settle(store)

    assert "set-cookie" not in response.headers
    assert response.seconds < DEADLINE + 0.01
    if failing == "touch":
        assert response.status == 200
    elif "fail" in program and at > 0 and program[0] != "claim":
        assert response.status == 500
    else:
        assert response.status in ((500, 503) if "fail" in program else (503,))
    if response.status == 503:
        assert int(response.headers["retry-after"]) > 0

    stored = await store.records()
    done = at if fault in ("error before", "hang before") else at + 1  # a deaf call works late
    possible = allowed[: done + 1]
    if "claim" in program:  # what was claimed for a response that failed is queued again
        possible += [given_back(data, START[session]) for data in possible if data is not None]
    assert data_of(stored.get(SID)) in possible
    if fault == "error before":
        whole = [data_of(record) for snapshot in calm.snapshots for record in snapshot.values()]
        assert all(data_of(record) in whole for record in stored.values())

    await store.begin()
    assert (await app.ask(("put",), name="afterwards")).status == 200
    assert "afterwards" in [(data_of(record) or {}).get("a") for record in (await store.records()).values()]
    return True


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("session", START)
def test_a_failing_call_leaves_old_or_new_and_sends_no_cookie(session: str, fault: Fault) -> None:
    met = set()
    with stepped_loop() as (loop, _):
        for program in ONE + TWO:
            at = 0
            while loop.run_until_complete(check(program, session, fault, at)):
                met.add(at)
                at += 1
            assert at > 0, "every request loads its session"
    assert met >= {0, 1, 2}


async def check_without_a_fault(program: Program) -> None:
    store = FaultyStore()
    await start(store, START["much"])
    await store.begin()
    response = await App(store).ask(program)
    assert response.status in (200, 500)
    assert response.seconds == 0


def test_without_a_fault_nothing_fails() -> None:
    with stepped_loop() as (loop, _):
        for program in ONE + TWO:
            loop.run_until_complete(check_without_a_fault(program))
