"""What a finished request does to the store and to the cookie: one table, and the same against Express's behaviour."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count, product
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from starlette.requests import Request

from asgi_session import Cookie, Record, decision
from asgi_session.decision import CookieAction, Plan, StoreAction, decide, is_due
from asgi_session.signing import CookieSigner
from asgi_session.store_actions import _CARRY_OUT

from .clients import SECRET, Browser, attributes, set_cookie
from .clock import START, Clock
from .spy_store import SpyStore

VECTORS = Path(__file__).parent / "vectors"
MATRIX: list[dict[str, Any]] = json.loads((VECTORS / "decision.json").read_text(encoding="utf-8"))
UNSET: list[dict[str, Any]] = json.loads((VECTORS / "unset.json").read_text(encoding="utf-8"))

# The table. A row: the facts that hold, what happens to the record, what happens to the cookie.

TABLE: list[tuple[str, str, CookieAction]] = [
    # a new session
    ("empty", "nothing", "nothing"),
    ("empty presented", "nothing", "nothing"),
    ("empty save_uninitialized", "create", "send"),
    ("empty forced", "create", "send"),
    ("empty touched", "nothing", "nothing"),
    ("empty age_assigned changed", "nothing", "nothing"),
    ("empty rolling", "nothing", "nothing"),
    ("empty outdated presented", "nothing", "nothing"),
    ("changed", "create", "send"),
    ("changed presented", "create", "send"),
    # a new session after regenerate()
    ("empty renewed", "nothing", "nothing"),
    ("empty renewed save_uninitialized", "create", "send"),
    ("renewed changed", "create", "send"),
    # a stored session, unchanged
    ("stored held_data", "nothing", "nothing"),
    ("stored held_data has_age", "nothing", "nothing"),
    ("stored held_data due", "touch", "nothing"),
    ("stored held_data due has_age", "touch", "nothing"),
    ("stored held_data touched", "touch", "send"),
    ("stored held_data rolling", "confirm", "send"),
    ("stored held_data rolling due", "touch", "send"),
    ("stored held_data outdated", "confirm", "send"),
    ("stored held_data outdated due", "touch", "send"),
    ("stored held_data owed", "confirm", "send"),
    ("stored held_data owed created", "nothing", "send"),
    ("stored empty", "nothing", "nothing"),
    ("stored empty due", "touch", "nothing"),
    ("stored empty rolling", "confirm", "send"),
    # a stored session, written
    ("stored held_data changed", "replace", "nothing"),
    ("stored held_data changed has_age", "replace", "send"),
    ("stored held_data changed rolling", "replace", "send"),
    ("stored held_data changed touched", "replace", "send"),
    ("stored held_data changed outdated", "replace", "send"),
    ("stored held_data changed age_assigned", "replace", "send"),
    ("stored held_data changed owed", "replace", "send"),
    ("stored held_data changed due", "replace", "nothing"),
    ("stored held_data forced", "replace", "nothing"),
    ("stored held_data forced has_age", "replace", "send"),
    ("stored empty changed age_assigned has_age", "replace", "send"),
    # a stored session made empty
    ("stored held_data changed empty", "discard", "delete"),
    ("stored held_data changed empty has_age rolling touched", "discard", "delete"),
    ("stored held_data changed empty save_uninitialized", "replace", "nothing"),
    ("stored held_data changed empty save_uninitialized has_age", "replace", "send"),
    # a stored session after regenerate()
    ("stored held_data renewed changed", "renew", "send"),
    ("stored held_data renewed empty", "destroy", "delete"),
    ("stored held_data renewed keeps changed", "renew", "send"),
    ("stored held_data renewed keeps changed empty", "discard", "delete"),
    ("stored held_data renewed empty save_uninitialized", "renew", "send"),
    ("stored held_data renewed forced empty", "destroy", "delete"),
    ("stored renewed empty", "renew", "send"),  # it was stored empty, and nobody made it so
    ("stored renewed keeps empty", "renew", "send"),
    ("stored renewed changed", "renew", "send"),
    # destroyed
    ("stored held_data destroyed empty", "destroy", "delete"),
    ("stored destroyed empty touched rolling changed save_uninitialized", "destroy", "delete"),
    ("destroyed empty", "nothing", "nothing"),
    ("destroyed empty presented", "nothing", "delete"),
    # no cookie can be sent
    ("undeliverable empty", "nothing", "nothing"),
    ("undeliverable changed", "nothing!", "nothing"),
    ("undeliverable empty save_uninitialized", "nothing!", "nothing"),
    ("undeliverable stored held_data renewed changed", "destroy!", "delete"),
    ("undeliverable stored held_data renewed empty", "destroy", "delete"),
    ("undeliverable stored renewed empty", "destroy!", "delete"),
    ("undeliverable stored held_data changed", "replace", "nothing"),
]


def facts_of(names: str) -> int:
    return sum(getattr(decision, name.upper()) for name in names.split())


@pytest.mark.parametrize(("facts", "store", "cookie"), TABLE, ids=[row[0] for row in TABLE])
def test_the_table(facts: str, store: str, cookie: str) -> None:
    plan = decide(facts_of(facts))
    assert (plan.store, plan.cookie, plan.undeliverable) == (store.removesuffix("!"), cookie, store.endswith("!"))


FACTS = {name: value for name, value in vars(decision).items() if name.isupper() and isinstance(value, int)}
FREE = {name: value for name, value in FACTS.items() if name not in ("STORED", "CREATED", "UNDELIVERABLE", "_RESEND")}


def all_facts(fixed: str = "") -> list[int]:
    """Every combination of facts that go with the fixed ones."""
    base = facts_of(fixed)
    free = [value for value in FREE.values() if not value & base]
    return [base + sum(chosen) for chosen in product(*[(0, value) for value in free])]


WRITES_ONLY_WHAT_IS_THERE = {
    "renew",
    "replace",
    "touch",
    "confirm",
    "discard",
    "destroy",
}


def test_without_a_record_nothing_is_done_that_needs_one() -> None:
    assert not {decide(facts).store for facts in all_facts()} & WRITES_ONLY_WHAT_IS_THERE


def test_with_a_record_none_is_created_beside_it() -> None:
    assert "create" not in {decide(facts).store for facts in all_facts("stored")}


def test_a_destroyed_session_is_never_written_whatever_else_was_done() -> None:
    plans = {decide(facts) for facts in all_facts("stored destroyed")}
    assert plans == {Plan("destroy", "delete")}


def test_a_cookie_is_only_set_for_a_record_that_the_store_vouches_for_in_this_commit() -> None:
    sent = {decide(facts).store for facts in [*all_facts(), *all_facts("stored")] if sends(facts)}
    assert sent == {
        "create",
        "renew",
        "replace",
        "touch",
        "confirm",
    }


def sends(facts: int) -> bool:
    return decide(facts).cookie == "send"


def test_reading_never_writes() -> None:
    reading = [facts for facts in all_facts("stored held_data") if not facts & ~facts_of(f"stored {QUIET}")]
    assert {decide(facts).store for facts in reading} <= {"nothing", "touch", "confirm"}


QUIET = "presented held_data due has_age outdated rolling save_uninitialized touched"


def test_every_fact_has_a_number_of_its_own() -> None:
    numbers = [value for name, value in FACTS.items() if name != "_RESEND"]
    assert sorted(numbers) == [1 << place for place in range(len(numbers))]


# When a touch is due


@pytest.mark.parametrize(
    ("age", "touch_after", "since", "due"),
    [
        (3600, 60, 0, False),
        (3600, 60, 59, False),
        (3600, 60, 60, True),
        (3600, 60, 61, True),
        (300, 60, 29, False),
        (300, 60, 30, True),
        (3600, 0, 0, True),
        (3600, 86400, 359, False),
        (3600, 86400, 360, True),
    ],
)
def test_a_touch_is_due_after_touch_after_and_no_later_than_a_tenth_of_the_age(
    age: float, touch_after: float, since: float, due: bool
) -> None:
    assert is_due(START + since, age, START + age, touch_after) is due


def test_an_expiry_far_too_late_is_put_right() -> None:
    assert is_due(START, 3600, START + 7200, 60)


# The same requests as Express was measured with


class Ledger(SpyStore):
    """Writes its calls down as the vectors do: ``set:new1``."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger: list[str] = []

    def note(self, call: str, sid: str) -> None:
        self.ledger.append(f"{call}:{'E' if sid == 'existing-sid' else sid}")

    async def get(self, sid: str) -> Record | None:
        self.note("get", sid)
        return await super().get(sid)

    async def create(self, sid: str, record: Record) -> bool:
        self.note("set", sid)
        return await super().create(sid, record)

    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        self.note("set", sid)
        return await super().replace(sid, record, expected=expected)

    async def touch(self, sid: str, expires: float | None, *, expected: Record | None = None) -> bool:
        self.note("touch", sid)
        return await super().touch(sid, expires, expected=expected)

    async def destroy(self, sid: str, *, expected: Record | None = None) -> bool:
        self.note("destroy", sid)
        return await super().destroy(sid, expected=expected)


