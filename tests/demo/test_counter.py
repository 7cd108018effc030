"""The first page."""

from __future__ import annotations

import httpx
from fastapi import FastAPI

from tests.demo.conftest import visiting


async def test_first_answer_counts_one_and_sets_the_cookie(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.get("/")
    assert "You have viewed this page 1 time<" in answer.text
    assert answer.headers["set-cookie"].startswith("connect.sid=s%3A")


async def test_each_view_counts(visitor: httpx.AsyncClient) -> None:
    for _ in range(2):
        await visitor.get("/")
    assert "You have viewed this page 3 times<" in (await visitor.get("/")).text


async def test_visitors_have_counters_of_their_own(app: FastAPI, visitor: httpx.AsyncClient) -> None:
    for _ in range(2):
        await visitor.get("/")
    async with visiting(app) as other:
        assert "You have viewed this page 1 time<" in (await other.get("/")).text
