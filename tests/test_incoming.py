"""Cookie headers that were sent to the real Express, sent to this package: `tests/vectors/incoming.json`."""

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from asgi_session import MemoryStore, Record
from tests.clients import Browser

ROWS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "vectors" / "incoming.json").read_text("utf-8"))

KNOWN = ["abc", "会话😀", "with.dots"]

DEVIATIONS = {
    "quoted": None,  # quotes are part of the value: what interprets them can be made to read another cookie's text
    "duplicate: first bad, second good": "abc",  # the first that verifies counts, so that nobody can hide it
}


class Known(MemoryStore):
    """Knows some sessions and notes what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.looked_up: list[str] = []

    async def get(self, sid: str) -> Record | None:
        self.looked_up.append(sid)
        return await super().get(sid)


@pytest.mark.filterwarnings("ignore:a session secret is shorter")
@pytest.mark.parametrize("row", ROWS, ids=[row["note"] for row in ROWS])
async def test_a_cookie_header_finds_the_session_that_express_finds(row: dict[str, Any]) -> None:
    store = Known()
    for sid in KNOWN:
        assert await store.create(sid, Record('{"cookie":{"originalMaxAge":null,"expires":null},"n":1}', None))
    found = row["sid"]
    looked_up = row["looked_up"]
    if row["note"] in DEVIATIONS:
        found = DEVIATIONS[row["note"]]
        looked_up = [] if found is None else [found]
    browser = Browser(store=store, secret=row["secrets"])
    response = await browser.visit(id_of_a_stored_session, headers=[("cookie", row["cookie_header"])])
    assert response.json() == found
    assert list(dict.fromkeys(store.looked_up)) == looked_up  # twice where the cookie is signed anew


def id_of_a_stored_session(request: Request) -> str | None:
    session = request.state.session
    return None if session.is_new else session.id


def test_every_deviation_is_one_of_the_rows() -> None:
    assert set(DEVIATIONS) <= {row["note"] for row in ROWS}
