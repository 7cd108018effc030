"""The app that many requests visit at once, in the tests' process or served by uvicorn on all stores."""

from __future__ import annotations

import os
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from asgi_session import Cookie, SessionMiddleware, Store
from asgi_session.stores.mongo import MongoStore
from asgi_session.stores.redis import RedisStore
from tests.clients import SECRET

ENVIRONMENT = {"pymongo": "CROWD_MONGO", "motor": "CROWD_MONGO", "redis": "CROWD_REDIS"}
"""Where `served` finds the URL of each kind of store."""


def crowd_app(store: Store, **options: Any) -> ASGIApp:
    """The app on a store."""
    return Starlette(
        routes=[
            Route("/start", _start),
            Route("/data", _data),
            Route("/key/{name}", _key),
            Route("/increment", _increment),
            Route("/add/{message}", _add),
            Route("/claim", _claim),
            Route("/drain", _drain),
        ],
        middleware=[Middleware(SessionMiddleware, secret=SECRET, store=store, cookie=Cookie(max_age=3600), **options)],
    )


def served() -> ASGIApp:
    """The app on every kind of store, each under its name; for uvicorn."""
    return Starlette(routes=[Mount(f"/{kind}", crowd_app(_store(kind))) for kind in ENVIRONMENT])


def _store(kind: str) -> Store:
    url = os.environ[ENVIRONMENT[kind]]
    if kind == "redis":
        return RedisStore.from_url(url, prefix="crowd:")
    client: Any = AsyncMongoClient(url) if kind == "pymongo" else AsyncIOMotorClient(url)
    return MongoStore(client["asgi_session_tests"]["crowd"])


def _start(request: Request) -> JSONResponse:
    """A session with one message."""
    request.session["n"] = 0
    request.state.flash("info", "hello")
    return JSONResponse(None)


def _data(request: Request) -> JSONResponse:
    return JSONResponse(dict(request.session))


def _key(request: Request) -> JSONResponse:
    request.session[request.path_params["name"]] = True
    return JSONResponse(None)


def _increment(request: Request) -> JSONResponse:
    return JSONResponse(request.state.session.increment("n"))


def _add(request: Request) -> JSONResponse:
    return JSONResponse(request.state.flash("info", request.path_params["message"]))


async def _claim(request: Request) -> JSONResponse:
    return JSONResponse(await request.state.flash.claim("info"))


def _drain(request: Request) -> JSONResponse:
    return JSONResponse(request.state.flash("info"))