class Outcome(NamedTuple):
    """What one request did."""

    store_calls: list[str]
    cookie_sid: str | None
    cookie_has_expires: bool
    cookie_deleted: bool = False


async def modify_and_save(request: Request) -> None:
    request.session["n"] = 2
    await request.state.session.save()


ACTIONS: dict[str, Callable[[Request], Any]] = {
    "none": lambda request: None,
    "modify_save": modify_and_save,
    "set_null": lambda request: setattr(request.state, "session", None),
    "delete": lambda request: delattr(request.state, "session"),
    "cookie_only": lambda request: setattr(request.state.session.cookie, "max_age", 120),
    "regenerate": lambda request: request.state.session.regenerate(),
    "read_flash": lambda request: request.state.flash("info"),
}


async def outcome(row: dict[str, Any], action: str, **options: Any) -> Outcome:
    store = Ledger()
    max_age = row.get("max_age")
    expires = START + (store.ttl if max_age is None else max_age)
    age = "null" if max_age is None else str(max_age * 1000)
    moment = "null" if max_age is None else '"2030-03-17T17:47:40.000Z"'
    cookie = f'{{"originalMaxAge":{age},"expires":{moment},"httpOnly":true,"path":"/"}}'
    await store.inner.create("existing-sid", Record(f'{{"cookie":{cookie},"n":1}}', expires))
    numbers = count(1)
    browser = Browser(
        store=store,
        genid=lambda connection: f"new{next(numbers)}",
        cookie=Cookie(max_age=max_age),
        touch_after=0,
        **options,
    )
    sid = {"existing": "existing-sid", "unknown_sid": "ghost", "new": None}[row["request"]]
    if sid is not None:
        browser.cookies.set("connect.sid", CookieSigner([SECRET.encode()]).sign(sid))
    header = set_cookie(await browser.visit(ACTIONS[action]))
    if header is None:
        return Outcome(store.ledger, None, cookie_has_expires=False)
    sent = attributes(header)
    if sent[""] == "":
        return Outcome(store.ledger, None, cookie_has_expires=False, cookie_deleted=True)
    presented = CookieSigner([SECRET.encode()]).unsign(sent[""].encode())
    assert presented is not None
    return Outcome(store.ledger, presented.sid, "expires" in sent)


