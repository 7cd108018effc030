"""Flash messages: queued by one request, shown by the next, then gone."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from asgi_session.fastapi import FlashDep
from demo.form import Text
from demo.rendering import see_other, show

router = APIRouter()

CATEGORIES = ("success", "info", "warning", "error", "debug")
LONGEST_MESSAGE = 200


@router.get("/messages")
async def show_messages(request: Request, flash: FlashDep) -> Response:
    return show(request, "messages", waiting=len(flash), categories=CATEGORIES, longest=LONGEST_MESSAGE)


@router.post("/messages")
async def queue_message(
    flash: FlashDep,
    text: Text = "",
    category: Text = "info",
    then: Text = "messages",
) -> Response:
    text = text.strip()[:LONGEST_MESSAGE]
    if text and category in CATEGORIES:
        flash(category, text)
    else:
        flash.error("Please write a message and choose its category.")
    return see_other("/inspector" if then == "inspector" else "/messages")


@router.post("/messages/three")
async def queue_three(flash: FlashDep) -> Response:
    flash("info", ["Three messages,", "queued at once,", "in order."])
    return see_other("/messages")
