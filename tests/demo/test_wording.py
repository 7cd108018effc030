"""Numbers as people read them."""

from __future__ import annotations

import pytest

from demo.wording import duration, euros, moment, shortened, time_left


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (-5, "0 seconds"),
        (0.2, "1 second"),
        (61, "1 minute 1 second"),
        (3600, "1 hour"),
        (2 * 3600 + 5, "2 hours"),
        (13 * 86400 + 23 * 3600 + 59 * 60, "13 days 23 hours"),
        (30 * 86400 - 0.3, "30 days"),
    ],
)
def test_a_duration_is_told_in_its_two_largest_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_time_left_counts_from_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1000.0)
    assert time_left(1060.0) == "1 minute"


def test_an_amount_has_two_decimals() -> None:
    assert euros(1205) == "€12.05"


def test_a_moment_is_told_in_utc() -> None:
    assert moment(0) == "01 Jan 1970, 00:00:00 UTC"


def test_a_shortened_id_keeps_six_characters() -> None:
    assert shortened("abcdefghijklmnop") == "abcdef…"
