"""JSON out as JSON.stringify writes it, JSON in as JSON.parse takes it."""

from __future__ import annotations

import datetime
import enum
import json
import math
import sys
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_session.json_text import MAX_DEPTH, Unserializable, dumps, is_deeper, loads

few = settings(max_examples=40, deadline=None)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=6,
)
"""Texts here hold no lone surrogates: those have tests of their own."""

WITHOUT_FRACTIONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=6,
)
"""Of a fraction there may be several spellings."""


class Colour(enum.Enum):
    RED = 1


NOT_JSON = st.sampled_from(
    [
        *(math.nan, math.inf, -math.inf),
        *(datetime.date(2026, 1, 2), datetime.datetime(2026, 1, 2), datetime.timedelta(1), uuid.UUID(int=1)),  # noqa: DTZ001
        *(Decimal(1), b"x", bytearray(b"x"), {1}, frozenset({1}), Colour.RED, object(), 1j, range(2)),
    ]
)
"""What JSON can't hold, most of which msgspec writes all the same."""

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "null", "NaN", "a"]) | st.floats() | NOT_JSON,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=2).map(tuple)
        | st.dictionaries(st.sampled_from(["a", "null", 1, 1e16, None, datetime.date(2026, 1, 2)]), inner, max_size=3)
    ),
    max_leaves=6,
)


MARKS = st.text('[]{}"\\a', max_size=4)
BRACKETS_IN_STRINGS = st.recursive(
    MARKS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MARKS, inner, max_size=3), max_leaves=8
)
"""Values whose text has brackets and quotes that are not its structure."""


def nested(depth: int) -> Any:
    value: Any = "in"
    for _ in range(depth):
        value = [value]
    return value


def levels_of(value: Any) -> int:
    """How many levels a value has, counted one by one."""
    if not isinstance(value, dict | list):
        return 0
    return 1 + max((levels_of(member) for member in (value.values() if isinstance(value, dict) else value)), default=0)


@few
@given(VALUES)
def test_any_json_value_survives_the_round_trip(value: object) -> None:
    assert loads(dumps(value)) == value


@few
@given(WITHOUT_FRACTIONS)
def test_the_text_is_what_the_standard_library_writes_without_blanks(value: object) -> None:
    assert dumps(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@few
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_fraction_is_written_so_that_it_parses_to_the_same_number(value: float) -> None:
    assert repr(float(json.loads(dumps(value)))) == repr(value)


@few
@given(st.integers())
def test_an_integer_of_any_size_comes_back_as_an_integer(value: int) -> None:
    assert (loads(dumps(value)), type(loads(dumps([value]))[0])) == (value, int)


@few
@given(st.text(st.characters(categories=None)))
def test_any_string_even_with_lone_surrogates_comes_back_and_its_text_is_valid_utf_8(value: str) -> None:
    text = dumps(value)
    text.encode("utf-8")
    assert loads(text) == json.loads(json.dumps(value))


def no_constant(name: str) -> None:
    raise ValueError(name)


@few
@given(VALUES.map(json.dumps), st.integers(0, 1000), st.sampled_from([*' "[]{},:01eE.-\\n', "null", "NaN"]))
def test_reading_takes_and_refuses_what_the_standard_library_does(text: str, place: int, insert: str) -> None:
    place %= len(text)
    text = text[:place] + insert + text[place + 1 :]
    try:
        expected = json.loads(text, parse_constant=no_constant)
    except ValueError:
        with pytest.raises(json.JSONDecodeError):
            loads(text)
    else:
        assert loads(text) == expected or "inf" in repr(expected)


def test_a_lone_surrogate_is_escaped_in_lower_case_as_json_stringify_does() -> None:
    assert dumps("a\ud83d\udfffb") == '"a\\ud83d\\udfffb"'


def test_characters_beyond_ascii_stand_as_they_are() -> None:
    assert dumps({"é": "会话😀\u2028"}) == '{"é":"会话😀\u2028"}'


def test_control_characters_are_escaped_as_json_stringify_does() -> None:
    assert dumps('\b\t\n\f\r"\\\x00\x1f\x7f/') == '"\\b\\t\\n\\f\\r\\"\\\\\\u0000\\u001f\x7f/"'


def test_a_tuple_is_written_as_a_list() -> None:
    assert dumps((1, (2,))) == "[1,[2]]"


def test_nested_keys_that_are_no_str_become_strings_as_in_the_standard_library() -> None:
    value = {"a": {2: "x", True: "y", None: "z", 1.5: "w"}}
    assert dumps(value) == json.dumps(value, separators=(",", ":"))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [math.nan], {"a": {"b": math.inf}}])
def test_a_number_that_is_not_finite_is_refused(value: object) -> None:
    with pytest.raises(Unserializable, match="not finite"):
        dumps(value)


@pytest.mark.parametrize(
    "value", [10**5000, {"a": [10**5000]}, {"a": {10**5000: 1}}], ids=["alone", "in a list", "as a key"]
)
def test_an_integer_of_more_digits_than_python_writes_is_refused_for_that(value: object) -> None:
    with pytest.raises(Unserializable, match=r"^holds an integer of too many digits$"):
        dumps(value)


@pytest.mark.parametrize("value", [{1}, b"bytes", object(), 1j, [{1}], {"a": b"x"}, {"a": {(1, 2): 1}}])
def test_a_type_that_json_lacks_is_refused(value: object) -> None:
    with pytest.raises(Unserializable):
        dumps(value)


