"""Commits of one session take turns, and whose turn it is."""

from __future__ import annotations

import asyncio
from contextlib import closing

import pytest

from asgi_session.turns import Turns


@pytest.fixture
def turns() -> Turns:
    return Turns()


async def test_who_came_first_is_served_first(turns: Turns) -> None:
    first, second, third = [turns.take("a") for _ in range(3)]
    assert [turn.done() for turn in (first, second, third)] == [True, False, False]
    turns.give_back("a")
    assert [turn.done() for turn in (second, third)] == [True, False]
    turns.give_back("a")
    assert third.done()


async def test_sessions_do_not_wait_for_each_other(turns: Turns) -> None:
    assert turns.take("a").done()
    assert not turns.are_taken("b")
    assert turns.take("b").done()


async def test_after_the_last_turn_nothing_is_kept(turns: Turns) -> None:
    turns.take("a")
    turns.take("a")
    turns.give_back("a")
    assert turns.are_taken("a")
    turns.give_back("a")
    assert not turns.are_taken("a")
    assert not turns.busy


async def test_all_who_wait_can_be_let_go_at_once(turns: Turns) -> None:
    waiting = [turns.take("a") for _ in range(4)]
    turns.give_back("a", to_all=True)
    assert all(turn.done() for turn in waiting)
    assert not turns.are_taken("a")
    for _ in waiting[1:]:
        turns.give_back("a")  # each of them ends the turn that it was given
    assert not turns.busy


def test_event_loops_do_not_wait_for_each_other(turns: Turns) -> None:
    async def take() -> asyncio.Future[None]:
        return turns.take("a")

    async def give_back() -> None:
        turns.give_back("a")

    with closing(asyncio.new_event_loop()) as one, closing(asyncio.new_event_loop()) as other:
        assert one.run_until_complete(take()).done()
        next_one = one.run_until_complete(take())
        assert other.run_until_complete(take()).done()
        other.run_until_complete(give_back())
        assert not next_one.done()
        one.run_until_complete(give_back())
        assert next_one.done()
        one.run_until_complete(give_back())
    assert not turns.busy
