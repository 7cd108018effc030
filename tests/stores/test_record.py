"""A record: a text and a time of death, whichever form the text came in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_session import Record
from asgi_session.stores.base import Utf8Record

ANY_TEXT = st.text(st.characters(categories=None))  # lone surrogates, too


@given(ANY_TEXT)
def test_text_and_bytes_lead_to_each_other(text: str) -> None:
    assert Utf8Record(Record(text, None).utf8, None).payload == text


def test_bytes_are_utf_8() -> None:
    assert Record("é", 1.0).utf8 == b"\xc3\xa9"
    assert Record("\ud800", 1.0).utf8 == b"\xed\xa0\x80"


@pytest.mark.parametrize(
    "record", [Record("é", 5.0), Utf8Record("é".encode(), 5.0), Utf8Record("é".encode(), 5.0, "é")]
)
def test_records_are_equal_by_text_and_expiry(record: Record) -> None:
    assert record == Record("é", 5.0)
    assert hash(record) == hash(Record("é", 5.0))
    assert record != Record("e", 5.0)
    assert record != Record("é", 6.0)
    assert record != "é"


def test_the_repr_shows_nothing_of_the_text() -> None:
    assert repr(Record("secret", None)) == "<Record of 6 characters>"
    assert "secret" not in repr(Utf8Record(b"secret", None))
