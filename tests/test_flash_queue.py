"""How two requests' changes to one flash queue come together."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_session.flash_queue import NOTHING_DONE, Change, Log, claim, drain, merge, queue_of, restored


def log_of(**changes: tuple[list[Any], list[Any]]) -> Log:
    """What was done: category to (taken, added)."""
    log: dict[str, Change] = {}
    for category, (taken, added) in changes.items():
        log[category] = Change()
        log[category].taken = taken
        log[category].added = added
    return log


@pytest.mark.parametrize(
    ("value", "queue"),
    [
        ({"info": ["a"]}, {"info": ["a"]}),
        ({"info": ["a"], "other": "text", "empty": []}, {"info": ["a"]}),
        ({}, {}),
        (None, {}),
        ("text", {}),
        (["a"], {}),
        (5, {}),
    ],
)
def test_only_lists_in_a_dict_are_queues(value: object, queue: dict[str, list[Any]]) -> None:
    assert queue_of(value) == queue


@pytest.mark.parametrize(
    ("value", "category", "drained", "left"),
    [
        ({"info": ["a"], "error": ["x"]}, "info", {"info": ["a"]}, {"error": ["x"]}),
        ({"info": ["a"], "error": ["x"]}, None, {"info": ["a"], "error": ["x"]}, None),
        ({"info": ["a"]}, "info", {"info": ["a"]}, None),
        ({"info": ["a"]}, "error", {}, {"info": ["a"]}),
        ({"info": ["a"], "empty": []}, "info", {"info": ["a"]}, None),
        ({"info": ["a"], "foreign": 5}, None, {"info": ["a"]}, {"foreign": 5}),
        ({"foreign": 5}, "foreign", {}, {"foreign": 5}),
        ("text", None, {}, None),
    ],
)
def test_what_a_drain_takes_and_leaves(value: object, category: str | None, drained: object, left: object) -> None:
    assert drain(value, category) == (drained, left)


MERGES: dict[str, tuple[Any, Any, Any, Any]] = {
    # what both began with, what we made of it, what is stored now, what comes of it
    "both add": ({"i": ["a"]}, {"i": ["a", "b"]}, {"i": ["a", "c"]}, {"i": ["a", "c", "b"]}),
    "both add to nothing": (None, {"i": ["b"]}, {"i": ["c"]}, {"i": ["c", "b"]}),
    "we add elsewhere": ({"i": ["a"]}, {"i": ["a"], "e": ["x"]}, {"i": ["a", "c"]}, {"i": ["a", "c"], "e": ["x"]}),
    "we drain, they add": ({"i": ["a"]}, None, {"i": ["a", "c"]}, {"i": ["c"]}),
    "we add, they drain": ({"i": ["a"]}, {"i": ["a", "b"]}, None, {"i": ["b"]}),
    "both drain": ({"i": ["a"]}, None, None, None),
    "both drain, they add": ({"i": ["a"]}, None, {"i": ["c"]}, {"i": ["c"]}),
    "both add the same": ({"i": []}, {"i": ["b"]}, {"i": ["b"]}, {"i": ["b", "b"]}),
    "we drain one of two alike": ({"i": ["a", "a"]}, {"i": ["a"]}, {"i": ["a", "a"]}, {"i": ["a"]}),
    "we drain, they replaced it by foreign data": ({"i": ["a"]}, None, "text", "text"),
    "we replace a foreign member": ({"n": 1}, {"n": 2}, {"n": 1}, {"n": 2}),
    "we replace a foreign member, they add": ({"n": 1}, {"n": 2}, {"n": 1, "i": ["b"]}, {"n": 2, "i": ["b"]}),
    "we remove foreign data, they do nothing": ({"n": 1}, None, {"n": 1}, None),
    "we put foreign data there": (None, "text", None, "text"),
    "we put foreign data there, they add": (None, "text", {"i": ["b"]}, {"i": ["b"]}),
    "they replace foreign data, we add": ("text", {"i": ["b"]}, "other", {"i": ["b"]}),
    "foreign members stay": ({"i": ["a"]}, None, {"i": ["a"], "n": 5}, {"n": 5}),
}


@pytest.mark.parametrize(("base", "ours", "theirs", "merged"), MERGES.values(), ids=MERGES)
def test_changes_are_told_from_before_and_after_where_no_log_says_more(
    base: Any, ours: Any, theirs: Any, merged: Any
) -> None:
    assert merge(base, ours, theirs, NOTHING_DONE) == merged


def test_a_log_tells_a_message_drained_and_queued_again_from_one_left_alone() -> None:
    log = log_of(i=(["a"], ["a"]))
    assert merge({"i": ["a"]}, {"i": ["a"]}, {"i": ["a", "c"]}, log) == {"i": ["c", "a"]}
    assert merge({"i": ["a"]}, {"i": ["a"]}, None, log) == {"i": ["a"]}


def test_a_log_that_does_not_lead_from_before_to_after_is_not_believed() -> None:
    log = log_of(i=([], ["b"]))  # but the application changed the list by hand as well
    assert merge({"i": ["a"]}, {"i": ["a", "b", "z"]}, {"i": ["a"]}, log) == {"i": ["a", "b", "z"]}


def test_a_claim_takes_a_category_and_leaves_the_rest() -> None:
    assert claim({"i": ["a", "b"], "e": ["x"]}, "i", {}) == ({"i": ["a", "b"]}, {"e": ["x"]})


def test_a_claim_of_everything_leaves_only_foreign_data() -> None:
    assert claim({"i": ["a"], "e": ["x"], "n": 5}, None, {}) == ({"i": ["a"], "e": ["x"]}, {"n": 5})


def test_a_claim_does_not_take_what_this_request_drained_before() -> None:
    assert claim({"i": ["a", "b"]}, "i", log_of(i=(["a"], []))) == ({"i": ["b"]}, {"i": ["a"]})


def test_a_claim_finds_nothing_in_foreign_data() -> None:
    taken, _ = claim("text", None, {})
    assert taken == {}


def test_claimed_messages_go_back_to_the_front() -> None:
    assert restored({"i": ["new"], "n": 5}, {"i": ["a"], "e": ["x"]}) == {"i": ["a", "new"], "n": 5, "e": ["x"]}


def test_claimed_messages_go_back_where_nothing_is_left() -> None:
    assert restored(None, {"i": ["a"]}) == {"i": ["a"]}


MESSAGES = st.lists(st.sampled_from([1, 2, "a", None]), max_size=4)
QUEUES = st.dictionaries(st.sampled_from("ie"), MESSAGES, max_size=2)


@settings(deadline=None)
@given(QUEUES, QUEUES, QUEUES)
def test_a_merge_changes_none_of_what_it_is_given(base: Any, ours: Any, theirs: Any) -> None:
    before = copy.deepcopy((base, ours, theirs))
    merge(base, ours, theirs, NOTHING_DONE)
    assert (base, ours, theirs) == before


@settings(deadline=None)
@given(QUEUES, QUEUES)
def test_without_a_rival_our_changes_are_all_that_happens(base: Any, ours: Any) -> None:
    merged = queue_of(merge(base, ours, base, NOTHING_DONE))
    assert {name: sorted(map(repr, messages)) for name, messages in merged.items()} == {
        name: sorted(map(repr, messages)) for name, messages in queue_of(ours).items()
    }


@settings(deadline=None)
@given(QUEUES, QUEUES)
def test_without_changes_of_ours_theirs_are_all_that_happens(base: Any, theirs: Any) -> None:
    assert queue_of(merge(base, base, theirs, NOTHING_DONE)) == queue_of(theirs)


@settings(deadline=None)
@given(QUEUES, QUEUES)
def test_what_two_requests_add_is_all_there_once(ours: Any, theirs: Any) -> None:
    merged = queue_of(merge(None, ours, theirs, NOTHING_DONE))
    for name in "ie":
        assert merged.get(name, []) == [*theirs.get(name, []), *ours.get(name, [])]


@settings(deadline=None)
@given(QUEUES)
def test_what_was_claimed_and_given_back_is_as_it_was(queue: Any) -> None:
    taken, left = claim(queue, None, {})
    assert queue_of(restored(left, taken)) == queue_of(queue)


def test_true_is_another_message_than_one() -> None:
    one, true = {"i": [1]}, {"i": [True]}
    for queue in (
        merge(one, None, true, NOTHING_DONE),  # this request took 1, where True stands by now
        merge(one, true, one, NOTHING_DONE),
        merge({"i": [True, 1]}, true, {"i": [True, 1]}, NOTHING_DONE),
        claim({"i": [True, 1]}, None, log_of(i=([1], [])))[0],
    ):
        assert [[*map(type, messages)] for messages in queue.values()] == [[bool]]
    beside = merge({"x": 1}, {"x": True}, {"x": 1}, NOTHING_DONE)
    assert beside["x"] is True
