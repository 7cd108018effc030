"""The stored text: Express's JSON, written so that Express reads it, read in every form that Express writes."""

from __future__ import annotations

import json
import math
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_session import Cookie, SessionSerializationError
from asgi_session.cookie import MAX_AGE, Attributes
from asgi_session.images import image
from asgi_session.payload import read, rewrite, stored_age, write

from .test_json_text import ANYTHING, VALUES, WITHOUT_FRACTIONS, few, is_json, nested

NOON = 1893553445.678  # 2030-01-02T03:04:05.678Z
PLAIN: Attributes = Cookie().on_http
FULL: Attributes = Cookie(
    domain="example.com", secure=True, samesite="none", partitioned=True, priority="high"
).on_https

KEYS = st.text().filter(lambda key: key != "cookie")
DATA = st.dictionaries(KEYS, VALUES, max_size=4)


def test_a_browser_session_has_null_for_age_and_expiry() -> None:
    assert write({"user": "é"}, None, None, PLAIN).decode() == (
        '{"cookie":{"originalMaxAge":null,"expires":null,"secure":false,"httpOnly":true,"path":"/","sameSite":"lax"}'
        ',"user":"é"}'
    )


def test_an_age_stands_in_milliseconds_and_the_expiry_as_javascript_writes_dates() -> None:
    cookie = json.loads(write({}, 60, NOON + 60, PLAIN))["cookie"]
    assert cookie["originalMaxAge"] == 60000
    assert cookie["expires"] == "2030-01-02T03:05:05.678Z"


def test_a_date_on_the_full_second_keeps_its_three_zeros() -> None:
    assert json.loads(write({}, 60, 1893553445.0, PLAIN))["cookie"]["expires"] == "2030-01-02T03:04:05.000Z"


def test_all_attributes_stand_in_the_order_in_which_express_writes_them() -> None:
    text = write({}, 3600, NOON + 3600, FULL).decode()
    assert text == (
        '{"cookie":{"originalMaxAge":3600000,"partitioned":true,"priority":"high","expires":"2030-01-02T04:04:05.678Z"'
        ',"secure":true,"httpOnly":true,"domain":"example.com","path":"/","sameSite":"none"}}'
    )


def test_an_attribute_that_is_unset_is_left_out() -> None:
    cookie = json.loads(write({}, None, None, Cookie(samesite=None).on_http))["cookie"]
    assert not {"sameSite", "domain", "partitioned", "priority"} & set(cookie)


def test_characters_that_need_it_are_escaped_in_the_cookie_too() -> None:
    attributes = Cookie(path='/a"b\\').on_http
    assert json.loads(write({}, None, None, attributes))["cookie"]["path"] == '/a"b\\'


@few
@given(DATA)
def test_any_data_survives_the_round_trip(data: dict[str, Any]) -> None:
    stored = read(write(data, 60, NOON, PLAIN))
    assert stored is not None
    assert stored[0] == data


@few
@given(DATA)
def test_the_cookie_comes_first_and_then_the_keys_in_their_order(data: dict[str, Any]) -> None:
    assert list(json.loads(write(data, None, None, PLAIN))) == ["cookie", *data]


@few
@given(st.dictionaries(KEYS, WITHOUT_FRACTIONS), st.sampled_from([PLAIN, FULL]), st.none() | st.integers(1, MAX_AGE))
def test_no_blank_stands_between_members(data: dict[str, Any], attributes: Attributes, age: int | None) -> None:
    text = write(data, age, None if age is None else NOON + age, attributes).decode()
    assert text == json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))


@few
@given(st.dictionaries(KEYS, st.text(st.characters(categories=None)), max_size=3))
def test_the_text_is_valid_utf_8_even_where_a_value_is_not(data: dict[str, Any]) -> None:
    write(data, None, None, PLAIN).decode("utf-8")


def test_a_key_with_a_lone_surrogate_is_escaped() -> None:
    assert b'"\\ud800"' in write({"\ud800": 1}, None, None, PLAIN)


