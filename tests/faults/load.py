"""Clients that count in sessions of their own, again and again, and keep books about what they were told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from asgi_session import Cookie, SessionMiddleware, Store
from tests.clients import SECRET

PATIENCE = 30
"""Seconds until a test gives up waiting for what should come by itself."""


def count(request: Request) -> JSONResponse:
    """Count, and say whose session it is. Each of `app.state.interludes` is called once, between load and commit."""
    session = request.state.session
    while request.app.state.interludes:
        request.app.state.interludes.pop()()
    session["name"] = request.path_params["name"]
    return JSONResponse([session["name"], session.increment("n")])


def look(request: Request) -> JSONResponse:
    return JSONResponse([request.session.get("name"), request.session.get("n")])


def app_on(store: Store, *, store_timeout: float) -> Starlette:
    """The app that the clients visit."""
    options = {"secret": SECRET, "store": store, "store_timeout": store_timeout, "cookie": Cookie(max_age=3600)}
    app = Starlette(
        routes=[Route("/count/{name}", count), Route("/look", look)],
        middleware=[Middleware(SessionMiddleware, **options)],  # type: ignore[arg-type]
    )
    app.state.interludes = []
    return app


class Client:
    """One client.

    Attributes:
        name: also the name in its session.
        acknowledged: how many of its counts were answered with 200.
        refused: how many were answered with 503.
        unsure: how many were sent and not acknowledged, those that were cancelled included.
        slowest: seconds that the slowest refusal took.
    """

    def __init__(self, name: str, http: httpx.AsyncClient) -> None:
        self.name = name
        self.http = http
        self.acknowledged = 0
        self.refused = 0
        self.unsure = 0
        self.slowest = 0.0

    async def count(self) -> None:
        """Send one request and check the answer."""
        begin = time.monotonic()
        self.unsure += 1
        response = await self.http.get(f"/count/{self.name}")
        if response.status_code == 200:
            name, number = response.json()
            assert name == self.name
            assert self.acknowledged < number <= self.acknowledged + self.unsure
            self.acknowledged += 1
            self.unsure -= 1
            return
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) > 0
        assert "set-cookie" not in response.headers
        self.refused += 1
        self.slowest = max(self.slowest, time.monotonic() - begin)

    async def count_on(self) -> None:
        while True:
            await self.count()
            await asyncio.sleep(0.01)

    async def check(self) -> None:
        """What was acknowledged is there, and nothing was counted twice."""
        name, number = (await self.http.get("/look")).json()
        assert name == self.name
        assert self.acknowledged <= number <= self.acknowledged + self.unsure


class Load:
    """Several clients at work."""

    def __init__(self, clients: list[Client]) -> None:
        self.clients = clients

    async def until(self, holds: Callable[[Client], bool]) -> None:
        """Until that holds for each client."""
        async with asyncio.timeout(PATIENCE):
            while not all(map(holds, self.clients)):
                for task in self.tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.01)

    async def until_all_are_served(self, times: int = 5) -> None:
        """Until each client got so many more counts through."""
        before = {client.name: client.acknowledged for client in self.clients}
        await self.until(lambda client: client.acknowledged >= before[client.name] + times)

    async def until_all_are_refused(self, times: int = 2) -> None:
        """Until each client was refused so many times more."""
        before = {client.name: client.refused for client in self.clients}
        await self.until(lambda client: client.refused >= before[client.name] + times)

    async def stop(self) -> None:
        """Let the requests in flight come to their end, then check everybody's books."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    tasks: list[asyncio.Task[None]]


@asynccontextmanager
async def load(stores: dict[str, Store], *, store_timeout: float, clients: int) -> AsyncIterator[Load]:
    """So many clients on each store, counting until the end."""
    async with AsyncExitStack() as stack:
        members = []
        for kind, store in stores.items():
            transport = httpx.ASGITransport(app_on(store, store_timeout=store_timeout))
            for number in range(clients):
                http = httpx.AsyncClient(transport=transport, base_url="http://testserver")
                members.append(Client(f"{kind}{number}", await stack.enter_async_context(http)))
        for client in members:
            await client.count()
        crew = Load(members)
        crew.tasks = [asyncio.create_task(client.count_on()) for client in members]
        try:
            yield crew
        finally:
            await crew.stop()
