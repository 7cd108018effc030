"""What a value becomes on its way through the other side, and when that counts as a change."""

from __future__ import annotations

from typing import Any

from tests.interop.both import Both
from tests.interop.conftest import Meet
from tests.interop.database import InMongo
from tests.interop.model import same
from tests.interop.options import Options

TEXTS = [
    "ünïcödé",
    "茶 🍵 👩‍👩‍👧",
    "\u2028 and \u2029",
    "a NUL \x00, a DEL \x7f, a bell \x07",
    "\u202e right to left",
    "a\u0301 is not á",
    '\\u0041 "quoted" \\',
    "</script>",
    "\ufeff",
    "\U0010ffff",
]
NUMBERS = [0, 1, 1.0, -0.0, 0.1, -2.5, 2**31, 2**53 - 1, 1 - 2**53, 1e16, 1e21, 1e-7, 5e-324, 1.7976931348623157e308]
ODD: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    "",
    [],
    {},
    [[]],
    [None],
    {"": None},
    {"cookie": {"a": 1}},
    {"$a.b": 1, "__proto__x": 2},
]


async def test_text_goes_through_both_sides_unharmed(both: Both, first: str) -> None:
    side = both.side(first)
    other = both.other(side)
    values = {"key " + text.replace("\x00", ""): text for text in TEXTS}  # MongoDB has no NUL in keys
    for key, text in values.items():
        await side.post("/put", key=key, value=text)
    await side.post("/put", key="nested", value=values)
    assert await other.get("/session") == {**values, "nested": values}
    await other.post("/put", key="list", value=TEXTS)
    assert await side.get("/session") == {**values, "nested": values, "list": TEXTS}


async def test_a_lone_surrogate_goes_through_both_sides_unharmed(text_options: Options, meet: Meet, first: str) -> None:
    async with meet(text_options) as both:
        side = both.side(first)
        await side.post("/put", key="\udc00", value="half a \ud83d")
        await both.other(side).post("/put", key="more", value="\udfff\ud800")
        for each in (both.express, both.ours):
            assert await each.get("/session") == {"\udc00": "half a \ud83d", "more": "\udfff\ud800"}


async def test_a_large_session_goes_through_both_sides_unharmed(both: Both, first: str) -> None:
    side = both.side(first)
    other = both.other(side)
    large = {"text": "é🍵 " * 100_000, "items": [{"n": n, "name": f"item {n}"} for n in range(5000)]}
    await side.post("/put", key="large", value=large)
    await other.post("/counter")
    await side.post("/counter")
    assert await other.get("/session") == {"large": large, "count": 2}


async def test_a_number_means_the_same_to_both_sides(both: Both, first: str) -> None:
    side = both.side(first)
    other = both.other(side)
    await side.post("/put", key="numbers", value=NUMBERS)
    assert await other.get("/session") == {"numbers": NUMBERS}
    await other.post("/counter")  # writes all of them
    assert await side.get("/session") == {"numbers": NUMBERS, "count": 1}


async def test_an_integer_beyond_2_to_the_53_is_rounded_once_express_writes(text_options: Options, meet: Meet) -> None:
    async with meet(text_options) as both:
        await both.ours.post("/put", key="n", value=2**53 + 1)
        await both.express.get("/session")
        assert await both.ours.get("/session") == {"n": 2**53 + 1}
        await both.express.post("/counter")
        assert await both.ours.get("/session") == {"n": 2**53, "count": 1}


async def test_true_is_another_value_than_1(both: Both) -> None:
    await both.express.post("/put", key="n", value=1)
    await both.ours.post("/put", key="n", value=True)
    assert (await both.stored())["n"] is True
    assert (await both.express.get("/session"))["n"] is True


async def test_numbers_and_keys_as_express_wrote_them_are_no_change_to_ours(both: Both) -> None:
    await both.ours.post("/put", key="k", value={"b": 1.0, "10": 2, "a": -0.0, "2": 1e21})
    await both.ours.post("/put", key="7", value="comes first in JavaScript")
    await both.express.post("/counter")
    content = await both.database.content(both.sid)
    assert list((await both.stored())["k"]) == ["2", "10", "b", "a"]
    await both.ours.get("/session")
    assert both.ours.set_cookies == []
    assert await both.database.content(both.sid) == content


async def test_setting_an_equal_object_is_no_change_though_express_ordered_its_keys(both: Both) -> None:
    value = {"b": 1, "10": 2, "a": 3, "2": 4}
    await both.ours.post("/put", key="k", value=value)
    await both.express.post("/counter")
    assert list((await both.stored())["k"]) == ["2", "10", "b", "a"]
    await both.ours.post("/put", key="k", value=value)
    assert list((await both.stored())["k"]) == ["2", "10", "b", "a"]


async def test_setting_an_equal_number_is_no_change_though_express_spelled_it_otherwise(
    text_options: Options, meet: Meet
) -> None:
    async with meet(text_options) as both:
        await both.ours.post("/put", key="n", value=1.0)
        await both.express.post("/counter")
        content = await both.database.content(both.sid)
        await both.ours.post("/put", key="n", value=1.0)
        assert await both.database.content(both.sid) == content


async def test_a_write_of_ours_keeps_the_order_in_which_express_stored_the_keys(both: Both) -> None:
    for key in ["z", "a", "m"]:
        await both.express.post("/put", key=key, value={"y": 1, "b": 2})
    await both.ours.post("/put", key="a", value={"y": 1, "b": 3})
    assert list(await both.express.get("/session")) == ["z", "a", "m"]
    assert list((await both.express.get("/session"))["m"]) == ["y", "b"]


async def test_empty_and_odd_values_stay_what_they_are(both: Both, first: str) -> None:
    side = both.side(first)
    other = both.other(side)
    await side.post("/put", key="odd", value=ODD)
    assert same(await other.get("/session"), {"odd": ODD})
    await other.post("/counter")
    assert same(await side.get("/session"), {"odd": ODD, "count": 1})


async def test_express_drops_a_key_named_like_a_method_of_its_session_and_ours_keeps_it(both: Both) -> None:
    await both.ours.post("/put", key="save", value=1)
    await both.ours.post("/put", key="saved", value=2)
    assert await both.ours.get("/session") == {"save": 1, "saved": 2}
    assert await both.express.get("/session") == {"saved": 2}


async def test_a_date_of_express_reads_as_its_iso_text(both: Both) -> None:
    await both.express.post("/date", key="when", iso="2030-01-02T03:04:05.678Z")
    assert await both.ours.get("/session") == {"when": "2030-01-02T03:04:05.678Z"}


async def test_a_date_in_a_document_is_still_a_date_after_ours_wrote(document_options: Options, meet: Meet) -> None:
    async with meet(document_options) as both:
        assert isinstance(both.database, InMongo)
        await both.express.post("/date", key="when", iso="2030-01-02T03:04:05.678Z")
        date = (await both.database.document(both.sid))["session"]["when"]
        await both.ours.post("/counter")
        assert (await both.database.document(both.sid))["session"]["when"] == date
        assert not isinstance(date, str)
