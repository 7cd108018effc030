"""Cookie values: Express's bytes out, and back in only what a holder of the secret can have signed."""

from __future__ import annotations

import hmac
import json
import string
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from itsdangerous import Signer

from asgi_session.signing import MAX_VALUE, CookieSigner, ExpressSigner

VECTORS = Path(__file__).parent / "vectors"
SIGN: list[dict[str, Any]] = json.loads((VECTORS / "sign.json").read_text(encoding="utf-8"))
UNSIGN: list[dict[str, Any]] = json.loads((VECTORS / "unsign.json").read_text(encoding="utf-8"))

KEY = b"0123456789abcdef0123456789abcdef"
OLD_KEY = b"fedcba9876543210fedcba9876543210"
SIGNER = CookieSigner([KEY])
ABC = CookieSigner([b"k1"])
"""Signs "abc" as `unsign.json` has it: with a slash in the signature."""

SIDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60)


def secret_of(row: dict[str, Any]) -> bytes:
    return bytes.fromhex(row["secret_hex"]) if "secret_hex" in row else row["secret"].encode()


def sid_of(signer: CookieSigner, value: str | bytes) -> str | None:
    presented = signer.unsign(value.encode() if isinstance(value, str) else value)
    return None if presented is None else presented.sid


@pytest.mark.parametrize("row", SIGN, ids=lambda row: f"{row['sid'][:20]!a}-{len(secret_of(row))}")
def test_a_signed_id_has_the_bytes_that_express_gives_it(row: dict[str, Any]) -> None:
    assert CookieSigner([secret_of(row)]).sign(row["sid"]) == row["cookie"]


@pytest.mark.parametrize(
    "row", [row for row in SIGN if row["sid"]], ids=lambda row: f"{row['sid'][:20]!a}-{len(secret_of(row))}"
)
def test_a_value_that_express_signed_stands_for_its_id(row: dict[str, Any]) -> None:
    assert sid_of(CookieSigner([secret_of(row)]), row["cookie"]) == row["sid"]


def test_an_empty_id_is_none_even_if_it_is_well_signed() -> None:
    assert sid_of(SIGNER, SIGNER.sign("")) is None


@pytest.mark.parametrize("row", UNSIGN, ids=lambda row: row["note"])
def test_what_express_refuses_to_verify_is_refused(row: dict[str, Any]) -> None:
    assert sid_of(CookieSigner([secret_of(row)]), quote("s:" + row["value"], safe="")) == row["sid"]


def test_the_signer_is_one_of_itsdangerous_and_works_alone() -> None:
    signer: Signer = ExpressSigner(b"k1")
    assert signer.sign("abc") == b"abc.ZAcal2xHp38/YKJkxBsBpvIsF7jMypSCtrOmkuiYhYs"
    assert signer.unsign(b"abc.ZAcal2xHp38/YKJkxBsBpvIsF7jMypSCtrOmkuiYhYs") == b"abc"
    assert not signer.validate(b"abc.ZAcal2xHp38/YKJkxBsBpvIsF7jMypSCtrOmkuiYhYs=")


@settings(deadline=None)
@given(SIDS)
def test_any_id_survives_the_round_trip(sid: str) -> None:
    assert sid_of(SIGNER, SIGNER.sign(sid)) == sid


@settings(deadline=None)
@given(SIDS)
def test_a_value_is_encoded_as_encode_uri_component_does(sid: str) -> None:
    value = SIGNER.sign(sid)
    assert value == quote(unquote(value), safe="-_.!~*'()")


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_whatever_upset_the_signer(value: bytes) -> None:
    assert SIGNER.unsign(value) is None
    assert SIGNER.unsign(b"s%3A" + value) is None


@settings(deadline=None)
@given(SIDS, st.data())
def test_a_value_with_one_character_changed_never_stands_for_another_id(sid: str, data: st.DataObject) -> None:
    value = SIGNER.sign(sid)
    place = data.draw(st.integers(0, len(value) - 1))
    other = data.draw(st.sampled_from(string.printable))
    assert sid_of(SIGNER, value[:place] + other + value[place + 1 :]) in (None, sid)


