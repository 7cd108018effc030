"""Concurrent requests come out as one of the orders of their commits would have it, whatever order the store sees."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations_with_replacement

import pytest

from asgi_session import Record
from tests.concurrency.conftest import ORDERS
from tests.concurrency.interleaving import laboratory
from tests.concurrency.operations import Program
from tests.concurrency.programs import ONE, START, TWO, TWO_BRIEFLY
from tests.concurrency.scheduler import SteppedStore

Run = Callable[..., int]


@pytest.fixture(autouse=True)
def _silence(caplog: pytest.LogCaptureFixture) -> None:
    """Dropped changes are logged each time, which is the subject of other tests."""
    caplog.set_level("CRITICAL", logger="asgi_session")


@pytest.fixture
def run(record_property: Callable[[str, object], None]) -> Run:
    """Run requests against each other in all orders, and note how many orders there were."""

    def run(start: str, requests: Iterable[Sequence[Program]], *, processes: int = 1) -> int:
        with laboratory(processes=processes) as room:
            for programs in requests:
                room.try_all_orders(START[start], programs)
        record_property(ORDERS, room.runs)
        return room.runs

    return run


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("start", START)
def test_one_operation_alone_does_what_the_model_says(run: Run, start: str, processes: int) -> None:
    run(start, [[program] for program in ONE + TWO], processes=processes)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("start", START)
def test_one_operation_against_one_in_every_order(run: Run, start: str, processes: int) -> None:
    run(start, combinations_with_replacement(ONE, 2), processes=processes)


@pytest.mark.parametrize("start", START)
@pytest.mark.parametrize("one", ONE, ids="".join)
def test_one_operation_against_two_in_every_order(run: Run, one: Program, start: str) -> None:
    run(start, [[one, two] for two in TWO])


@pytest.mark.parametrize("first", sorted({program[0] for program in TWO_BRIEFLY}))
def test_two_operations_against_two_in_every_order(run: Run, first: str) -> None:
    """By the first operation of the first request."""
    run("much", [pair for pair in combinations_with_replacement(TWO_BRIEFLY, 2) if pair[0][0] == first])


HARD = ["put", "drain", "claim", "keep", "regenerate", "destroy"]
"""What three requests at once do: everything that merges, takes away or ends in a way of its own."""


@pytest.mark.parametrize("first", HARD)
def test_three_requests_in_every_order(run: Run, first: str) -> None:
    triples = combinations_with_replacement([(name,) for name in HARD], 3)
    run("much", [triple for triple in triples if triple[0] == (first,)])


@pytest.mark.parametrize(
    "triple",
    [
        ("put", "put", "put"),
        ("increment", "increment", "increment"),
        ("claim", "claim", "claim"),
        ("drain", "add", "claim"),
        ("add", "add", "claim"),
        ("put", "put", "regenerate"),
        ("put", "add", "keep"),
        ("put", "claim", "destroy"),
        ("delete", "nested", "touch"),
    ],
    ids="-".join,
)
def test_three_requests_in_two_processes_in_every_order(run: Run, triple: Program) -> None:
    run("much", [[(name,) for name in triple]], processes=2)


@pytest.mark.parametrize("programs", [[("put",), ("nested",)], [("claim",), ("claim",)], [("increment",), ("drain",)]])
def test_the_model_refuses_a_store_that_compares_nothing(programs: list[Program]) -> None:
    class Careless(SteppedStore):
        async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
            return await self._step(self.overwrite, sid, record)

        async def overwrite(self, sid: str, record: Record) -> bool:
            now = await self.inner.get(sid)
            return now is not None and await self.inner.replace(sid, record, expected=now)

    with laboratory(make_store=Careless) as room, pytest.raises(AssertionError, match="came out"):
        room.try_all_orders(START["much"], programs)


def test_the_model_refuses_a_store_that_brings_the_dead_back() -> None:
    class Generous(SteppedStore):
        async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
            return await super().replace(sid, record, expected=expected) or await self.inner.create(sid, record)

    with laboratory(make_store=Generous) as room, pytest.raises(AssertionError, match="came out"):
        room.try_all_orders(START["much"], [("put",), ("destroy",)])
