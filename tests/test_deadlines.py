"""One timer for many deadlines, on an event loop whose clock the test moves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgi_session.deadlines import Deadlines, Watch
from tests.event_loop import Loop


class Call:
    given_up = False

    def give_up(self) -> None:
        assert not self.given_up
        self.given_up = True


@pytest.fixture
def loop() -> Loop:
    return Loop()


def watch(loop: Any, timeout: float | None = 5) -> Watch:
    return Watch(loop, timeout)


def test_each_call_is_given_up_when_its_own_time_is_over(loop: Loop) -> None:
    watching = watch(loop)
    calls = [Call() for _ in range(4)]
    for call in calls[:3]:
        watching.begin(call)
        loop.advance(1)
    loop.advance(1.5)  # 4.5
    assert [call.given_up for call in calls] == [False, False, False, False]
    loop.advance(0.5)
    assert [call.given_up for call in calls] == [True, False, False, False]
    watching.begin(calls[3])
    loop.advance(2)  # 7
    assert [call.given_up for call in calls] == [True, True, True, False]
    loop.advance(2.9)
    assert not calls[3].given_up
    loop.advance(0.1)
    assert calls[3].given_up


def test_all_that_are_due_at_once_are_given_up(loop: Loop) -> None:
    watching = watch(loop)
    calls = [Call() for _ in range(3)]
    for call in calls:
        watching.begin(call)
    loop.advance(60)  # the event loop was blocked
    assert all(call.given_up for call in calls)


def test_a_call_that_ended_is_not_given_up(loop: Loop) -> None:
    watching = watch(loop)
    ended, late = Call(), Call()
    watching.begin(ended)
    watching.end(ended)
    loop.advance(1)
    watching.begin(late)
    loop.advance(10)
    assert (ended.given_up, late.given_up) == (False, True)


def test_a_call_may_end_after_it_was_given_up(loop: Loop) -> None:
    watching, call = watch(loop), Call()
    watching.begin(call)
    loop.advance(5)
    watching.end(call)
    assert call.given_up


def test_there_is_one_timer_at_most(loop: Loop) -> None:
    watching = watch(loop)
    for number in range(100):
        call = Call()
        watching.begin(call)
        if number % 10:
            watching.end(call)
        loop.advance(0.3)
        assert len(loop.timers) <= 1


def test_there_is_none_once_nothing_is_under_way(loop: Loop) -> None:
    watching, call = watch(loop), Call()
    watching.begin(call)
    watching.end(call)
    loop.advance(5)
    assert loop.timers == []
    watching.begin(call)
    assert [when for when, _ in loop.timers] == [loop.now + 5]


def test_without_a_timeout_there_is_none(loop: Loop) -> None:
    watch(loop, None).begin(Call())
    assert loop.timers == []


async def test_an_event_loop_keeps_its_watch() -> None:
    deadlines = Deadlines(5)
    assert deadlines.watch() is deadlines.watch()
    assert deadlines.watch().loop is asyncio.get_running_loop()


async def test_another_event_loop_has_another_and_the_first_goes_on() -> None:
    deadlines, call = Deadlines(0.01), Call()
    mine = deadlines.watch()
    mine.begin(call)

    async def elsewhere() -> Watch:
        return deadlines.watch()

    theirs = await asyncio.to_thread(asyncio.run, elsewhere())
    assert theirs is not mine
    assert deadlines.watch() not in (mine, theirs)
    async with asyncio.timeout(5):
        while not call.given_up:  # noqa: ASYNC110  # there is nothing else to wait for
            await asyncio.sleep(0.001)
