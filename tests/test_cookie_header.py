"""Which cookies of our name came."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_session.cookie_header import cookie_values


def values(header: bytes, name: bytes = b"connect.sid") -> list[bytes]:
    return cookie_values(header, name, most=1000)


def test_the_value_is_taken_from_among_other_cookies() -> None:
    assert values(b"a=b; connect.sid=x; c=d") == [b"x"]


def test_all_cookies_of_the_name_count_in_their_order() -> None:
    assert values(b"connect.sid=1; connect.sid=2") == [b"1", b"2"]


def test_no_blank_is_needed_after_the_semicolon() -> None:
    assert values(b"a=b;connect.sid=x") == [b"x"]


def test_blanks_around_name_and_value_go() -> None:
    assert values(b" \tconnect.sid \t=\t x \t; a=b") == [b"x"]


def test_quotes_are_part_of_the_value() -> None:
    assert values(b'connect.sid="x"') == [b'"x"']


def test_a_semicolon_ends_the_value_even_within_quotes() -> None:
    assert values(b'a="b; connect.sid=x; c="') == [b"x"]


def test_equals_signs_after_the_first_are_part_of_the_value() -> None:
    assert values(b"connect.sid=x==") == [b"x=="]


@pytest.mark.parametrize("header", [b"Connect.Sid=x", b"connect.sid2=x", b"xconnect.sid=x", b"$connect.sid=x"])
def test_a_cookie_of_another_name_is_not_ours(header: bytes) -> None:
    assert values(header) == []


def test_a_name_without_an_equals_sign_is_no_cookie() -> None:
    assert values(b"connect.sid; connect.sid") == []


def test_an_empty_value_is_a_value() -> None:
    assert values(b"connect.sid=") == [b""]


def test_no_more_are_looked_for_than_asked() -> None:
    header = b"; ".join([b"a=%d" % number for number in range(9)])
    assert cookie_values(header, b"a", most=3) == [b"0", b"1", b"2"]


def test_a_long_header_costs_no_memory() -> None:
    header = b"; a=b" * 200_000 + b"; connect.sid=1;connect.sid=2"
    tracemalloc.start()
    try:
        assert values(header) == [b"1", b"2"]
        assert tracemalloc.get_traced_memory()[1] < 2 * len(header)
    finally:
        tracemalloc.stop()


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_no_cookie_header_whatever_upsets_the_search(header: bytes) -> None:
    for value in values(header, name=b"a"):
        assert b";" not in value


def taken_pair_by_pair(header: bytes, name: bytes) -> list[bytes]:
    found = []
    for pair in header.split(b";"):
        key, equals, value = pair.partition(b"=")
        if equals and key.strip(b" \t") == name:
            found.append(value.strip(b" \t"))
    return found


@settings(deadline=None, max_examples=500)
@given(st.lists(st.sampled_from([b"sid", b"=", b";", b"; ", b" ", b"\t", b"x", b"si", b"d"])).map(b"".join))
def test_however_cookies_are_spaced_they_are_what_stands_between_the_semicolons(header: bytes) -> None:
    assert values(header, name=b"sid") == taken_pair_by_pair(header, b"sid")
