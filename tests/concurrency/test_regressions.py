"""Orders of store calls that once came out wrong. The digits say whose call came next while several waited."""

from __future__ import annotations

from tests.concurrency.interleaving import laboratory
from tests.concurrency.model import OLD, Outcome, queue_of
from tests.concurrency.operations import Program
from tests.concurrency.programs import START


def run(start: str, programs: list[Program], order: str) -> Outcome:
    with laboratory() as room:
        return room.run_in_order(START[start], programs, order)


def test_a_claim_in_a_session_that_was_renewed_meanwhile_gets_nothing() -> None:
    outcome = run("much", [("claim",), ("keep",)], "0111")
    assert outcome.answers[0].seen == [[]]
    assert queue_of(outcome.stored["new-1"]) == ["first"]


def test_a_claim_in_a_session_that_a_drain_emptied_and_ended_gets_nothing() -> None:
    outcome = run("a message alone", [("drain",), ("claim",)], "010")
    assert outcome.answers[1].seen == [[]]
    assert outcome.stored == {}


def test_a_session_that_a_claim_emptied_is_deleted_at_commit() -> None:
    outcome = run("a message alone", [("claim",)], "")
    assert outcome.stored == {}
    assert outcome.answers[0].cookie == "delete"


def test_renewing_what_this_request_emptied_keeps_what_another_put_in_meanwhile() -> None:
    outcome = run("a message alone", [("put",), ("drain", "keep")], "010")
    assert outcome.stored == {"new-1": {"a": "request 0"}}


def test_a_fresh_session_takes_nothing_from_the_old_one_when_its_commit_has_to_queue() -> None:
    outcome = run("much", [("put",), ("put",), ("regenerate", "add")], "010112")
    assert outcome.stored == {"new-2": {"flash": {"info": ["request 2"]}}}


def test_a_drained_message_stays_drained_though_a_claim_took_it_and_gave_it_back_meanwhile() -> None:
    outcome = run("much", [("drain", "put"), ("claim", "fail")], "0111011")
    assert outcome.answers[0].seen == [["first"]]
    assert outcome.stored[OLD]["a"] == "request 0"
    assert queue_of(outcome.stored[OLD]) == []