def by_express(row: dict[str, Any]) -> Outcome:
    return Outcome(row["store_calls"], row["cookie_sid"], row["cookie_has_expires"])


async def measured(row: dict[str, Any]) -> Outcome:
    return await outcome(
        row,
        row["action"],
        resave=row["resave"],
        save_uninitialized=row["save_uninitialized"],
        rolling=row["rolling"],
    )


class Deviation(NamedTuple):
    """A way in which we differ from Express on purpose."""

    why: str
    applies: Callable[[dict[str, Any]], bool]
    ours: Callable[[dict[str, Any]], Outcome]


def sent_for_existing(row: dict[str, Any]) -> bool:
    return bool(row["rolling"] or (row["max_age"] is not None and row["resave"]))


def is_a(row: dict[str, Any], request: str, action: str) -> bool:
    return (row["request"], row["action"]) == (request, action)


def first_calls(row: dict[str, Any]) -> list[str]:
    return {"new": [], "existing": ["get:E"], "unknown_sid": ["get:ghost"]}[row["request"]]


def written_or_touched(row: dict[str, Any]) -> Outcome:
    """An existing session to which nothing was done: written where `resave` says so, touched otherwise."""
    sends = row["rolling"] or (row["resave"] and row["max_age"] is not None)
    return Outcome(
        ["get:E", "set:E" if row["resave"] else "touch:E"],
        "existing-sid" if sends else None,
        cookie_has_expires=bool(sends and row["max_age"] is not None),
    )


