"""The pages in the order in which a visitor is led through them."""

from __future__ import annotations

from typing import NamedTuple


class Step(NamedTuple):
    """One page: its path, and its name in the navigation."""

    path: str
    name: str


STEPS = (
    Step("/", "Counter"),
    Step("/cart", "Cart"),
    Step("/sign-in", "Sign in"),
    Step("/messages", "Messages"),
    Step("/inspector", "Inspector"),
)


def next_step(path: str) -> Step:
    """The step after the one at `path`; after the last, the first again."""
    here = [step.path for step in STEPS].index(path)
    return STEPS[(here + 1) % len(STEPS)]
