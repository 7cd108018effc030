"""The application: one middleware, five pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import Depends, FastAPI
from starlette.staticfiles import StaticFiles

from asgi_session import SessionMiddleware, Store
from demo.pages import cart, counter, inspector, messages, sign_in
from demo.same_origin import same_origin


def create_app(store: Store, secret: str) -> FastAPI:
    """The demo on `store`, which it closes at shutdown; `secret` signs the cookies."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with store:
            yield

    # FastAPI's documentation pages load scripts from elsewhere, and nothing here may.
    app = FastAPI(title="asgi_session demo", lifespan=lifespan, openapi_url=None, dependencies=[Depends(same_origin)])
    app.state.store = store
    app.add_middleware(SessionMiddleware, secret=secret, store=store)
    for part in (counter, cart, sign_in, messages, inspector):
        app.include_router(part.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    return app