@pytest.mark.parametrize("value", [{1}, float("nan"), [b""], {"deep": object()}, nested(300)])
def test_a_value_that_json_can_not_hold_is_refused_with_its_key_and_without_itself(value: object) -> None:
    with pytest.raises(SessionSerializationError, match="'bad'"):
        write({"good": 1, "bad": value}, None, None, PLAIN)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from("abcd"), ANYTHING), st.dictionaries(st.sampled_from("cdef"), VALUES))
def test_changes_are_refused_likewise_whatever_stands_beside_them(
    changed: dict[str, Any], stored: dict[str, Any]
) -> None:
    data = {**stored, **changed}
    changes = {key: image(value) for key, value in changed.items()}
    if is_json(changed):
        written = json.loads(write(data, None, None, PLAIN, changes))
        assert {**written, "cookie": 0} == {**json.loads(json.dumps(data)), "cookie": 0}
    else:
        with pytest.raises(SessionSerializationError):
            write(data, None, None, PLAIN, changes)


@pytest.mark.parametrize("depth", [255, 256, 300, 100_000])
def test_the_depth_of_changes_counts_likewise(depth: int) -> None:
    data = {"good": 1, "bad": nested(depth)}
    changes = {"bad": image(data["bad"])}
    if depth == 255:
        assert json.loads(write(data, None, None, PLAIN, changes))["bad"] == nested(depth)
    else:
        with pytest.raises(SessionSerializationError, match="'bad'"):
            write(data, None, None, PLAIN, changes)


@pytest.mark.parametrize("depth", [250, 255])
def test_a_value_that_is_nested_less_deeply_can_be_read_again(depth: int) -> None:
    stored = read(write({"good": nested(depth)}, None, None, PLAIN))
    assert stored is not None
    assert stored[0] == {"good": nested(depth)}


@pytest.mark.parametrize("depth", [256, 257, 100_000])
def test_a_value_that_is_nested_too_deeply_is_refused_with_its_key(depth: int) -> None:
    with pytest.raises(SessionSerializationError, match="'bad'"):
        write({"good": 1, "bad": nested(depth)}, None, None, PLAIN)


@few
@given(DATA, DATA)
def test_a_rewrite_changes_the_data_and_leaves_the_cookie_as_it_was(old: dict[str, Any], new: dict[str, Any]) -> None:
    before = write(old, 60, NOON, FULL)
    stored = read(before)
    assert stored is not None
    after = rewrite(new, stored[1])
    assert json.loads(after) == {"cookie": json.loads(before)["cookie"], **new}


def test_a_rewrite_adds_no_cookie_where_there_was_none() -> None:
    stored = read('{"a":1}')
    assert stored is not None
    assert rewrite({"b": 2}, stored[1]) == b'{"b":2}'


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", '"text"', "1", "{", "{}}", '{"a":NaN}', "[" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000],
    ids=["empty", "null", "list", "str", "number", "torn", "too long", "NaN", "deep and torn", "deep"],
)
def test_what_is_no_json_object_is_no_session(text: str) -> None:
    assert read(text) is None


def test_an_object_without_a_cookie_is_a_session() -> None:
    stored = read('{"a":1}')
    assert stored is not None
    assert stored == ({"a": 1}, None)


def test_a_nested_key_named_cookie_is_data() -> None:
    stored = read('{"cookie":{},"a":{"cookie":1}}')
    assert stored is not None
    assert stored[0] == {"a": {"cookie": 1}}


LATER = "2030-01-02T03:04:05.678Z"


