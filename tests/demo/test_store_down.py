"""A store that does not answer."""

from __future__ import annotations

import httpx

from demo.app import create_app
from demo.store_url import open_store
from tests.demo.conftest import visiting
from tests.servers.process import free_port


async def answer_without_a_store(path: str, cookies: dict[str, str]) -> httpx.Response:
    """What a visitor gets while nobody listens where the store should be."""
    store = open_store(f"redis://127.0.0.1:{free_port()}/0")
    async with store, visiting(create_app(store, "a secret that only these tests know")) as visitor:
        visitor.cookies.update(cookies)
        return await visitor.get(path)


async def test_a_view_that_can_not_be_counted_is_answered_with_503_and_no_cookie() -> None:
    answer = await answer_without_a_store("/", {})
    assert answer.status_code == 503
    assert "retry-after" in answer.headers
    assert "set-cookie" not in answer.headers


async def test_a_page_that_needs_no_record_is_served_all_the_same() -> None:
    assert (await answer_without_a_store("/cart", {})).status_code == 200
