"""The same routes as `express/app.js`, on this package."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from asgi_session import Cookie, Session, SessionMiddleware, Store
from tests.interop.options import Options


def build(options: Options, store: Store) -> Starlette:
    """The app. `app.state.held` and `app.state.release` are events: see `put_held`."""
    app = Starlette(
        routes=[
            Route("/session", session),
            Route("/age", age),
            Route("/id", sid),
            Route("/whoami", whoami),
            Route("/login", login, methods=["POST"]),
            Route("/logout", logout, methods=["POST"]),
            Route("/counter", counter, methods=["POST"]),
            Route("/cart/add", cart_add, methods=["POST"]),
            Route("/cart/remove", cart_remove, methods=["POST"]),
            Route("/flash", flash, methods=["POST"]),
            Route("/flash/drain", flash_drain, methods=["POST"]),
            Route("/remember", remember, methods=["POST"]),
            Route("/regenerate", regenerate, methods=["POST"]),
            Route("/destroy", destroy, methods=["POST"]),
            Route("/put", put, methods=["POST"]),
            Route("/put/held", put_held, methods=["POST"]),
            Route("/remove", remove, methods=["POST"]),
        ],
        middleware=[
            Middleware(
                SessionMiddleware,
                secret=options.secrets,
                store=store,
                name=options.name,
                cookie=Cookie(max_age=options.max_age),
                rolling=options.rolling,
            )
        ],
    )
    app.state.held = asyncio.Event()
    app.state.release = asyncio.Event()
    return app


def answer(value: Any) -> Response:
    """JSON in ASCII: unlike UTF-8 it can carry lone surrogates."""
    return Response(json.dumps(value), media_type="application/json")


def session_of(request: Request) -> Session:
    found: Session = request.state.session
    return found


async def session(request: Request) -> Response:
    return answer(session_of(request))


async def age(request: Request) -> Response:
    return answer(session_of(request).cookie.original_max_age)


async def sid(request: Request) -> Response:
    return answer(session_of(request).id)


async def whoami(request: Request) -> Response:
    return answer(session_of(request).get("passport", {}).get("user"))


async def login(request: Request) -> Response:
    user = (await request.json())["user"]
    session = session_of(request)
    session.regenerate()
    session["passport"] = {"user": user}
    return answer(user)


async def logout(request: Request) -> Response:
    session_of(request).regenerate()
    return answer(None)


async def counter(request: Request) -> Response:
    session = session_of(request)
    session["count"] = session.get("count", 0) + 1
    return answer(session["count"])


async def cart_add(request: Request) -> Response:
    new = await request.json()
    lines = session_of(request).setdefault("cart", {"lines": []})["lines"]
    for line in lines:
        if line["sku"] == new["sku"]:
            line["quantity"] += new["quantity"]
            break
    else:
        lines.append(new)
    return answer({"lines": lines})


async def cart_remove(request: Request) -> Response:
    sku = (await request.json())["sku"]
    cart = session_of(request).get("cart")
    if cart:
        cart["lines"][:] = [line for line in cart["lines"] if line["sku"] != sku]
    return answer(cart)


async def flash(request: Request) -> Response:
    new = await request.json()
    return answer(request.state.flash(new["category"], new["messages"]))


async def flash_drain(request: Request) -> Response:
    category = (await request.json())["category"]
    return answer(request.state.flash() if category is None else request.state.flash(category))


async def remember(request: Request) -> Response:
    seconds = (await request.json())["seconds"]
    session = session_of(request)
    session.cookie.max_age = seconds
    session["remember"] = seconds
    return answer(seconds)


async def regenerate(request: Request) -> Response:
    session_of(request).regenerate()
    return answer(None)


async def destroy(request: Request) -> Response:
    session_of(request).destroy()
    return answer(None)


async def put(request: Request) -> Response:
    new = await request.json()
    session_of(request)[new["key"]] = new["value"]
    return answer(new["value"])


async def put_held(request: Request) -> Response:
    """Like `put`, but between loading and committing it waits until the test has done something else."""
    new = await request.json()
    session_of(request)[new["key"]] = new["value"]
    request.app.state.held.set()
    await request.app.state.release.wait()
    return answer(new["value"])


async def remove(request: Request) -> Response:
    session_of(request).pop((await request.json())["key"], None)
    return answer(None)
