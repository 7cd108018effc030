"""What stands in the database after either side's save, for how long, and with either side's options."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from typing import Any

import pytest

from tests.interop.both import Both
from tests.interop.conftest import Meet
from tests.interop.database import InMongo, hashed
from tests.interop.options import Options
from tests.interop.test_express import alternate

VALUE = {"ü": [1, "two", None, True, {"a": "\ud800 🍵 \u2028 \x07"}], "1": 0.5}
AGE = re.compile(r'"originalMaxAge":(\d+)')
EXPIRES = re.compile(r'"expires":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"')


def whole_seconds(age: re.Match[str]) -> str:
    """Express works an age out from two looks at its clock, and a millisecond may pass in between."""
    return f'"originalMaxAge":{round(int(age[1]), -3)}'


@pytest.mark.parametrize("max_age", [None, 500])
async def test_ours_stores_the_text_that_express_would_have_stored(
    text_options: Options, meet: Meet, max_age: int | None
) -> None:
    async with meet(text_options, max_age=max_age) as both:
        texts = []
        for side in (both.express, both.ours):
            both.jar.clear()
            await side.post("/put", key="k", value=VALUE)
            await side.post("/login", user={"id": 1})
            await side.post("/flash", category="info", messages=["a", "b"])
            await side.post("/counter")
            text = await both.database.content(both.sid)
            assert isinstance(text, str)
            texts.append(AGE.sub(whole_seconds, EXPIRES.sub('"expires":"then"', text)))
        assert texts[0] == texts[1]
        assert ("then" in texts[0]) == (max_age is not None)


@pytest.mark.parametrize("max_age", [None, 500])
async def test_ours_stores_the_document_that_express_would_have_stored(
    document_options: Options, meet: Meet, max_age: int | None
) -> None:
    async with meet(document_options, max_age=max_age) as both:
        documents = []
        for side in (both.express, both.ours):
            both.jar.clear()
            await side.post("/put", key="k", value={"a": [1, 2.5, None, "é"], "b": {}})
            await side.post("/counter")
            session = await both.stored()
            session["cookie"]["expires"] = type(session["cookie"]["expires"])
            if max_age is not None:
                session["cookie"]["originalMaxAge"] = round(session["cookie"]["originalMaxAge"], -3)
            documents.append(session)
        assert documents[0] == documents[1]
        assert [*map(list, documents)] == [["cookie", "k", "count"]] * 2
        assert list(documents[0]["cookie"]) == list(documents[1]["cookie"])


async def test_a_browser_session_lives_for_the_stores_ttl_after_either_sides_save(both: Both, first: str) -> None:
    for side in (both.side(first), both.other(both.side(first))):
        await side.post("/counter")
        assert await both.database.lifetime(both.sid) == pytest.approx(both.options.ttl, abs=5)
        await both.database.shorten(both.sid, 100)


async def test_a_session_with_an_age_lives_for_that_after_either_sides_save(
    options: Options, meet: Meet, first: str
) -> None:
    async with meet(options, max_age=500) as both:
        for side in (both.side(first), both.other(both.side(first))):
            await side.post("/counter")
            assert await both.database.lifetime(both.sid) == pytest.approx(500, abs=5)
            await both.database.shorten(both.sid, 100)


@pytest.mark.parametrize("max_age", [None, 500])
async def test_reading_on_either_side_extends_the_life_and_leaves_the_content(
    options: Options, meet: Meet, first: str, max_age: int | None
) -> None:
    async with meet(options, max_age=max_age) as both:
        side = both.side(first)
        await both.other(side).post("/counter")
        content = await both.database.content(both.sid)
        await both.database.shorten(both.sid, 100)
        assert await side.get("/session") == {"count": 1}
        assert await both.database.lifetime(both.sid) == pytest.approx(max_age or both.options.ttl, abs=5)
        assert await both.database.content(both.sid) == content


async def test_a_live_session_keeps_its_own_age_when_ours_is_configured_with_another(
    options: Options, meet: Meet
) -> None:
    async with meet(options, max_age=500) as before:
        await before.express.post("/counter")
    async with meet(options, max_age=900, jar=before.jar) as after:
        assert await after.ours.post("/counter") == 2
        assert await after.ours.get("/age") == pytest.approx(500, abs=0.01)
        assert await after.express.get("/age") == pytest.approx(500, abs=0.01)
        assert await after.database.lifetime(after.sid) == pytest.approx(500, abs=5)


# Options of connect-mongo, connect-redis and express-session


@pytest.mark.parametrize("stringify", [True, False])
async def test_the_last_modified_field_of_touch_after_survives_ours_and_stays_out_of_the_session(
    mongo_options: Options, meet: Meet, stringify: bool
) -> None:
    async with meet(mongo_options, touch_after=3600, stringify=stringify) as both:
        assert isinstance(both.database, InMongo)
        await both.express.post("/counter")
        modified = (await both.database.document(both.sid))["lastModified"]
        assert await both.ours.get("/session") == {"count": 1}
        assert await both.ours.post("/counter") == 2
        document = await both.database.document(both.sid)
        assert document["lastModified"] == modified
        assert "lastModified" not in await both.stored()
        assert await both.express.post("/counter") == 3
        assert await both.ours.get("/session") == {"count": 3}


async def test_express_leaves_the_life_of_a_session_of_ours_alone_until_touch_after_is_over(
    mongo_options: Options, meet: Meet
) -> None:
    async with meet(mongo_options, touch_after=3600) as both:
        await both.express.post("/counter")
        await both.ours.post("/counter")
        await both.database.shorten(both.sid, 500)
        assert (await both.express.get("/session"))["count"] == 2
        assert await both.database.lifetime(both.sid) == pytest.approx(500, abs=5)


async def test_both_forms_of_the_document_are_read_whatever_this_side_writes(
    mongo_options: Options, meet: Meet
) -> None:
    async with meet(mongo_options, stringify=False) as documents:
        await documents.express.post("/login", user={"id": 1})
    async with meet(mongo_options, stringify=True, jar=documents.jar) as texts:
        assert await texts.ours.get("/whoami") == {"id": 1}
        await texts.ours.post("/counter")
        assert isinstance(await texts.database.content(texts.sid), str)
        assert await texts.express.get("/whoami") == {"id": 1}
    async with meet(mongo_options, stringify=False, jar=documents.jar) as documents:
        assert await documents.ours.get("/session") == {"passport": {"user": {"id": 1}}, "count": 1}
        await documents.ours.post("/counter")
        assert isinstance(await documents.database.content(documents.sid), dict)
        assert await documents.express.get("/whoami") == {"id": 1}


@pytest.mark.parametrize("stringify", [True, False])
async def test_both_sides_agree_over_transformed_ids(mongo_options: Options, meet: Meet, stringify: bool) -> None:
    async with meet(mongo_options, transform_id=True, stringify=stringify) as both:
        await alternate(both, seed=6, steps=60)
        await both.express.post("/counter")
        assert await both.database.keys() == [hashed(both.sid)]


async def test_both_sides_agree_over_prefixed_keys(redis_options: Options, meet: Meet) -> None:
    async with meet(redis_options, prefix="shop {1}:") as both:
        await alternate(both, seed=7, steps=60)
        await both.express.post("/counter")
        assert await both.database.keys() == ["shop {1}:" + both.sid]


async def test_both_sides_agree_over_keys_without_a_prefix(redis_options: Options, meet: Meet) -> None:
    async with meet(redis_options, prefix="") as both:
        await both.ours.post("/counter")
        assert await both.express.post("/counter") == 2
        assert await both.database.keys() == [both.sid]


async def test_express_with_resave_writes_back_what_ours_stored(options: Options, meet: Meet) -> None:
    async with meet(options, resave=True) as both:
        await both.ours.post("/put", key="k", value={"a": [1, None]})
        await both.ours.post("/flash", category="info", messages="a")
        await both.database.shorten(both.sid, 100)
        await both.express.get("/session")
        assert await both.database.lifetime(both.sid) == pytest.approx(both.options.ttl, abs=5)
        assert await both.ours.get("/session") == {"k": {"a": [1, None]}, "flash": {"info": ["a"]}}


# At the same time


async def while_ours_is_at_work(both: Both, meanwhile: Awaitable[Any]) -> None:
    """Have `meanwhile` happen after a request of ours loaded the session and before it commits `late`."""
    request = asyncio.create_task(both.ours.post("/put/held", key="late", value=1))
    await both.app.state.held.wait()
    await meanwhile
    both.app.state.release.set()
    await request


async def test_what_express_wrote_meanwhile_is_not_lost(both: Both) -> None:
    await both.express.post("/put", key="a", value=0)
    await while_ours_is_at_work(both, both.express.post("/put", key="a", value=1))
    assert await both.express.get("/session") == {"a": 1, "late": 1}


async def test_a_queue_that_express_drained_meanwhile_stays_drained(both: Both) -> None:
    await both.express.post("/flash", category="info", messages="a")
    await while_ours_is_at_work(both, both.express.post("/flash/drain", category=None))
    assert await both.ours.post("/flash/drain", category=None) == {}
    assert (await both.ours.get("/session"))["late"] == 1


@pytest.mark.parametrize("end", ["/destroy", "/logout", "/regenerate"])
async def test_a_session_that_express_ended_meanwhile_does_not_come_back(both: Both, end: str) -> None:
    await both.express.post("/login", user="u1")
    old = both.cookie
    assert old is not None
    await while_ours_is_at_work(both, both.express.post(end))
    assert both.ours.set_cookies == []
    both.jar.set_cookie(old)
    assert await both.express.get("/whoami") is None
    assert await both.ours.get("/session") == {}
