"""One visitor, two servers: whatever Express and this package do in turn to one session, both see the same session."""

from __future__ import annotations

import random
import time
from collections import deque
from typing import Any

import pytest

from tests.interop.both import Both, Side
from tests.interop.conftest import Meet
from tests.interop.model import AGES, USERS, Model, Step, random_step, same, without_empty_flash
from tests.interop.options import Options


async def alternate(both: Both, seed: int, steps: int) -> None:
    """Make random requests to random sides; after each, any side's view of the session is the model's."""
    dice = random.Random(seed)  # noqa: S311 (not for secrets)
    model = Model()
    latest: deque[tuple[Side, Step]] = deque(maxlen=8)  # what a failure shows
    ended: set[str] = set()  # ids that must never be seen again
    for _ in range(steps):
        side, witness = dice.choice([both.express, both.ours]), dice.choice([both.express, both.ours])
        step = random_step(dice)
        latest.append((side, step))
        before = both.sid if model.data else None
        expected = model.apply(step)
        answer = await side.post(step.path, **step.body)
        if before is not None and step.path in ("/login", "/logout", "/regenerate", "/destroy"):
            ended.add(before)
        assert same(answer, expected), (answer, expected, latest)
        seen = without_empty_flash(await witness.get("/session"))
        assert same(seen, model.data), (seen, model.data, witness, latest)
        keys = await both.database.keys()
        assert len(keys) <= 1, ("records nobody needs", latest)
        if not model.data:
            continue
        assert len(keys) == 1
        age = await witness.get("/age")
        # Express reads the clock twice when it takes an age, and may store a millisecond less.
        assert (None if age is None else round(age, 1)) == model.age, (witness, latest)
        lifetime = await both.database.lifetime(both.sid)
        assert lifetime == pytest.approx(model.age or both.options.ttl, abs=60), (witness, latest)
        if before is not None and step.path != "/login":
            assert both.sid == before, latest
        assert both.sid not in ended, latest


async def test_both_sides_always_agree_with_a_model(both: Both) -> None:
    await alternate(both, seed=1, steps=300)


async def test_both_sides_agree_when_express_saves_every_session_again(options: Options, meet: Meet) -> None:
    async with meet(options, resave=True) as both:
        await alternate(both, seed=3, steps=100)


async def test_both_sides_agree_when_the_cookie_goes_out_with_every_response(options: Options, meet: Meet) -> None:
    async with meet(options, rolling=True) as both:
        await alternate(both, seed=4, steps=100)


async def test_both_sides_agree_under_another_cookie_name(options: Options, meet: Meet) -> None:
    async with meet(options, name="__sid~1") as both:
        await alternate(both, seed=5, steps=50)
        assert {cookie.name for cookie in both.jar} <= {"__sid~1"}


# Signing in and out


@pytest.mark.parametrize("user", USERS)
async def test_who_signed_in_on_one_side_is_signed_in_on_the_other(both: Both, first: str, user: Any) -> None:
    side = both.side(first)
    await side.post("/login", user=user)
    assert await both.other(side).get("/whoami") == user


async def test_who_signed_out_on_one_side_is_signed_out_on_the_other(both: Both, first: str) -> None:
    side = both.side(first)
    await both.other(side).post("/login", user="u1")
    await side.post("/put", key="draft", value="secret")
    await side.post("/logout")
    assert await both.other(side).get("/whoami") is None
    assert await both.other(side).get("/session") == {}


async def test_signing_in_gives_a_new_id_and_ends_the_old_one_on_both_sides(both: Both, first: str) -> None:
    side = both.side(first)
    await both.other(side).post("/counter")
    old, old_sid = both.cookie, both.sid
    assert old is not None
    await side.post("/login", user="u1")
    assert both.sid != old_sid
    both.jar.set_cookie(old)
    assert await side.get("/session") == {}
    assert await both.other(side).get("/session") == {}


async def test_a_cookie_from_before_signing_out_opens_nothing_on_either_side(both: Both, first: str) -> None:
    side = both.side(first)
    await both.other(side).post("/login", user="u1")
    old = both.cookie
    assert old is not None
    await side.post("/logout")
    both.jar.set_cookie(old)
    assert await side.get("/whoami") is None
    assert await both.other(side).get("/whoami") is None


async def test_what_passport_keeps_stays_as_it_is_while_ours_writes(both: Both) -> None:
    await both.express.post("/login", user={"id": 1, "roles": ["admin"]})
    for _ in range(3):
        await both.ours.post("/counter")
    await both.ours.post("/flash", category="info", messages="hello")
    assert (await both.ours.get("/session"))["passport"] == {"user": {"id": 1, "roles": ["admin"]}}
    assert await both.express.get("/whoami") == {"id": 1, "roles": ["admin"]}


async def test_the_empty_session_that_passport_leaves_at_sign_out_is_not_touched_by_reading(both: Both) -> None:
    await both.express.post("/login", user="u1")
    await both.express.post("/logout")
    stored = await both.database.content(both.sid)
    assert await both.ours.get("/session") == {}
    assert both.ours.set_cookies == []
    assert await both.database.content(both.sid) == stored


# What visitors do


async def test_a_counter_counts_visits_to_both(both: Both, first: str) -> None:
    side = both.side(first)
    counts = [await each.post("/counter") for each in [side, both.other(side)] * 5]
    assert counts == list(range(1, 11))


