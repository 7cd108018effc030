"""What counts as a change: another value, at whatever depth, and nothing else."""

from __future__ import annotations

import copy
import enum
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from asgi_session import Session

from .clients import Browser, put
from .spy_store import SpyStore

START: dict[str, Any] = {
    "n": 1,
    "list": [1, {"a": [2]}],
    "dict": {"x": {"y": 1}},
    "s": "text",
    "none": None,
    "ordered": {"b": 1, "a": 2},
    "large": [2**70],
    "half": ["\ud800"],
}

Change = Callable[[Any], Any]


async def calls_of(handler: Callable[[Request], Any]) -> list[str]:
    """The store calls of a request in a session that holds START."""
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(**copy.deepcopy(START)))
    store.calls.clear()
    await browser.visit(handler)
    return store.calls


CHANGES: dict[str, Change] = {
    "append to a list": lambda s: s["list"].append(3),
    "append to a list far down": lambda s: s["list"][1]["a"].append(3),
    "set a member far down": lambda s: s["dict"]["x"].update(y=2),
    "empty a dict far down": lambda s: s["dict"]["x"].clear(),
    "1 to True far down": lambda s: s["dict"]["x"].update(y=True),
    "through get": lambda s: s.get("list").pop(),
    "through setdefault": lambda s: s.setdefault("list", []).reverse(),
    "through values": lambda s: next(value for value in s.values() if isinstance(value, list)).clear(),
    "through items": lambda s: next(value for key, value in s.items() if key == "dict").clear(),
    "through dict()": lambda s: dict(s)["list"].append(3),
    "through ** unpacking": lambda s: {**s}["list"].append(3),
    "through copy()": lambda s: s.copy()["list"].append(3),
    "through copy.copy": lambda s: copy.copy(s)["list"].append(3),
    "through a union": lambda s: (s | {})["list"].append(3),
    "through a union from the right": lambda s: ({} | s)["list"].append(3),
    "another number": lambda s: s.__setitem__("n", 2),
    "a number for a truth value": lambda s: s.__setitem__("n", True),
    "a large number in place": lambda s: s["large"].append(-(2**63) - 1),
    "a large number for a small one": lambda s: s["list"].append(2**64),
    "a lone surrogate in place": lambda s: s["half"].append("\udfff"),
    "a str for a number": lambda s: s.__setitem__("n", "1"),
    "False for None": lambda s: s.__setitem__("none", False),
    "a new key": lambda s: s.__setitem__("new", 1),
    "a new key with None": lambda s: s.__setitem__("new", None),
    "a key gone whose value was None": lambda s: s.__delitem__("none"),
    "a key popped": lambda s: s.pop("list"),
    "an item popped": lambda s: bool(s.popitem()),
    "another list": lambda s: s.__setitem__("list", [1, {"a": [2, 3]}]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_a_change_is_noticed_and_written(change: Change) -> None:
    assert await calls_of(lambda request: change(request.session)) == ["get", "replace"]


NO_CHANGES: dict[str, Change] = {
    "nothing": lambda s: None,
    "read everything": lambda s: json.dumps(s),
    "read far down": lambda s: s["list"][1]["a"][0],
    "read what MessagePack can't hold": lambda s: bool(s["large"] and s["half"]),
    "an equal list of large numbers": lambda s: s.__setitem__("large", [2**70]),
    "read what is not there": lambda s: s.get("nothing"),
    "look for a key": lambda s: "n" in s,
    "an equal number": lambda s: s.__setitem__("n", 1),
    "an equal number of another type": lambda s: s.__setitem__("n", 1.0),
    "an equal number of another type far down": lambda s: s["dict"]["x"].update(y=1.0),
    "an equal dict in another order": lambda s: s.__setitem__("ordered", {"a": 2, "b": 1}),
    "an equal list": lambda s: s.__setitem__("list", [1, {"a": [2]}]),
    "an equal tuple": lambda s: s.__setitem__("list", (1, {"a": (2,)})),
    "all equal": lambda s: s.update(copy.deepcopy(START)),
    "there and back": lambda s: (s.__setitem__("n", 2), s.__setitem__("n", 1)),
    "there and back in place": lambda s: (s["list"].append(3), s["list"].pop()),
    "a key added and taken away": lambda s: (s.__setitem__("new", 1), s.pop("new")),
    "a key taken away and put back": lambda s: s.__setitem__("n", s.pop("n")),
    "emptied and filled": lambda s: (s.clear(), s.update(copy.deepcopy(START))),
    "a setdefault that finds the key": lambda s: s.setdefault("n", 5),
    "a pop that does not": lambda s: s.pop("nothing", None),
    "an empty update": lambda s: s.update(),
    "an increment of nothing": lambda s: s.increment("n", 0),
}


@pytest.mark.parametrize("change", NO_CHANGES.values(), ids=NO_CHANGES)
async def test_what_leaves_the_values_as_they_were_is_not_written(change: Change) -> None:
    assert await calls_of(lambda request: change(request.session)) == ["get"]


@pytest.mark.parametrize("change", NO_CHANGES.values(), ids=NO_CHANGES)
def test_modified_says_so(change: Change) -> None:
    session = Session(copy.deepcopy(START))
    change(session)
    assert session.modified is False


def test_a_change_undone_is_none() -> None:
    session = Session(copy.deepcopy(START))
    session["list"].append(3)
    assert session.modified is True
    session["list"].pop()
    assert session.modified is False


async def test_an_object_that_was_put_in_may_be_changed_afterwards() -> None:
    def handler(request: Request) -> None:
        cart = request.session["cart"] = [1]
        cart.append(2)

    browser = Browser()
    await browser.visit(handler)
    assert await browser.read() == {"cart": [1, 2]}


async def test_an_object_found_before_a_save_may_be_changed_afterwards() -> None:
    async def handler(request: Request) -> None:
        cart = request.session["cart"]
        await request.state.session.save()
        cart.append(2)

    browser = Browser()
    await browser.visit(put(cart=[1]))
    await browser.visit(handler)
    assert await browser.read() == {"cart": [1, 2]}


async def test_an_object_written_before_a_save_may_be_changed_afterwards() -> None:
    async def handler(request: Request) -> None:
        cart = request.session["cart"] = [1]
        await request.state.session.save()
        cart.append(2)

    browser = Browser()
    await browser.visit(handler)
    assert await browser.read() == {"cart": [1, 2]}


async def test_nested_keys_that_are_no_str_are_no_change_after_a_save() -> None:
    store = SpyStore()
    browser = Browser(store=store)

    async def handler(request: Request) -> None:
        request.session["odd"] = {None: 1, True: 2, 3: [4], 1.5: "x"}
        await request.session.save()  # type: ignore[attr-defined]
        assert request.session["odd"][3] == [4]

    await browser.visit(handler)
    assert store.calls == ["create"]
    assert await browser.read() == {"odd": {"null": 1, "true": 2, "3": [4], "1.5": "x"}}


async def test_an_object_put_in_by_reference_to_another_key_counts_for_both() -> None:
    def handler(request: Request) -> None:
        request.session["b"] = request.session["a"]
        request.session["b"].append(2)

    browser = Browser()
    await browser.visit(put(a=[1]))
    await browser.visit(handler)
    assert await browser.read() == {"a": [1, 2], "b": [1, 2]}


SCALARS = st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["", "a", "\ud800", 2**70])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from("abc")


def mutate(session: Session, data: st.DataObject) -> None:
    """One random change (or none) somewhere in the session, by its public methods only."""
    key = data.draw(NAMES)
    step = data.draw(st.sampled_from(["set", "delete", "look", "deep", "deep", "deep"]))
    if step == "set":
        session[key] = data.draw(VALUES)
    elif step == "delete":
        session.pop(key, None)
    elif step == "look":
        session.get(key)
    else:
        target: Any = session.get(key)
        for _ in range(data.draw(st.integers(0, 3))):
            if not isinstance(target, list | dict) or not target:
                break
            inner: list[Any] = list(target.values()) if isinstance(target, dict) else target
            target = data.draw(st.sampled_from(inner))
        if isinstance(target, list):
            if data.draw(st.booleans()):
                del target[-1:]
            else:
                target.append(data.draw(SCALARS))
        elif isinstance(target, dict):
            target[data.draw(st.sampled_from("xyz"))] = data.draw(SCALARS)


def texts(values: dict[str, Any]) -> dict[str, str]:
    return {key: json.dumps(value, sort_keys=True) for key, value in values.items()}


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(NAMES, VALUES), st.integers(0, 4), st.data())
def test_modified_holds_exactly_where_the_json_of_some_key_differs(
    start: dict[str, Any], steps: int, data: st.DataObject
) -> None:
    session = Session(copy.deepcopy(start))
    for _ in range(steps):
        mutate(session, data)
    assert session.modified is (texts(start) != texts(session))


class Role(enum.StrEnum):
    ADMIN = "admin"


class Level(enum.IntEnum):
    ONE = 1


@pytest.mark.parametrize(("stored", "equal"), [("admin", Role.ADMIN), (1, Level.ONE)])
def test_a_member_of_an_enumeration_that_is_equal_is_no_change(stored: object, equal: object) -> None:
    session = Session({"a": stored, "b": {"c": stored}})
    session["a"] = equal
    session["b"]["c"] = equal
    assert not session.modified
