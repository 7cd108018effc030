"""The flash queue against what connect-flash was measured to do, and where it differs on purpose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from asgi_session import Flash, Session

SCENARIOS: dict[str, list[dict[str, Any]]] = {
    scenario["name"]: scenario["calls"]
    for scenario in json.loads((Path(__file__).parent.parent / "vectors" / "flash.json").read_text(encoding="utf-8"))
}


class Ours(NamedTuple):
    """A scenario in which this package differs: why, and what each call returns (or raises) and leaves queued."""

    why: str
    calls: list[tuple[Any, dict[str, list[Any]]]]


FALSY = "a falsy message is a message, not a request to drain"
PRINTF = "messages are formatted as logging does it, and a message that does not fit its arguments is an error"

DIFFERENT = {
    "an empty string": Ours(FALSY, [(1, {"info": [""]})]),
    "zero": Ours(FALSY, [(1, {"info": [0]})]),
    "null": Ours(FALSY, [(1, {"info": [None]})]),
    "false": Ours(FALSY, [(1, {"info": [False]})]),
    "every placeholder of util.format": Ours(PRINTF, [(TypeError, {})]),
    "extra arguments without placeholders": Ours(PRINTF, [(TypeError, {})]),
    "a list with further arguments": Ours(PRINTF, [(TypeError, {}), ([], {})]),
    "an empty format": Ours(PRINTF, [(TypeError, {}), ([], {})]),
    "mixed formats on one queue": Ours(
        PRINTF,
        [
            (TypeError, {}),
            (1, {"info": ["None"]}),
            (2, {"info": ["None", "None"]}),
            (TypeError, {"info": ["None", "None"]}),
            (3, {"info": ["None", "None", "{'a': 1}"]}),
            (4, {"info": ["None", "None", "{'a': 1}", "[1, 2]"]}),
            (5, {"info": ["None", "None", "{'a': 1}", "[1, 2]", "1"]}),
            (6, {"info": ["None", "None", "{'a': 1}", "[1, 2]", "1", "1"]}),
            (7, {"info": ["None", "None", "{'a': 1}", "[1, 2]", "1", "1", "%s"]}),
            (TypeError, {"info": ["None", "None", "{'a': 1}", "[1, 2]", "1", "1", "%s"]}),
            (8, {"info": ["None", "None", "{'a': 1}", "[1, 2]", "1", "1", "%s", "1"]}),
            (["None", "None", "{'a': 1}", "[1, 2]", "1", "1", "%s", "1"], {}),
        ],
    ),
    "an empty category": Ours(
        "an empty category is a category, and queueing never drains", [(1, {"": ["x"]}), ({"": ["x"]}, {})]
    ),
    "null as category": Ours("a message without a category is an error, and queueing never drains", [(TypeError, {})]),
    "a number as category": Ours("a category is a str, as all keys of a session", [(TypeError, {}), ({}, {})]),
    "an empty list on an empty queue": Ours("no messages are no error", [(0, {})]),
    "category constructor, drained": Ours("no name is special", [([], {})]),
    "category toString": Ours("no name is special", [(1, {"toString": ["x"]})]),
    "category __proto__": Ours("no name is special", [(1, {"__proto__": ["x"]}), ({"__proto__": ["x"]}, {})]),
}


def run(calls: list[dict[str, Any]]) -> list[tuple[Any, dict[str, list[Any]]]]:
    """Make the calls on a new session: what each returned (the exception's type where it raised) and left queued."""
    session = Session()
    flash = Flash(session)
    results: list[tuple[Any, dict[str, list[Any]]]] = []
    for call in calls:
        args = list(call["args"])
        if args[1:] == ["<undefined>"]:  # what is undefined is not given
            args.pop()
        try:
            returned: Any = flash(*(None if arg == "<undefined>" else arg for arg in args))
        except TypeError:
            returned = TypeError
        # Express leaves an empty queue in the session, this package nothing. To either it means the same.
        results.append((returned, json.loads(json.dumps(session.get("flash", {})))))
    return results


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in DIFFERENT])
def test_the_queue_works_as_connect_flash_does(name: str) -> None:
    assert run(SCENARIOS[name]) == [(call["returns"], call["flash_after"]) for call in SCENARIOS[name]]


@pytest.mark.parametrize("name", DIFFERENT)
def test_the_queue_differs_from_connect_flash_where_that_loses_messages_or_hides_mistakes(name: str) -> None:
    assert run(SCENARIOS[name]) == DIFFERENT[name].calls


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_is_listed_as_different_is_different(name: str) -> None:
    express = [(call["returns"], call["flash_after"]) for call in SCENARIOS[name]]
    assert [repr(call) for call in DIFFERENT[name].calls] != [repr(call) for call in express]


def test_a_drained_queue_leaves_no_member_in_the_session() -> None:
    session = Session()
    flash = Flash(session)
    flash("info", "a")
    flash()
    assert "flash" not in session
