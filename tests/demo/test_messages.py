"""The flash messages page."""

from __future__ import annotations

import re

import httpx
import pytest

from demo.pages.messages import CATEGORIES


def shown(page: str) -> list[tuple[str, str]]:
    """Category and text of each message on a page."""
    return re.findall(r'<p class="flash (\w+)"><strong>\w+</strong> <span>(.*?)</span></p>', page)


@pytest.mark.parametrize("category", CATEGORIES)
async def test_a_message_appears_once_under_its_category(visitor: httpx.AsyncClient, category: str) -> None:
    answer = await visitor.post("/messages", data={"text": "Saved", "category": category})
    assert shown(answer.text) == [(category, "Saved")]
    assert shown((await visitor.get("/messages")).text) == []


async def test_a_message_waits_for_whichever_page_comes_next(visitor: httpx.AsyncClient) -> None:
    await visitor.post("/messages", data={"text": "Saved", "category": "info"}, follow_redirects=False)
    assert shown((await visitor.get("/cart")).text) == [("info", "Saved")]


async def test_three_at_once_come_out_in_order(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.post("/messages/three")
    assert [text for _, text in shown(answer.text)] == ["Three messages,", "queued at once,", "in order."]
    assert "found <strong>3</strong> waiting" in answer.text


async def test_a_message_is_text_not_html_and_no_format(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.post("/messages", data={"text": "<i>100 %s</i>", "category": "info"})
    assert shown(answer.text) == [("info", "&lt;i&gt;100 %s&lt;/i&gt;")]


@pytest.mark.parametrize("form", [{"text": " ", "category": "info"}, {"text": "Saved", "category": "x"}, {}])
async def test_an_empty_message_or_unknown_category_is_refused_politely(
    visitor: httpx.AsyncClient, form: dict[str, str]
) -> None:
    answer = await visitor.post("/messages", data=form)
    assert shown(answer.text) == [("error", "Please write a message and choose its category.")]


async def test_looking_at_an_empty_queue_sets_no_cookie(visitor: httpx.AsyncClient) -> None:
    assert "set-cookie" not in (await visitor.get("/messages")).headers
