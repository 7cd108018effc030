"""The cookie is one to both sides: the same bytes for the same id, and secrets that change under live sessions."""

from __future__ import annotations

import re

import pytest

from tests.interop.both import Both
from tests.interop.conftest import Meet
from tests.interop.options import Options

OLD = "the secret of last year, more than 32 bytes"
NEW = "the secret of this year, more than 32 bytes"
NOT_ASCII = "пароль-秘密-🔑-пароль-秘密-🔑"


def value_in(set_cookies: list[str]) -> str:
    """The cookie's value as it goes over the wire."""
    [header] = set_cookies
    return header.partition(";")[0].partition("=")[2]


async def test_a_cookie_of_one_side_is_taken_by_the_other_and_not_sent_again(both: Both, first: str) -> None:
    side = both.side(first)
    other = both.other(side)
    await side.post("/put", key="k", value=1)
    sid = both.sid
    assert await other.get("/id") == sid
    await other.post("/put", key="k", value=2)
    assert other.set_cookies == []
    assert await side.get("/session") == {"k": 2}
    assert both.sid == sid


@pytest.mark.parametrize("secret", [NEW, NOT_ASCII])
async def test_both_sides_sign_one_id_with_the_same_bytes(
    redis_options: Options, meet: Meet, first: str, secret: str
) -> None:
    async with meet(redis_options, secrets=(secret,), rolling=True) as both:
        side = both.side(first)
        other = both.other(side)
        for _ in range(20):  # signatures with and without the characters that are percent-encoded
            both.jar.clear()
            await side.post("/counter")
            await other.get("/session")
            assert value_in(other.set_cookies) == value_in(side.set_cookies)


async def test_both_sides_send_the_same_header_for_a_browser_session(redis_options: Options, meet: Meet) -> None:
    async with meet(redis_options, rolling=True) as both:
        await both.express.post("/counter")
        await both.ours.get("/session")
        assert both.ours.set_cookies == both.express.set_cookies


async def test_with_an_age_ours_adds_only_max_age_to_the_header_of_express(redis_options: Options, meet: Meet) -> None:
    async with meet(redis_options, max_age=500) as both:
        await both.express.post("/counter")
        await both.ours.post("/counter")
        [express], [ours] = both.express.set_cookies, both.ours.set_cookies
        moment = re.compile("Expires=[^;]+")
        assert re.search("; Max-Age=(499|500);", ours)
        assert moment.sub("Expires", re.sub("; Max-Age=[0-9]+", "", ours)) == moment.sub("Expires", express)


async def test_a_session_outlives_a_change_of_the_secret_on_both_sides(
    options: Options, meet: Meet, first: str
) -> None:
    async with meet(options, secrets=(OLD,)) as before:
        await before.side(first).post("/put", key="k", value=1)
    async with meet(options, secrets=(NEW, OLD), jar=before.jar) as during:
        assert await during.express.get("/session") == {"k": 1}
        assert await during.ours.get("/session") == {"k": 1}
    async with meet(options, secrets=(NEW,), jar=before.jar) as after:
        assert await after.express.get("/session") == {"k": 1}
        assert await after.ours.get("/session") == {"k": 1}


async def test_ours_signs_the_cookie_of_an_old_secret_anew_and_express_takes_it(
    redis_options: Options, meet: Meet
) -> None:
    async with meet(redis_options, secrets=(OLD,)) as before:
        await before.express.post("/counter")
        sid = before.sid
    async with meet(redis_options, secrets=(NEW, OLD), jar=before.jar) as during:
        await during.ours.get("/session")
        assert len(during.ours.set_cookies) == 1
        assert during.sid == sid
        assert await during.express.post("/counter") == 2


async def test_after_the_old_secret_is_gone_its_cookies_open_nothing(redis_options: Options, meet: Meet) -> None:
    async with meet(redis_options, secrets=(OLD,)) as before:
        await before.express.post("/counter")
    async with meet(redis_options, secrets=(NEW,), jar=before.jar) as after:
        assert await after.express.get("/session") == {}
        assert await after.ours.get("/session") == {}
