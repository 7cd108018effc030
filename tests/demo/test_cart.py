"""The cart: what is bought stays, and every click is answered by a message."""

from __future__ import annotations

import httpx


async def test_adding_twice_makes_a_quantity_of_two(visitor: httpx.AsyncClient) -> None:
    for _ in range(2):
        answer = await visitor.post("/cart/add", data={"sku": "pen"})
    assert "2 \u00d7 Fountain pen" in answer.text
    assert "€48.00" in answer.text


async def test_the_total_adds_up_different_things(visitor: httpx.AsyncClient) -> None:
    await visitor.post("/cart/add", data={"sku": "notebook"})
    await visitor.post("/cart/add", data={"sku": "ink"})
    assert "€20.50" in (await visitor.get("/cart")).text


async def test_removing_the_last_one_leaves_an_empty_cart(visitor: httpx.AsyncClient) -> None:
    await visitor.post("/cart/add", data={"sku": "pen"})
    answer = await visitor.post("/cart/remove", data={"sku": "pen"})
    assert "Nothing in it yet." in answer.text


async def test_a_change_redirects_with_303_and_is_announced_once(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.post("/cart/add", data={"sku": "pen"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/cart")
    assert "Fountain pen added to your cart." in (await visitor.get("/cart")).text
    assert "Fountain pen added to your cart." not in (await visitor.get("/cart")).text


async def test_an_unknown_thing_is_refused_politely(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.post("/cart/add", data={"sku": "yacht"})
    assert "The shop has no such thing." in answer.text
    assert "Nothing in it yet." in answer.text


async def test_removing_what_is_not_there_is_refused_politely(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.post("/cart/remove", data={"sku": "pen"})
    assert "That is not in your cart." in answer.text
