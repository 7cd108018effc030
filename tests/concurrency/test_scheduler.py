"""The scheduler of these tests goes through every order once."""

from __future__ import annotations

import asyncio
from math import comb

import pytest

from asgi_session import Record
from tests.concurrency.scheduler import Orders, SteppedStore, stepped_loop, who


def orders_of(calls: list[int]) -> list[str]:
    """In which orders requests with so many store calls each are let through."""
    seen = []
    orders = Orders()
    with stepped_loop() as (loop, gate):
        for _ in orders:
            gate.restart(orders.choose)
            story: list[str] = []

            async def request(number: int, store: SteppedStore) -> None:
                who.set(number)
                for _ in range(calls[number]):
                    await store.get("id")

            async def run(story: list[str] = story) -> None:
                store = SteppedStore(gate, lambda request, method: story.append(str(request)))
                await asyncio.gather(*(request(number, store) for number in range(len(calls))))

            loop.run_until_complete(run())
            seen.append("".join(story))
    return seen


def test_every_order_of_later_calls_is_tried_once() -> None:
    orders = orders_of([3, 3])
    assert len(orders) == len(set(orders))
    starting_alike = [order for order in orders if order.startswith("01")]
    assert len(starting_alike) == comb(4, 2)


def test_two_loads_in_a_row_are_tried_in_one_order_only() -> None:
    assert not [order for order in orders_of([2, 2]) if order.startswith("10")]
    assert [order for order in orders_of([2, 2]) if order.startswith("1101")] == []
    assert "1100" in orders_of([2, 2])


def test_waiting_for_each_other_is_told_as_a_deadlock() -> None:
    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    with stepped_loop() as (loop, _):
        task = loop.create_task(wait())
        with pytest.raises(AssertionError, match="deadlock"):
            loop.run_until_complete(task)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)


def test_time_passes_without_waiting() -> None:
    async def nap() -> float:
        before = asyncio.get_running_loop().time()
        await asyncio.sleep(1000)
        return asyncio.get_running_loop().time() - before

    with stepped_loop() as (loop, _):
        assert loop.run_until_complete(nap()) >= 1000


def test_a_call_takes_effect_when_it_is_let_through_and_not_before() -> None:
    async def run() -> tuple[Record | None, Record | None]:
        store = SteppedStore(gate, lambda request, method: None)
        who.set(0)
        creating = asyncio.ensure_future(store.create("id", Record("{}", None)))
        await asyncio.sleep(0)
        assert len(gate.waiting) == 1
        early = await store.inner.get("id")
        await creating
        return early, await store.inner.get("id")

    with stepped_loop() as (loop, gate):
        early, late = loop.run_until_complete(run())
    assert early is None
    assert late is not None