def is_json(value: object) -> bool:
    """As the standard library has it."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


@settings(max_examples=300, deadline=None)
@given(ANYTHING)
def test_exactly_that_is_refused_which_the_standard_library_refuses(value: object) -> None:
    if is_json(value):
        assert loads(dumps(value)) == json.loads(json.dumps(value))
    else:
        with pytest.raises(Unserializable):
            dumps(value)


def test_a_value_that_holds_itself_is_refused() -> None:
    ring: list[object] = []
    ring.append(ring)
    with pytest.raises(Unserializable, match="itself"):
        dumps(ring)


def test_the_same_list_in_two_places_is_no_circle() -> None:
    shared = [1]
    assert dumps([shared, shared]) == "[[1],[1]]"


def test_refusals_do_not_quote_the_value() -> None:
    for value in ({"s3cret"}, [b"s3cret"], {"a": math.nan, "b": "s3cret"}):
        with pytest.raises(Unserializable) as caught:
            dumps(value)
        assert "s3cret" not in str(caught.value)


def test_nesting_is_written_up_to_the_limit_and_no_further() -> None:
    assert loads(dumps(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    with pytest.raises(Unserializable, match="deep"):
        dumps(nested(MAX_DEPTH + 1))


def test_many_flat_lists_are_not_deep() -> None:
    value = [[index] for index in range(2 * MAX_DEPTH)]
    assert loads(dumps(value)) == value


def test_brackets_in_strings_are_no_levels() -> None:
    strings = ["[" * 1000, "]" * 1000, "[" * 1000 + "]" * 1000, "[{" * 1000 + "}]" * 1000, '"[' * 1000]
    value = [strings, dict.fromkeys(strings, nested(MAX_DEPTH - 2))]
    assert loads(dumps(value)) == value
    with pytest.raises(Unserializable, match="deep"):
        dumps([value])


@pytest.mark.parametrize(
    "around",
    [
        lambda inner: ["]", inner, "["],
        lambda inner: {"}": inner, "{": 1},
        lambda inner: ['"]"', inner, '"["'],
        lambda inner: ["\\]\\", inner, "\\[\\"],
    ],
    ids=["list", "dict", "quotes", "backslashes"],
)
def test_brackets_in_strings_hide_no_levels(around: Callable[[Any], Any]) -> None:
    value: Any = "in"
    for _ in range(MAX_DEPTH):
        value = around(value)
    assert loads(dumps(value)) == value
    with pytest.raises(Unserializable, match="deep"):
        dumps(around(value))
    with pytest.raises(ValueError, match="deep"):
        loads(json.dumps(around(value)))


@settings(max_examples=300, deadline=None)
@given(BRACKETS_IN_STRINGS, st.integers(0, 6))
def test_levels_are_counted_right_whatever_stands_in_strings(value: object, levels: int) -> None:
    assert is_deeper(value, json.dumps(value), levels) is (levels_of(value) > levels)


def times_gone_through(value: object) -> int:
    """How often the brackets of a text are gone through when a value is written and read."""
    calls: list[str] = []

    def note(_: object, event: str, called: Any) -> None:
        if event == "c_call" and called.__name__ == "replace":
            calls.append(called.__name__)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        loads(dumps(value))
    finally:
        sys.setprofile(before)
    return len(calls)


@pytest.mark.parametrize(
    "value",
    [
        *("[" * 10_000 + "]" * 10_000, "[{" * 10_000 + "}]" * 10_000, '"["' * 10_000 + '"]"' * 10_000),
        [nested(MAX_DEPTH - 2)] * 100,
    ],
    ids=["one kind", "two kinds", "quotes", "many deep values"],
)
def test_many_brackets_are_gone_through_a_few_times_only(value: object) -> None:
    assert times_gone_through([value]) <= 10


def test_nesting_beyond_the_interpreter_is_refused_and_does_not_break_it() -> None:
    with pytest.raises(Unserializable, match="deep"):
        dumps(nested(200_000))
    with pytest.raises(ValueError, match="deep"):
        loads("[" * 200_000 + "]" * 200_000)


@pytest.mark.parametrize("text", ["", "{", "NaN", "[Infinity]", "[-Infinity]", "{'a':1}", "[1,]", "01", '"\n"', "nul"])
def test_what_json_parse_does_not_take_is_refused(text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        loads(text)


def test_a_number_beyond_any_float_is_read_as_null_which_javascript_makes_of_infinity() -> None:
    assert loads("[1e999,-1e999]") == [None, None]


def test_an_integer_with_too_many_digits_to_be_read_is_null_and_its_neighbours_are_read() -> None:
    assert loads(f'{{"a":{"9" * 10_000},"b":12,"c":1.5}}') == {"a": None, "b": 12, "c": 1.5}


def test_an_integer_beyond_2_to_the_53_is_read_exactly() -> None:
    assert loads("9007199254740993") == 9007199254740993


def test_of_two_members_of_one_name_the_last_counts() -> None:
    assert loads('{"a":1,"a":2}') == {"a": 2}


@pytest.mark.parametrize("innermost", [0, [], {}], ids=str)
def test_an_empty_list_or_dict_is_a_level(innermost: object) -> None:
    """Of 256 levels the session is the first one."""
    value: Any = innermost
    for _ in range(MAX_DEPTH - (innermost != 0)):
        value = [value]
    assert loads(dumps(value)) == value
    with pytest.raises(Unserializable):
        dumps([value])