@settings(deadline=None)
@given(SIDS, st.integers(0, 42), st.sampled_from(string.ascii_letters + string.digits + "+/-_="))
def test_a_signature_has_one_spelling(sid: str, place: int, other: str) -> None:
    text, _, signature = unquote(SIGNER.sign(sid)).rpartition(".")
    changed = signature[:place] + other + signature[place + 1 :]
    expected = sid if changed == signature else None
    assert sid_of(SIGNER, quote(f"{text}.{changed}", safe="")) == expected


@pytest.mark.parametrize(
    "value",
    [
        "s:abc.ZAcal2xHp38/YKJkxBsBpvIsF7jMypSCtrOmkuiYhYs",
        "s%3aabc.ZAcal2xHp38%2fYKJkxBsBpvIsF7jMypSCtrOmkuiYhYs",
        "%73%3A%61bc%2EZAcal2xHp38%2FYKJkxBsBpvIsF7jMypSCtrOmkuiYhYs",
        "s%3Aabc.ZAcal2xHp38/YKJkxBsBpvIsF7jMypSCtrOmkuiYhYs",
    ],
    ids=["nothing encoded", "lower-case escapes", "more encoded than needed", "a bare slash"],
)
def test_other_percent_encodings_of_the_same_value_are_read_as_express_reads_them(value: str) -> None:
    assert sid_of(ABC, value) == "abc"


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"s",
        b"s:",
        b"s%3A",
        b"s%3A.",
        b"s%3Aabc",
        b"s%3Aabc.",
        b"s%3A.ZAcal2xHp38%2FYKJkxBsBpvIsF7jMypSCtrOmkuiYhYs",
        b"abc.ZAcal2xHp38%2FYKJkxBsBpvIsF7jMypSCtrOmkuiYhYs",
        b"j%3Aabc.ZAcal2xHp38%2FYKJkxBsBpvIsF7jMypSCtrOmkuiYhYs",
        b"S%3Aabc.ZAcal2xHp38%2FYKJkxBsBpvIsF7jMypSCtrOmkuiYhYs",
        b"s%253Aabc.ZAcal2xHp38%252FYKJkxBsBpvIsF7jMypSCtrOmkuiYhYs",
        b'"s%3Aabc.ZAcal2xHp38%2FYKJkxBsBpvIsF7jMypSCtrOmkuiYhYs"',
        b"s%3Aabc.ZAcal2xHp38%2FYKJkxBsBpvIsF7jMypSCtrOmkuiYhYs%3D",
        b"s%3Aabc.ZAcal2xHp38_YKJkxBsBpvIsF7jMypSCtrOmkuiYhYs",
        b"s%3Aabc.ZAcal2xHp38%2FYKJkxBsBpvIsF7jMypSCtrOmkuiYhYt",
        b"s%3Aabc.ZAcal2xHp38%2FYKJkxBsBpvIsF7jMypSCtrOmkuiYhYs.",
        b"s%3Aabc.ZAcal2xHp38%2FYKJkxBsBpvIsF7jMypSCtrOmkuiYhYs%20",
        b"s%3Aabd.ZAcal2xHp38%2FYKJkxBsBpvIsF7jMypSCtrOmkuiYhYs",
        b"s%3Aabc.ZAcal2xHp38%2FYKJkxBsBpvIsF7jMypSCtrOmkuiYhYs%",
        b"s%3Aabc.ZAcal2xHp38%2FYKJkxBsBpvIsF7jMypSCtrOmkuiYhYs%Z",
        b"s%3Aabc.%ZZ",
        b"s%3Aabc.ZAcal2xHp38+YKJkxBsBpvIsF7jMypSCtrOmkuiYhYs",
        b"s%3Aabc.ZAcal2xHp38\xc3\x89YKJkxBsBpvIsF7jMypSCtrOmkuiYhYs",
        b"s%3Aabc.ZAcal2xHp38%C3%89YKJkxBsBpvIsF7jMypSCtrOmkuiYhYs",
    ],
)
def test_anything_else_is_no_session_id(value: bytes) -> None:
    assert ABC.unsign(value) is None


