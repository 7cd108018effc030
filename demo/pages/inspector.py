"""Behind the curtain: the visitor's cookie and record, as the browser and the store have them."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from asgi_session import Store
from asgi_session.fastapi import SessionDep
from demo.rendering import see_other, show
from demo.sent_cookie import sent_cookie

router = APIRouter()


@router.get("/inspector")
async def inspect(request: Request, session: SessionDep) -> Response:
    store: Store = request.app.state.store
    # The visitor's own record and no other; a new session has none yet.
    record = None if session.is_new else await store.get(session.id)
    cookie = sent_cookie(request.headers, session.id)
    return show(request, "inspector", cookie=cookie, record=record)


@router.post("/forget")
async def forget_me(session: SessionDep) -> Response:
    session.destroy()  # the record now, the cookie with this response
    return see_other("/inspector")
