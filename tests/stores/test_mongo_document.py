"""A session as a MongoDB document: what is read out of one, and what is written. No server is needed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import json_util
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument

from asgi_session.exceptions import StoreError
from asgi_session.stores.mongo_document import MAX_DEPTH, RAW, date, document, payload
from tests.test_json_text import nested

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "mongo.json").read_text(encoding="utf-8"))
SUB_DOCUMENTS = [
    row["document"]["session"] for row in VECTORS["documents"] if isinstance(row["document"]["session"], dict)
]
DAY = DatetimeMS(1_893_456_000_000)
DAY_TEXT = "2030-01-01T00:00:00.000Z"


def raw(session: Any) -> RawBSONDocument:
    return RawBSONDocument(bson.encode(session), RAW)


def tree(written: RawBSONDocument | str) -> Any:
    assert isinstance(written, RawBSONDocument)
    return bson.decode(written.raw, RAW.with_options(document_class=dict))


@pytest.mark.parametrize("row", VECTORS["values"], ids=[row["of"] for row in VECTORS["values"]])
def test_a_value_reads_as_json_stringify_shows_it(row: dict[str, str]) -> None:
    read = payload(RawBSONDocument(bytes.fromhex(row["bson"]), RAW))
    assert _typed(json.loads(read)) == _typed(json.loads(row["json"]))


def _typed(value: Any) -> Any:
    """With True told from 1, and 1.0 from nothing: JSON knows one kind of number."""
    if isinstance(value, dict):
        return {key: _typed(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_typed(member) for member in value]
    return isinstance(value, bool), value


def test_a_64_bit_integer_reads_as_its_digits() -> None:
    assert payload(raw({"n": 2**53 + 1})) == '{"n":9007199254740993}'


def test_text_reads_as_it_is() -> None:
    assert payload("anything \ud83d") == "anything \ud83d"


@pytest.mark.parametrize(("stored", "read"), [(None, "null"), (5, "5"), ([raw({"a": DAY})], f'[{{"a":"{DAY_TEXT}"}}]')])
def test_what_is_no_session_reads_as_json_all_the_same(stored: Any, read: str) -> None:
    assert payload(stored) == read


@pytest.mark.parametrize("session", SUB_DOCUMENTS)
def test_an_unchanged_document_of_connect_mongo_is_written_back_byte_for_byte(session: Any) -> None:
    stored = RawBSONDocument(bson.encode(json_util.loads(json.dumps(session)), codec_options=RAW), RAW)
    written = document(payload(stored), stored)
    assert isinstance(written, RawBSONDocument)
    assert written.raw == stored.raw


def test_the_cookie_is_written_as_connect_mongo_does() -> None:
    written = tree(
        document(json.dumps({"cookie": {"originalMaxAge": 60000, "expires": DAY_TEXT, "path": "/", "sameSite": "lax"}}))
    )
    assert list(written["cookie"].items()) == [
        ("originalMaxAge", 60000),
        ("partitioned", None),
        ("priority", None),
        ("expires", DAY),
        ("secure", None),
        ("httpOnly", None),
        ("domain", None),
        ("path", "/"),
        ("sameSite", "lax"),
    ]


def test_what_the_cookie_holds_besides_is_kept() -> None:
    assert tree(document('{"cookie":{"mine":1}}'))["cookie"]["mine"] == 1


@pytest.mark.parametrize("expires", [None, False, "soon", "2030-12-01", "2030-13-01T00:00:00.000Z", 5])
def test_a_cookies_expiry_that_is_no_date_is_written_as_it_is(expires: object) -> None:
    assert tree(document(json.dumps({"cookie": {"expires": expires}})))["cookie"]["expires"] == expires


@pytest.mark.parametrize("cookie", [None, 5, "x", []])
def test_a_cookie_that_is_no_object_is_written_as_it_is(cookie: object) -> None:
    assert tree(document(json.dumps({"cookie": cookie})))["cookie"] == cookie


def test_dates_in_the_data_stay_text_where_nothing_says_otherwise() -> None:
    assert tree(document(json.dumps({"when": DAY_TEXT}))) == {"when": DAY_TEXT}


def test_a_value_that_reads_the_same_keeps_its_kind() -> None:
    session = {"when": DAY, "id": ObjectId(), "price": Decimal128("1.50"), "data": b"\1\2", "half": 0.5, "whole": 1.0}
    stored = raw(session)
    changed = json.loads(payload(stored)) | {"new": True}
    assert repr(tree(document(json.dumps(changed), stored))) == repr(session | {"new": True})


def test_a_value_that_reads_the_same_keeps_its_kind_deep_inside() -> None:
    stored = raw({"log": [{"at": DAY, "what": "a"}]})
    text = json.dumps({"log": [{"at": DAY_TEXT, "what": "b"}, {"at": DAY_TEXT}]})
    assert tree(document(text, stored)) == {"log": [{"at": DAY, "what": "b"}, {"at": DAY_TEXT}]}


LOG = [{"at": DAY, "what": what} for what in "abc"]


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        (lambda log: log[1:], LOG[1:]),
        (lambda log: [{"at": DAY_TEXT, "what": "new"}, *log], [{"at": DAY_TEXT, "what": "new"}, *LOG]),
        (lambda log: log[::-1], LOG[::-1]),
        (lambda log: [*log[:2], log[2] | {"what": "changed"}], [*LOG[:2], {"at": DAY, "what": "changed"}]),
        (lambda log: [log[1], log[2] | {"what": "changed"}], [LOG[1], {"at": DAY, "what": "changed"}]),
        (lambda log: log + log, [*LOG, *({"at": DAY_TEXT, "what": what} for what in "abc")]),
    ],
    ids=["the first removed", "one put in front", "turned round", "the last changed", "removed and changed", "doubled"],
)
def test_an_item_of_a_list_keeps_its_kind_wherever_it_stands(change: Any, kept: list[Any]) -> None:
    log = [{"at": DAY_TEXT, "what": item["what"]} for item in LOG]
    assert tree(document(json.dumps({"log": change(log)}), raw({"log": LOG}))) == {"log": kept}


@pytest.mark.parametrize("number", [2**63, -(2**64), 10**19, 10**20])
def test_an_integer_beyond_64_bits_is_a_double_if_that_holds_it(number: int) -> None:
    written = document(json.dumps({"n": number, "in": [{"n": number}]}))
    assert tree(written) == {"n": number, "in": [{"n": number}]}
    assert isinstance(tree(written)["n"], float)
    assert json.loads(payload(written)) == {"n": number, "in": [{"n": number}]}


def test_digits_that_javascript_wrote_of_a_double_are_that_double() -> None:
    written = document('{"n":123456789012345680000}', None)
    assert tree(written) == {"n": 1.2345678901234568e20}
    assert float(json.loads(payload(written))["n"]) == 1.2345678901234568e20


@pytest.mark.parametrize(
    ("old", "new"), [(DAY, "2030-01-01"), (True, 1), (0, False), (None, 0), ({"a": 1}, [1]), ([DAY], 5)]
)
def test_a_changed_value_is_written_as_the_text_has_it(old: Any, new: Any) -> None:
    written = tree(document(json.dumps({"v": new}), raw({"v": old})))["v"]
    assert (type(written), written) == (type(new), new)


def test_a_removed_key_is_gone() -> None:
    assert tree(document("{}", raw({"when": DAY}))) == {}


def test_keys_with_dots_and_dollars_are_kept() -> None:
    session = {"a.b": {"$q": 1}, "$set": {"c.": 2}, "": 3}
    assert tree(document(json.dumps(session))) == session


@pytest.mark.parametrize("text", ["", "no json", "[1]", "null", '"text"', '{"a":NaN}'])
def test_what_is_no_json_object_is_kept_as_text(text: str) -> None:
    assert document(text) == text


def test_nesting_is_written_up_to_the_limit_and_no_further() -> None:
    deep = nested(MAX_DEPTH - 1)
    assert tree(document(json.dumps({"k": deep}))) == {"k": deep}
    with pytest.raises(StoreError, match=str(MAX_DEPTH)):
        document(json.dumps({"k": [deep]}))


@pytest.mark.parametrize(
    "text", [r'{"k":"\ud800"}', r'{"\udfff":1}', f'{{"k":{2**63 + 1}}}', f'{{"k":[{10**400}]}}', r'{"k\u0000":1}']
)
def test_what_a_document_can_not_hold_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(StoreError) as caught:
        document(text)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert "k\0" not in str(caught.value)
    assert "\\ud800" not in str(caught.value)


@pytest.mark.parametrize(
    ("seconds", "ms"),
    [
        (1893553445.678, 1893553445678),
        (0, 0),
        (math.inf, 253402300799999),
        (1e300, 253402300799999),
        (-math.inf, -62135596800000),
        (math.nan, -62135596800000),
    ],
)
def test_a_time_becomes_a_date_within_the_years_1_to_9999(seconds: float, ms: int) -> None:
    assert int(date(seconds)) == ms