async def test_a_cart_is_filled_and_emptied_on_either_side(both: Both, first: str) -> None:
    side = both.side(first)
    other = both.other(side)
    await side.post("/cart/add", sku="tea", quantity=1)
    await other.post("/cart/add", sku="茶", quantity=2)
    await other.post("/cart/add", sku="tea", quantity=3)
    await side.post("/cart/remove", sku="茶")
    assert await other.get("/session") == {"cart": {"lines": [{"sku": "tea", "quantity": 4}]}}
    await other.post("/cart/remove", sku="tea")
    assert await side.get("/session") == {"cart": {"lines": []}}


async def test_regenerating_on_one_side_starts_an_empty_session_on_the_other(both: Both, first: str) -> None:
    side = both.side(first)
    await side.post("/counter")
    old_sid = both.sid
    await both.other(side).post("/regenerate")
    assert await side.get("/session") == {}
    assert await side.post("/counter") == 1
    assert both.sid != old_sid


async def test_a_session_destroyed_on_one_side_is_gone_on_the_other(both: Both, first: str) -> None:
    side = both.side(first)
    await side.post("/counter")
    old = both.cookie
    assert old is not None
    await both.other(side).post("/destroy")
    both.jar.set_cookie(old)
    assert await side.get("/session") == {}
    assert await both.database.keys() == []


# Flash messages


async def test_messages_queued_on_one_side_are_drained_on_the_other_and_shown_once(both: Both, first: str) -> None:
    side = both.side(first)
    other = both.other(side)
    await side.post("/flash", category="info", messages="saved")
    await side.post("/flash", category="error", messages=["100%", {"code": 7}])
    await side.post("/put", key="k", value=1)
    assert await other.post("/flash/drain", category=None) == {"info": ["saved"], "error": ["100%", {"code": 7}]}
    assert await side.post("/flash/drain", category=None) == {}
    assert await other.post("/flash/drain", category="info") == []


async def test_messages_of_both_sides_stand_in_one_queue_in_order(both: Both, first: str) -> None:
    side = both.side(first)
    other = both.other(side)
    assert await side.post("/flash", category="info", messages="a") == 1
    assert await other.post("/flash", category="info", messages=["b", "c"]) == 3
    assert await side.post("/flash", category="info", messages="d") == 4
    assert await other.post("/flash/drain", category="info") == ["a", "b", "c", "d"]


async def test_draining_one_category_leaves_the_others_to_the_other_side(both: Both, first: str) -> None:
    side = both.side(first)
    await side.post("/flash", category="info", messages="a")
    await side.post("/flash", category="error", messages="b")
    assert await both.other(side).post("/flash/drain", category="info") == ["a"]
    assert await side.post("/flash/drain", category="error") == ["b"]


async def test_the_empty_queue_that_connect_flash_leaves_is_no_reason_to_write(both: Both) -> None:
    await both.express.post("/flash", category="info", messages="a")
    await both.express.post("/flash/drain", category="info")
    assert (await both.stored())["flash"] == {}
    stored = await both.database.content(both.sid)
    assert await both.ours.post("/flash/drain", category=None) == {}
    assert both.ours.set_cookies == []
    assert await both.database.content(both.sid) == stored


async def test_a_queue_of_express_that_ours_drained_leaves_no_member(both: Both) -> None:
    await both.express.post("/counter")
    await both.express.post("/flash", category="info", messages="a")
    assert await both.ours.post("/flash/drain", category="info") == ["a"]
    stored = await both.stored()
    assert stored.pop("cookie")
    assert stored == {"count": 1}


# Remember me


async def test_an_age_chosen_on_one_side_is_kept_by_the_other(both: Both, first: str) -> None:
    side = both.side(first)
    other = both.other(side)
    await side.post("/remember", seconds=3600)
    # Express works the age out from two looks at its clock, and a millisecond may pass in between.
    assert await other.get("/age") == pytest.approx(3600, abs=0.01)
    await other.post("/counter")
    assert (await both.stored())["cookie"]["originalMaxAge"] == pytest.approx(3600 * 1000, abs=10)
    assert await both.database.lifetime(both.sid) == pytest.approx(3600, abs=5)
    assert await side.get("/age") == pytest.approx(3600, abs=0.01)


async def test_a_cookie_with_an_age_slides_with_every_write_of_either_side(both: Both, first: str) -> None:
    side = both.side(first)
    await side.post("/remember", seconds=3600)
    for each in [both.other(side), side]:
        await each.post("/counter")
        assert len(each.set_cookies) == 1
        assert both.cookie is not None
        assert both.cookie.expires == pytest.approx(time.time() + 3600, abs=5)


@pytest.mark.parametrize("seconds", [age for age in AGES if age])
async def test_forgetting_an_age_makes_it_a_browser_session_on_both_sides(both: Both, first: str, seconds: int) -> None:
    side = both.side(first)
    other = both.other(side)
    await side.post("/remember", seconds=seconds)
    await other.post("/remember", seconds=None)
    assert await side.get("/age") is None
    cookie = (await both.stored())["cookie"]
    assert (cookie["originalMaxAge"], cookie["expires"]) == (None, None)
    assert await both.database.lifetime(both.sid) == pytest.approx(both.options.ttl, abs=5)
