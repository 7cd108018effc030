"""What makes calls together: each caller gets what came of its own call, whatever becomes of the others."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import traceback
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import pytest

from asgi_session.exceptions import StoreError
from asgi_session.stores import together
from asgi_session.stores.pending import UNTIL_CANCELLED, Pending
from asgi_session.stores.together import AloneError, Together
from tests.event_loop import turns


async def outcome_of(calls: Together[int, int], call: int) -> int:
    """What comes of a call."""
    return await UNTIL_CANCELLED.wait(calls.begin(call))


class Backend:
    """Answers a number with its tenfold, and remembers how it was asked. It answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[int | list[int]] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.outcome: Callable[[int], int | Exception] = lambda call: 10 * call
        self.failure: Exception | None = None
        self.given_up = 0
        self.calls: Together[int, int] = Together(self.alone, self.together)

    async def alone(self, call: int) -> int:
        self.asked.append(call)
        await self.answers.wait()
        return 10 * call

    async def together(self, calls: Sequence[int]) -> list[int | Exception]:
        self.asked.append([*calls])
        try:
            await self.answers.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        if self.failure is not None:
            raise self.failure
        return [self.outcome(call) for call in calls]

    def make(self, *calls: int) -> list[asyncio.Task[int]]:
        return [asyncio.create_task(outcome_of(self.calls, call)) for call in calls]

    async def make_in_a_row(self, number: int) -> list[asyncio.Task[int]]:
        """Make calls that come up one after the other, while no answer comes."""
        self.answers.clear()
        tasks = []
        for call in range(number):
            tasks += self.make(call)
            await turns(3)
        return tasks


