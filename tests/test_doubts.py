"""What a stored record says of writes whose outcome nobody knows."""

from __future__ import annotations

from asgi_session import Record
from asgi_session.doubts import Doubts


def record(text: str) -> Record:
    return Record(f'{{"cookie":{{}},{text}}}', None)


BEFORE, MINE, MINE_TOO, THEIRS = (record(f'"n":{n}') for n in range(4))


def test_what_is_stored_tells_what_became_of_a_write() -> None:
    doubts = Doubts()
    doubts.note(MINE, adds=True)
    doubts.note(MINE_TOO, adds=False)
    assert doubts.verdict(MINE, BEFORE) == "made"
    assert doubts.verdict(MINE_TOO, BEFORE) == "made"
    assert doubts.verdict(BEFORE, BEFORE) == "open"
    assert doubts.verdict(THEIRS, BEFORE) == "overtaken"
    assert doubts.verdict(THEIRS, None) == "overtaken"
    assert doubts.adds  # one of them does


def test_claims_are_told_apart_from_other_writes() -> None:
    doubts = Doubts()
    doubts.note_claim(MINE.utf8, {"info": ["a"]})
    assert (doubts.hold_claims(), doubts.hold_changes(), doubts.adds) == (True, False, False)
    doubts.note(MINE_TOO, adds=False)
    assert (doubts.hold_claims(), doubts.hold_changes(), doubts.adds) == (True, True, False)


def test_a_claim_that_was_made_took_its_messages() -> None:
    doubts = Doubts()
    doubts.note_claim(MINE.utf8, {"info": ["a"]})
    doubts.note_claim(MINE_TOO.utf8, {"info": ["a", "b"]})
    assert doubts.claimed(MINE, BEFORE) == {"info": ["a"]}
    assert not doubts.hold_claims()
    assert doubts.claimed(MINE_TOO, BEFORE) == {}


def test_one_that_may_be_made_yet_stays_in_doubt() -> None:
    doubts = Doubts()
    doubts.note_claim(MINE.utf8, {"info": ["a"]})
    assert doubts.claimed(BEFORE, BEFORE) == {}
    assert doubts.claimed(THEIRS, None) == {}
    assert doubts.hold_claims()


def test_where_somebody_else_wrote_since_what_is_missing_counts_as_taken() -> None:
    doubts = Doubts()
    doubts.note_claim(MINE.utf8, {"info": ["a", "b"]})
    assert doubts.claimed(record('"flash":{"info":["b","c"]}'), BEFORE) == {"info": ["a"]}
    assert not doubts.hold_claims()
