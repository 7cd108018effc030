"""A clock that tests move by hand: the fixture `clock`, which `conftest.py` makes known to every test."""

from __future__ import annotations

import time

import pytest

START = 1_900_000_000.0
"""Unix time at which a test with a clock begins: a whole second in 2030."""


class Clock:
    """Stands in for `time.time`."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass; a negative number sets the clock back."""
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time stands still, for the package and for the client's cookie jar, until the test lets it pass."""
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    return clock
