"""The first page: a number that only this visitor's session knows."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from asgi_session.fastapi import SessionDep
from demo.rendering import show

router = APIRouter()


@router.get("/")
async def view_counter(request: Request, session: SessionDep) -> Response:
    views = session.increment("views")  # two tabs at once: both count
    return show(request, "counter", views=views)