@pytest.mark.parametrize(
    ("cookie", "age"),
    [
        ({"originalMaxAge": 60000, "expires": LATER}, 60),
        ({"originalMaxAge": 1500, "expires": LATER}, 1.5),
        ({"originalMaxAge": 45032704322, "expires": LATER}, MAX_AGE),
        ({"originalMaxAge": 10**400, "expires": LATER}, MAX_AGE),
        ({"originalMaxAge": 10**400 + 1, "expires": LATER}, MAX_AGE),
        ({"originalMaxAge": -(10**400), "expires": LATER}, 777),
        ({"originalMaxAge": 60000, "expires": "+010265-12-23T10:35:55.343Z"}, 60),
        ({"originalMaxAge": 10**15, "expires": "+275760-09-13T00:00:00.000Z"}, MAX_AGE),
        ({"originalMaxAge": 60000, "expires": "+012000-02-29T00:00:00.000Z"}, 60),
        ({"originalMaxAge": 60000, "expires": "+010100-02-29T00:00:00.000Z"}, None),  # no leap year
        ({"originalMaxAge": 60000, "expires": "-000001-12-31T23:59:59.999Z"}, 60),
        ({"originalMaxAge": 60000, "expires": "+010265-13-23T10:35:55.343Z"}, None),
        ({"originalMaxAge": 60000, "expires": "+0102650-12-23T10:35:55.343Z"}, None),
        ({"originalMaxAge": 60000, "expires": "+010265"}, None),
        ({"originalMaxAge": None, "expires": None}, None),
        ({"originalMaxAge": False, "expires": False}, None),
        ({"originalMaxAge": 60000, "expires": None}, None),
        ({"originalMaxAge": 60000, "expires": False}, None),
        ({"originalMaxAge": 60000}, None),
        ({"originalMaxAge": 60000, "expires": "tomorrow"}, None),
        ({"originalMaxAge": 60000, "expires": 12}, None),
        ({"originalMaxAge": None, "expires": LATER}, 777),
        ({"originalMaxAge": False, "expires": LATER}, 777),
        ({"expires": LATER}, 777),
        ({"originalMaxAge": "60000", "expires": LATER}, 777),
        ({"originalMaxAge": True, "expires": LATER}, 777),
        ({"originalMaxAge": -1000, "expires": LATER}, 777),
        ({"originalMaxAge": 0, "expires": LATER}, 777),
        ({}, None),
        (None, 777),
        ("nonsense", 777),
        ([], 777),
        (5, 777),
    ],
)
def test_the_age_of_a_stored_cookie(cookie: object, age: float | None) -> None:
    assert stored_age(cookie, Cookie(max_age=777)) == age


@few
@given(VALUES)
def test_no_nonsense_for_a_cookie_upsets_the_reader_or_gives_an_absurd_age(cookie: object) -> None:
    age = stored_age(cookie, Cookie(max_age=777))
    assert age is None or 0 < age <= MAX_AGE


@few
@given(st.dictionaries(st.sampled_from(["originalMaxAge", "expires"]), VALUES | st.just(LATER)))
def test_no_nonsense_within_a_cookie_upsets_the_reader_or_gives_an_absurd_age(cookie: dict[str, Any]) -> None:
    age = stored_age(cookie, Cookie(max_age=777))
    assert age is None or 0 < age <= MAX_AGE


@few
@given(st.integers(1, MAX_AGE * 1000))
def test_an_age_in_whole_milliseconds_survives_the_round_trip(milliseconds: int) -> None:
    text = write({}, milliseconds / 1000, NOON, PLAIN)
    stored = read(text)
    assert stored is not None
    assert stored_age(stored[1], Cookie()) == pytest.approx(milliseconds / 1000)
    assert json.loads(text)["cookie"]["originalMaxAge"] == milliseconds


def test_a_moment_too_close_to_a_second_to_tell_is_written_as_that_second() -> None:
    almost = math.nextafter(1893553446, 0)
    assert json.loads(write({}, 60, almost, PLAIN))["cookie"]["expires"] == "2030-01-02T03:04:06.000Z"


@few
@given(st.floats(time.time(), time.time() + MAX_AGE))
def test_the_written_expiry_is_that_moment_cut_to_milliseconds(expires: float) -> None:
    text = json.loads(write({}, 60, expires, PLAIN))["cookie"]["expires"]
    assert text.endswith("Z")
    assert len(text) == 24
    written = datetime.fromisoformat(text)
    assert written.tzinfo is not None
    assert 0 <= (datetime.fromtimestamp(expires, UTC) - written).total_seconds() < 0.001