DEVIATIONS = [
    Deviation(
        "an assigned age is a change: it is written, and its cookie sent",
        lambda row: is_a(row, "existing", "cookie_only"),
        lambda row: Outcome(["get:E", "set:E"], "existing-sid", cookie_has_expires=True),
    ),
    Deviation(
        "a session that held data and was regenerated with nothing written after is deleted, not stored empty",
        lambda row: is_a(row, "existing", "regenerate") and not row["save_uninitialized"],
        lambda row: Outcome(["get:E", "destroy:E"], None, cookie_has_expires=False, cookie_deleted=True),
    ),
    Deviation(
        "the new record is written before the old one is deleted: a failure between the two loses no session",
        lambda row: is_a(row, "existing", "regenerate") and row["save_uninitialized"],
        lambda row: Outcome(["get:E", "set:new1", "destroy:E"], row["cookie_sid"], row["cookie_has_expires"]),
    ),
    Deviation(
        "a new session that is regenerated has no record to delete, and left empty is none to store",
        lambda row: row["request"] != "existing" and row["action"] == "regenerate" and not row["save_uninitialized"],
        lambda row: Outcome(first_calls(row), None, cookie_has_expires=False),
    ),
    Deviation(
        "a new session that is regenerated has no record to delete, and drew no id before",
        lambda row: row["request"] != "existing" and row["action"] == "regenerate" and row["save_uninitialized"],
        lambda row: Outcome([*first_calls(row), "set:new1"], "new1", row["cookie_has_expires"]),
    ),
    Deviation(
        "looking at an empty flash queue writes nothing: a new session stays unstored",
        lambda row: row["request"] != "existing" and row["action"] == "read_flash" and not row["save_uninitialized"],
        lambda row: Outcome(first_calls(row), None, cookie_has_expires=False),
    ),
    Deviation(
        "looking at an empty flash queue writes nothing: a stored session is treated as an unmodified one",
        lambda row: is_a(row, "existing", "read_flash") and (not row["resave"] or not sent_for_existing(row)),
        written_or_touched,
    ),
    Deviation(
        "what was written and has an age sends its cookie, a session written by resave too",
        lambda row: (
            is_a(row, "existing", "none") and row["resave"] and row["max_age"] is not None and not row["rolling"]
        ),
        written_or_touched,
    ),
]


def deviation_of(row: dict[str, Any]) -> Deviation | None:
    """The one deviation that makes a row come out otherwise; None where it comes out as in Express."""
    found = [deviation for deviation in DEVIATIONS if deviation.applies(row) and deviation.ours(row) != by_express(row)]
    assert len(found) <= 1
    return found[0] if found else None


def name_of(row: dict[str, Any]) -> str:
    options = [option for option in ("resave", "save_uninitialized", "rolling") if row[option]]
    return " ".join([row["request"], row["action"], *options, *(["aged"] if row["max_age"] else [])])


ALIKE = [row for row in MATRIX if deviation_of(row) is None]
OTHERWISE = [row for row in MATRIX if deviation_of(row) is not None]


@pytest.mark.parametrize("row", ALIKE, ids=name_of)
async def test_a_request_does_to_store_and_cookie_what_it_does_in_express(row: dict[str, Any], clock: Clock) -> None:
    assert await measured(row) == by_express(row)


@pytest.mark.parametrize("row", OTHERWISE, ids=name_of)
async def test_a_request_that_differs_from_express_on_purpose(row: dict[str, Any], clock: Clock) -> None:
    deviation = deviation_of(row)
    assert deviation is not None
    assert await measured(row) == deviation.ours(row), deviation.why


def test_every_deviation_concerns_some_measured_row() -> None:
    assert {deviation.why for deviation in map(deviation_of, OTHERWISE) if deviation} == {d.why for d in DEVIATIONS}


# Unset


def unset_by_us(row: dict[str, Any]) -> Outcome:
    """As Express, except that a new session has no record to delete and a destroyed one's cookie is taken back."""
    destroyed = row["unset"] == "destroy" and row["request"] == "existing"
    calls = [call for call in row["store_calls"] if call != "destroy:new1"]
    return Outcome(calls, None, cookie_has_expires=False, cookie_deleted=destroyed)


@pytest.mark.parametrize("row", UNSET, ids=lambda row: " ".join(map(str, row.values())))
async def test_unset_does_what_it_does_in_express_and_takes_the_cookie_of_a_destroyed_session(
    row: dict[str, Any], clock: Clock
) -> None:
    action = {"null": "set_null", "delete": "delete"}[row["how"]]
    found = await outcome(row, action, unset=row["unset"], save_uninitialized=row["save_uninitialized"])
    assert found == unset_by_us(row)


async def test_touching_is_throttled_by_default_where_express_touches_at_every_request(clock: Clock) -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(lambda request: request.session.update(a=1))
    store.calls.clear()
    await browser.visit()
    clock.advance(60)
    await browser.visit()
    assert store.calls == ["get", "get", "touch"]


def test_there_is_a_way_to_carry_out_every_action() -> None:
    assert set(_CARRY_OUT) == set(get_args(StoreAction))