@pytest.fixture
async def backend() -> Backend:
    return Backend()


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls wait for others as long as it takes, so that a wake-up that gets lost shows."""
    monkeypatch.setattr(together, "_LONGEST_WAIT", 3600)


async def results(tasks: list[asyncio.Task[int]]) -> list[int | BaseException]:
    async with asyncio.timeout(5):
        return await asyncio.gather(*tasks, return_exceptions=True)


# Who goes with whom


async def test_a_single_call_is_made_alone(backend: Backend) -> None:
    assert await outcome_of(backend.calls, 1) == 10
    assert backend.asked == [1]


async def test_calls_of_one_turn_are_made_together(backend: Backend) -> None:
    assert await results(backend.make(1, 2, 3)) == [10, 20, 30]
    assert [sorted(group) for group in backend.asked if isinstance(group, list)] == [[1, 2, 3]]
    assert len(backend.asked) == 1


async def test_calls_one_after_the_other_are_made_alone(backend: Backend) -> None:
    assert [await outcome_of(backend.calls, call) for call in (1, 2, 3)] == [10, 20, 30]
    assert backend.asked == [1, 2, 3]


async def test_no_more_than_eight_go_together(backend: Backend) -> None:
    assert await results(backend.make(*range(50))) == [10 * call for call in range(50)]
    sizes = [len(group) for group in backend.asked if isinstance(group, list)]
    assert (max(sizes), sum(sizes)) == (8, 50)


@pytest.mark.usefixtures("patience")
async def test_while_two_are_on_their_way_others_gather_until_one_is_back(backend: Backend) -> None:
    tasks = await backend.make_in_a_row(6)
    assert backend.asked == [0, 1]
    backend.answers.set()
    assert await results(tasks) == [0, 10, 20, 30, 40, 50]
    assert backend.asked[:2] == [0, 1]
    assert sorted(backend.asked[2]) == [2, 3, 4, 5]  # type: ignore[arg-type]


@pytest.mark.usefixtures("patience")
async def test_calls_that_were_made_together_are_one_of_those_two(backend: Backend) -> None:
    backend.answers.clear()
    tasks: list[asyncio.Task[int]] = []
    for calls in [(0, 1), (2, 3), (4,), (5,)]:
        tasks += backend.make(*calls)
        await turns(4)
    assert len(backend.asked) == 2
    backend.answers.set()
    assert await results(tasks) == [0, 10, 20, 30, 40, 50]
    assert len(backend.asked) == 3


async def test_eight_that_go_leave_those_behind_them_together(backend: Backend) -> None:
    async def a_turn_later() -> int:
        await asyncio.sleep(0)
        return await outcome_of(backend.calls, 9)

    first = backend.make(0)
    late = asyncio.create_task(a_turn_later())  # it comes up when the first goes on, and before the ninth does
    assert await results([*first, *backend.make(*range(1, 9)), late]) == [10 * call for call in range(10)]
    assert [len(group) for group in backend.asked if isinstance(group, list)] == [8, 2]


@pytest.mark.usefixtures("patience")
async def test_those_that_gather_go_when_they_are_eight(backend: Backend) -> None:
    tasks = await backend.make_in_a_row(12)
    assert [len(group) for group in backend.asked if isinstance(group, list)] == [8]
    backend.answers.set()
    assert await results(tasks) == [10 * call for call in range(12)]


async def test_others_that_do_not_come_back_are_not_waited_for_long(backend: Backend) -> None:
    async def alone(call: int) -> int:
        await (backend.answers.wait() if call < 2 else asyncio.sleep(0))
        return 10 * call

    backend.answers.clear()
    backend.calls = Together(alone, backend.together)
    stuck = []
    for call in range(2):
        stuck += backend.make(call)
        await turns(3)
    assert await results(backend.make(2)) == [20]
    backend.answers.set()
    assert await results(stuck) == [0, 10]


@pytest.mark.usefixtures("patience")
async def test_a_call_that_failed_makes_room_for_others(backend: Backend) -> None:
    backend.failure = ValueError("broken")
    for _ in range(5):
        assert [type(result) for result in await results(backend.make(1, 2))] == [ValueError] * 2
    assert await outcome_of(backend.calls, 3) == 30


async def test_each_event_loop_has_its_own(backend: Backend) -> None:
    """Though calls of another one are open at the same time."""
    found: list[list[int]] = []

    async def crowd() -> None:
        found.extend([await asyncio.gather(*[outcome_of(mine, call) for call in range(5)]) for _ in range(200)])

    async def alone(call: int) -> int:
        return 10 * call

    async def together(calls: Sequence[int]) -> list[int]:
        await asyncio.sleep(0)
        return [10 * call for call in calls]

    mine: Together[int, int] = Together(alone, together)
    threads = [threading.Thread(target=asyncio.run, args=(crowd(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join, 30)
    assert found == [[0, 10, 20, 30, 40]] * 600


# What comes of each


async def test_an_exception_is_for_the_caller_of_that_call(backend: Backend) -> None:
    backend.outcome = lambda call: KeyError("mine") if call == 2 else 10 * call
    first, second, third = await results(backend.make(1, 2, 3))
    assert (first, repr(second), third) == (10, "KeyError('mine')", 30)


async def test_an_exception_of_a_call_that_is_made_alone_is_raised(backend: Backend) -> None:
    async def alone(_: int) -> int:
        raise failure

    failure = KeyError("mine")
    with pytest.raises(KeyError) as caught:
        await outcome_of(Together(alone, backend.together), 1)
    assert caught.value is failure


async def test_what_fails_as_a_whole_fails_for_everybody(backend: Backend) -> None:
    backend.failure = ValueError("broken")
    assert [repr(result) for result in await results(backend.make(1, 2, 3))] == ["ValueError('broken')"] * 3


async def test_a_call_that_has_to_be_made_alone_is(backend: Backend) -> None:
    backend.outcome = lambda call: AloneError() if call > 1 else 10 * call
    assert await results(backend.make(1, 2, 3)) == [10, 20, 30]
    assert backend.asked[1:] == [2, 3] or backend.asked[1:] == [3, 2]


async def test_who_gave_a_call_up_that_has_to_be_made_alone_is_not_asked_for(backend: Backend) -> None:
    backend.outcome = lambda call: AloneError() if call > 1 else 10 * call
    backend.answers.clear()
    tasks = backend.make(1, 2, 3)
    await turns(4)
    tasks[1].cancel()
    await turns(1)
    backend.answers.set()
    found = await results(tasks)
    assert (found[0], found[2]) == (10, 30)
    assert backend.asked[1:] == [3]


async def test_a_call_that_is_made_alone_after_all_can_be_given_up(backend: Backend) -> None:
    """Where it hangs: together with others it was answered at once."""

    hanging, ended = asyncio.Event(), asyncio.Event()
    first, second = make_one_hang_alone(backend, hanging, ended)
    await hanging.wait()
    assert await first == 10
    second.cancel()
    async with asyncio.timeout(5):
        await ended.wait()


async def test_nobody_hangs_where_a_call_that_is_made_alone_after_all_is_cancelled_from_outside(
    backend: Backend,
) -> None:
    hanging = asyncio.Event()
    tasks = make_one_hang_alone(backend, hanging, asyncio.Event())
    await hanging.wait()
    for task in asyncio.all_tasks() - {*tasks, asyncio.current_task()}:
        task.cancel()
    assert [type(result) for result in await results(tasks)] == [int, StoreError]


def make_one_hang_alone(backend: Backend, hanging: asyncio.Event, ended: asyncio.Event) -> list[asyncio.Task[int]]:
    """Make two calls, of which the second has to be made alone, and hangs."""

    async def hang(_: int) -> int:
        hanging.set()
        try:
            return await forever(None)  # type: ignore[no-any-return]
        finally:
            ended.set()

    backend.outcome = lambda call: AloneError() if call == 2 else 10 * call
    backend.calls = Together(hang, backend.together)
    return backend.make(1, 2)


async def test_a_failure_of_all_is_each_ones_own(backend: Backend) -> None:
    """Its traceback grows with whoever raises it, and its context is what that one was doing."""
    backend.failure = ValueError("broken")
    backend.failure.__cause__ = KeyError("why")
    first, second = await results(backend.make(1, 2))
    assert first is not second
    assert backend.failure.__traceback__ is not None
    for error in (first, second):
        assert isinstance(error, ValueError)
        frames = traceback.extract_tb(error.__traceback__)
        assert "_make" not in [frame.name for frame in frames]


async def test_an_exception_that_can_not_be_copied_is_raised_as_it_is(backend: Backend) -> None:
    class Odd(Exception):
        def __init__(self, one: int, *, other: int) -> None:
            super().__init__(one, other)

    backend.failure = Odd(1, other=2)
    assert [result is backend.failure for result in await results(backend.make(1, 2))] == [True, True]


SPEAKER: ContextVar[str] = ContextVar("SPEAKER", default="nobody")


async def test_what_is_made_together_is_made_in_nobodys_context(backend: Backend) -> None:
    heard = []

    async def several(calls: Sequence[int]) -> list[int | Exception]:
        heard.append(SPEAKER.get())
        return [10 * call for call in calls]

    async def speak(name: str, call: int) -> tuple[int, str]:
        SPEAKER.set(name)
        return await outcome_of(calls, call), SPEAKER.get()

    calls: Together[int, int] = Together(backend.alone, several)
    told = await asyncio.gather(*[speak(name, call) for call, name in enumerate(["first", "second"])])
    assert told == [(0, "first"), (10, "second")]
    assert heard == ["nobody"]


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize(("stay", "expected"), [([2], "nobody"), ([1], "first"), ([1, 2], "nobody")])
async def test_a_call_that_others_left_alone_is_not_made_in_their_context(
    backend: Backend, stay: list[int], expected: str
) -> None:
    async def alone(call: int) -> int:
        if call > 0:
            heard.append(SPEAKER.get())
        await backend.answers.wait()
        return 10 * call

    async def several(calls: Sequence[int]) -> list[int | Exception]:
        return [await alone(call) for call in calls]

    async def speak(name: str, call: int) -> int:
        SPEAKER.set(name)
        return await outcome_of(backend.calls, call)

    heard: list[str] = []
    backend.answers.clear()
    backend.calls = Together(alone, several)
    for _ in range(2):  # so that the next ones wait
        under_way = backend.make(0)
        await turns(3)
    tasks = {call: asyncio.create_task(speak(name, call)) for call, name in [(1, "first"), (2, "second")]}
    await turns(3)
    for call in {1, 2} - {*stay}:
        tasks[call].cancel()
    await turns(3)
    backend.answers.set()
    await results([*under_way, *tasks.values()])
    assert {*heard} == {expected}


def test_a_loop_that_is_closed_with_calls_under_way_leaves_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    def abandon() -> None:
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda _loop, _context: None)  # it says that tasks were pending
        calls: Together[int, int] = Together(forever, forever)
        tasks = [loop.create_task(outcome_of(calls, call)) for call in range(3)]
        for _ in range(4):
            loop.call_soon(loop.stop)
            loop.run_forever()
        assert not any(task.done() for task in tasks)
        loop.close()

    abandon()
    gc.collect()
    assert [str(warning.message) for warning in recwarn] == []


async def forever(_: object) -> Any:
    await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("calls", [(1,), (1, 2, 3)], ids=["alone", "together"])
async def test_what_was_made_is_no_garbage_for_the_collector(backend: Backend, calls: tuple[int]) -> None:
    gc.collect()
    gc.disable()
    try:
        await results(backend.make(*calls))
        await turns(2)
        assert [one for one in gc.get_objects() if isinstance(one, Pending)] == []
    finally:
        gc.enable()


# Who is cancelled


@pytest.mark.parametrize("steps", range(6))
@pytest.mark.parametrize("who", range(3))
async def test_a_caller_who_is_cancelled_harms_no_other(backend: Backend, who: int, steps: int) -> None:
    """The first one, too, who was to make the calls; before they are made and meanwhile."""
    backend.answers.clear()
    tasks = backend.make(1, 2, 3)
    await turns(steps)
    tasks[who].cancel()
    await turns(6)
    backend.answers.set()
    found = await results(tasks)
    assert isinstance(found.pop(who), asyncio.CancelledError)
    assert found == [10 * call for call in (1, 2, 3) if call != who + 1]
    assert backend.given_up == 0


async def test_the_last_caller_who_is_cancelled_sees_the_driver_clean_up() -> None:
    cleaned = False

    async def several(_: Sequence[int]) -> list[int | Exception]:
        nonlocal cleaned
        try:
            return await forever(None)  # type: ignore[no-any-return]
        finally:
            await turns(10)
            cleaned = True

    backend = Backend()
    backend.calls = Together(backend.alone, several)
    first, last = backend.make(1, 2)
    await turns(4)
    first.cancel()
    assert [type(result) for result in await results([first])] == [asyncio.CancelledError]
    assert not cleaned
    last.cancel()
    assert [type(result) for result in await results([last])] == [asyncio.CancelledError]
    assert cleaned


@pytest.mark.parametrize("steps", range(6))
async def test_calls_that_nobody_waits_for_are_given_up(backend: Backend, steps: int) -> None:
    backend.answers.clear()
    tasks = backend.make(1, 2, 3)
    await turns(steps)
    for task in tasks:
        task.cancel()
    assert [type(result) for result in await results(tasks)] == [asyncio.CancelledError] * 3
    await turns(6)
    assert backend.given_up == sum(isinstance(group, list) for group in backend.asked)
    backend.answers.set()
    assert await outcome_of(backend.calls, 4) == 40


async def test_what_takes_harm_from_being_cancelled_is_given_up_without(backend: Backend) -> None:
    backend.answers.clear()
    places = [backend.calls.begin(call) for call in (1, 2)]
    await turns(4)
    for place in places:
        place.give_up(cancel=False)
    await turns(4)
    assert (backend.asked, backend.given_up) == ([[1, 2]], 0)
    backend.answers.set()
    assert await outcome_of(backend.calls, 3) == 30


@pytest.mark.parametrize("steps", range(4))
async def test_calls_that_are_given_up_before_they_are_made_are_not_made_for_nobody(
    backend: Backend, steps: int
) -> None:
    places = [backend.calls.begin(call) for call in (1, 2)]
    await turns(steps)
    for place in places:
        place.give_up(cancel=False)
    await turns(4)
    assert [] not in backend.asked
    assert await outcome_of(backend.calls, 3) == 30


@pytest.mark.usefixtures("patience")
async def test_who_comes_after_the_only_one_that_waited_has_left_is_served(backend: Backend) -> None:
    tasks = await backend.make_in_a_row(3)
    tasks.pop().cancel()
    await turns(3)
    tasks += backend.make(4)
    await turns(3)
    backend.answers.set()
    assert await results(tasks) == [0, 10, 40]
    assert backend.asked == [0, 1, [4]]


@pytest.mark.usefixtures("patience")
async def test_where_everybody_who_waited_has_left_nothing_is_asked_for(backend: Backend) -> None:
    tasks = await backend.make_in_a_row(3)
    tasks.pop().cancel()
    await turns(3)
    backend.answers.set()
    assert await results(tasks) == [0, 10]
    await turns(3)
    assert backend.asked == [0, 1]


@pytest.mark.usefixtures("patience")
async def test_a_caller_who_is_cancelled_before_the_calls_are_made_is_not_asked_for(backend: Backend) -> None:
    tasks = await backend.make_in_a_row(5)
    tasks[3].cancel()
    await turns(3)
    backend.answers.set()
    await results(tasks)
    assert sorted(backend.asked[2]) == [2, 4]  # type: ignore[arg-type]


@pytest.mark.parametrize("under_way", [0, 2], ids=["first", "while others are under way"])
@pytest.mark.parametrize("steps", range(6))
@pytest.mark.parametrize("calls", [(1,), (1, 2, 3)], ids=["alone", "together"])
@pytest.mark.usefixtures("patience")
async def test_nobody_hangs_where_the_calls_are_cancelled_from_outside(
    backend: Backend, calls: tuple[int], steps: int, under_way: int
) -> None:
    """As everything is when an event loop is shut down; before they are made, while they wait and later."""
    others = asyncio.all_tasks() | {*await backend.make_in_a_row(under_way)}
    places = [backend.calls.begin(call) for call in calls]
    await turns(steps)
    for task in asyncio.all_tasks() - others:
        task.cancel()
    tidying_up = asyncio.create_task(outcome_of(backend.calls, 9))
    await turns(8)
    backend.answers.set()
    assert await results([tidying_up]) == [90]
    for place in places:
        with pytest.raises(StoreError):
            await UNTIL_CANCELLED.wait(place)


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("seed", range(30))
async def test_whoever_is_not_cancelled_gets_what_came_of_the_own_call(seed: int) -> None:
    """Callers that come and go at random; the backend's answers take a random number of turns."""
    dice = random.Random(seed)  # noqa: S311 (no secret)
    made: list[int] = []

    async def alone(call: int) -> int:
        made.append(call)
        await turns(dice.randrange(6))
        return 10 * call

    async def several(calls: Sequence[int]) -> list[int | Exception]:
        made.extend(calls)
        await turns(dice.randrange(6))
        return [10 * call for call in calls]

    calls: Together[int, int] = Together(alone, several)
    tasks: list[asyncio.Task[int]] = []
    cancelled = set()
    while len(tasks) < 300:
        await turns(dice.randrange(3))
        tasks += [
            asyncio.create_task(outcome_of(calls, len(tasks) + more)) for more in range(dice.choice([1, 1, 2, 5, 40]))
        ]
        if dice.random() < 0.3:
            victim = dice.randrange(len(tasks))
            if tasks[victim].cancel():
                cancelled.add(victim)
    found = await results(tasks)
    assert [result for call, result in enumerate(found) if call not in cancelled] == [
        10 * call for call in range(len(tasks)) if call not in cancelled
    ]
    assert len(made) == len(set(made))