def signed_bytes(sid: bytes, *, encoded: bool) -> bytes:
    text = sid + b"." + ExpressSigner(KEY).get_signature(sid)
    return b"s%3A" + (quote(text, safe="").encode() if encoded else text)


def test_an_id_that_is_no_utf_8_is_refused_however_well_signed() -> None:
    assert SIGNER.unsign(signed_bytes(b"a\xff", encoded=True)) is None


def test_an_id_with_a_surrogate_in_utf_8_is_refused_however_well_signed() -> None:
    assert SIGNER.unsign(signed_bytes(b"a\xed\xa0\x80", encoded=True)) is None


def test_an_id_in_raw_non_ascii_bytes_is_refused_however_well_signed() -> None:
    assert SIGNER.unsign(signed_bytes("é".encode(), encoded=False)) is None


@pytest.mark.parametrize("encoded", [True, False])
def test_an_id_with_a_nul_is_refused_however_well_signed(encoded: bool) -> None:
    assert SIGNER.unsign(signed_bytes(b"a\0b", encoded=encoded)) is None


def sid_with_a_value_of(length: int) -> str:
    """An id whose cookie value has so many bytes: by trial, as escapes in the signature differ in number."""
    return next(
        sid
        for end in string.ascii_letters
        for start in range(length - 70, length - 40)
        if len(SIGNER.sign(sid := "a" * start + end)) == length
    )


def test_a_value_of_4096_bytes_is_read() -> None:
    sid = sid_with_a_value_of(MAX_VALUE)
    assert sid_of(SIGNER, SIGNER.sign(sid)) == sid


def test_a_value_of_4097_bytes_is_not_looked_at() -> None:
    assert sid_of(SIGNER, SIGNER.sign(sid_with_a_value_of(MAX_VALUE + 1))) is None


def test_the_first_secret_signs() -> None:
    assert CookieSigner([KEY, OLD_KEY]).sign("abc") == CookieSigner([KEY]).sign("abc")


def test_every_secret_verifies() -> None:
    assert sid_of(CookieSigner([KEY, OLD_KEY]), CookieSigner([OLD_KEY]).sign("abc")) == "abc"


def test_a_value_signed_by_another_secret_than_the_first_is_known_as_outdated() -> None:
    ring = CookieSigner([KEY, OLD_KEY])
    new, old = ring.unsign(ring.sign("abc").encode()), ring.unsign(CookieSigner([OLD_KEY]).sign("abc").encode())
    assert new is not None
    assert old is not None
    assert (new.outdated, old.outdated) == (False, True)


def test_a_secret_that_left_the_ring_verifies_nothing() -> None:
    assert sid_of(CookieSigner([KEY]), CookieSigner([OLD_KEY]).sign("abc")) is None


def test_signatures_are_compared_in_constant_time_with_every_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare_digest = hmac.compare_digest

    def spy(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return compare_digest(a, b)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    forged = b"s%3Aabc." + b"A" * 43
    assert CookieSigner([KEY, OLD_KEY]).unsign(forged) is None
    expected = [ExpressSigner(key).get_signature("abc") for key in (KEY, OLD_KEY)]
    assert compared == [(b"A" * 43, signature) for signature in expected]


def test_the_signer_shows_no_secret() -> None:
    assert KEY.decode() not in repr(CookieSigner([KEY])) + str(CookieSigner([KEY])) + repr(ExpressSigner(KEY))


def test_what_came_in_a_cookie_shows_neither_id_nor_signature() -> None:
    presented = CookieSigner([KEY]).unsign(CookieSigner([KEY]).sign("abc").encode())
    assert presented is not None
    assert repr(presented) == str(presented) == "<Presented>"
