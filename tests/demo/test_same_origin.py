"""Forms that other sites send to the demo."""

from __future__ import annotations

import httpx
import pytest

from asgi_session import MemoryStore

SENT: dict[str, tuple[dict[str, str], bool]] = {
    # what the browser says, and whether the form is taken
    "from a page of the demo": ({"sec-fetch-site": "same-origin", "origin": "http://demo.test"}, True),
    "by the visitor's own hand": ({"sec-fetch-site": "none"}, True),
    "from another site": ({"sec-fetch-site": "cross-site", "origin": "http://demo.test"}, False),
    "from a neighbouring subdomain": ({"sec-fetch-site": "same-site"}, False),
    "from a page of the demo, by an old browser": ({"origin": "http://demo.test"}, True),
    "from another site, by an old browser": ({"origin": "http://elsewhere.test"}, False),
    "from the same host's other port, by an old browser": ({"origin": "http://demo.test:8001"}, False),
    "from a page without an origin": ({"origin": "null"}, False),
    "from a page without an origin, to no host": ({"origin": "null", "host": ""}, False),
    "from what is no origin": ({"origin": "http://["}, False),
    "by what is no browser": ({}, True),
}


@pytest.mark.parametrize(("headers", "is_taken"), SENT.values(), ids=SENT)
async def test_a_form_is_taken_from_the_demos_own_pages(
    headers: dict[str, str], is_taken: bool, visitor: httpx.AsyncClient, store: MemoryStore
) -> None:
    answer = await visitor.post("/sign-in", data={"name": "Mallory"}, headers=headers, follow_redirects=False)
    assert answer.status_code == (303 if is_taken else 403)
    assert ("set-cookie" in answer.headers) is is_taken
    assert await store.length() == int(is_taken)


async def test_pages_can_be_linked_to_from_anywhere(visitor: httpx.AsyncClient) -> None:
    assert (await visitor.get("/cart", headers={"sec-fetch-site": "cross-site"})).status_code == 200
