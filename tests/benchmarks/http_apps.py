"""The apps that are served over HTTP, one function each for ``uvicorn --factory``: four pages, with or without session.

The pages are those of express/server.js. A bare app works on one dict in memory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from importlib import import_module
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware as StarletteSessions
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asgi_session import Cookie, MemoryStore, SessionMiddleware
from tests.benchmarks.contenders.base import SECRET
from tests.benchmarks.payloads import shop_session

REDIS_URL = "BENCHMARK_REDIS"
"""The environment variable that names the server to those that keep their sessions there."""

_DATA = json.dumps(shop_session(100))

Load = Callable[[Request], Awaitable[MutableMapping[str, Any]]]


def _starlette(load: Load, middleware: list[Middleware]) -> Starlette:
    async def nothing(request: Request) -> PlainTextResponse:
        return PlainTextResponse("0")

    async def read(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str((await load(request))["count"]))

    async def write(request: Request) -> PlainTextResponse:
        session = await load(request)
        session["count"] += 1
        return PlainTextResponse(str(session["count"]))

    async def fill(request: Request) -> PlainTextResponse:
        (await load(request)).update(json.loads(_DATA))
        return PlainTextResponse("0")

    routes = [Route(f"/{page.__name__}", page) for page in (nothing, read, write, fill)]
    return Starlette(routes=routes, middleware=middleware)


async def _of_request(request: Request) -> MutableMapping[str, Any]:
    return request.session


def bare() -> Starlette:
    """Starlette without sessions."""
    one = json.loads(_DATA)

    async def load(request: Request) -> MutableMapping[str, Any]:
        session: dict[str, Any] = one
        return session

    return _starlette(load, [])


def ours() -> Starlette:
    """asgi_session as it comes."""
    return _starlette(_of_request, [Middleware(SessionMiddleware, secret=SECRET, store=MemoryStore())])


def ours_with_age() -> Starlette:
    """asgi_session with a cookie of two weeks, which every write sends again."""
    cookie = Cookie(max_age=14 * 86400)
    return _starlette(_of_request, [Middleware(SessionMiddleware, secret=SECRET, store=MemoryStore(), cookie=cookie)])


def ours_in_redis() -> Starlette:
    """asgi_session over Redis."""
    store = import_module("asgi_session.stores.redis").RedisStore.from_url(os.environ[REDIS_URL])
    return _starlette(_of_request, [Middleware(SessionMiddleware, secret=SECRET, store=store)])


def starlette_cookie() -> Starlette:
    """Starlette's own sessions."""
    return _starlette(_of_request, [Middleware(StarletteSessions, secret_key=SECRET)])


def starsessions() -> Starlette:
    """starsessions over its memory store."""
    return _starsessions(import_module("starsessions").InMemoryStore())


def starsessions_in_redis() -> Starlette:
    """starsessions over Redis."""
    return _starsessions(import_module("starsessions.stores.redis").RedisStore(os.environ[REDIS_URL]))


def _starsessions(store: Any) -> Starlette:
    package = import_module("starsessions")

    async def load(request: Request) -> MutableMapping[str, Any]:
        await package.load_session(request)
        return request.session

    return _starlette(load, [Middleware(package.SessionMiddleware, store=store)])


def litestar_bare() -> Any:
    """Litestar without sessions."""
    one = json.loads(_DATA)
    return _litestar(lambda request: one, {})


def litestar() -> Any:
    """Litestar's server-side sessions over its memory store."""
    return _litestar_sessions(import_module("litestar.stores.memory").MemoryStore())


def litestar_in_redis() -> Any:
    """Litestar's server-side sessions over Redis."""
    return _litestar_sessions(import_module("litestar.stores.redis").RedisStore.with_client(os.environ[REDIS_URL]))


def _litestar_sessions(store: Any) -> Any:
    config = import_module("litestar.middleware.session.server_side").ServerSideSessionConfig()
    return _litestar(
        lambda request: request.session, {"middleware": [config.middleware], "stores": {"sessions": store}}
    )


def _litestar(load: Callable[[Any], Any], options: dict[str, Any]) -> Any:
    framework = import_module("litestar")
    text = framework.MediaType.TEXT

    async def nothing() -> str:
        return "0"

    async def read(request: Any) -> str:
        return str(load(request)["count"])

    async def write(request: Any) -> str:
        session = load(request)
        session["count"] += 1
        return str(session["count"])

    async def fill(request: Any) -> str:
        load(request).update(json.loads(_DATA))
        return "0"

    for page in (read, write, fill):
        page.__annotations__ = {"request": framework.Request, "return": str}
    nothing.__annotations__ = {"return": str}
    pages = [framework.get(f"/{page.__name__}", media_type=text)(page) for page in (nothing, read, write, fill)]
    return framework.Litestar(pages, logging_config=None, **options)
