"""A browser in front of both sides: one cookie jar, two addresses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http.cookiejar import Cookie, CookieJar
from typing import Any
from urllib.parse import unquote

import httpx2
from starlette.applications import Starlette

from tests.interop import asgi_app
from tests.interop.database import Database, opened
from tests.interop.options import Options


class Side:
    """One of the two. `get("/session")` and `post("/put", key="a", value=1)` return the JSON of the answer."""

    def __init__(self, name: str, client: httpx2.AsyncClient) -> None:
        self.name = name
        self._client = client
        self.set_cookies: list[str] = []
        """The Set-Cookie headers of the latest response."""

    async def get(self, path: str) -> Any:
        return self._read(await self._client.get(path))

    async def post(self, path: str, **body: Any) -> Any:
        headers = {"content-type": "application/json"}
        return self._read(await self._client.post(path, content=json.dumps(body), headers=headers))

    def _read(self, response: httpx2.Response) -> Any:
        self.set_cookies = response.headers.get_list("set-cookie")
        assert response.status_code == 200, (self.name, response.request.url.path, response.text)
        return json.loads(response.text)

    def __repr__(self) -> str:
        return self.name


class Both:
    """Express and this package over one database, and one browser that talks to both."""

    def __init__(
        self, options: Options, express: Side, ours: Side, app: Starlette, jar: CookieJar, db: Database
    ) -> None:
        self.options = options
        self.express = express
        self.ours = ours
        self.app = app
        self.jar = jar
        self.database = db

    def side(self, name: str) -> Side:
        """`express` or `ours`."""
        return {"express": self.express, "ours": self.ours}[name]

    def other(self, side: Side) -> Side:
        return self.ours if side is self.express else self.express

    @property
    def cookie(self) -> Cookie | None:
        """The session cookie that the browser holds."""
        for cookie in self.jar:
            if cookie.name == self.options.name:
                return cookie
        return None

    @property
    def sid(self) -> str:
        """The session id in it."""
        assert self.cookie is not None
        assert self.cookie.value is not None
        return unquote(self.cookie.value).removeprefix("s:").rpartition(".")[0]

    async def stored(self) -> dict[str, Any]:
        """The session in the database that belongs to the browser's cookie, with the member `cookie`."""
        return await self.database.session(self.sid)


@asynccontextmanager
async def both_sides(
    options: Options, express_url: Callable[[Options], str], jar: CookieJar | None = None
) -> AsyncIterator[Both]:
    """Both sides over one database: Express as a process, this package in this one.

    Args:
        options: for both.
        express_url: the fixture of this name.
        jar: the browser of an earlier visit, which goes on; None: a new browser, and an empty database.
    """
    url = express_url(options)
    async with opened(options) as database:
        if jar is None:
            jar = CookieJar()
            await database.clear()
        app = asgi_app.build(options, database.store)
        over_http = httpx2.AsyncHTTPTransport(verify=False)  # spares loading the certificates for each test
        in_process = httpx2.ASGITransport(app=app)
        # One host for both: cookies know no ports.
        async with (
            httpx2.AsyncClient(base_url=url, cookies=jar, transport=over_http) as to_express,
            httpx2.AsyncClient(base_url="http://127.0.0.1", cookies=jar, transport=in_process) as to_ours,
        ):
            yield Both(options, Side("express", to_express), Side("ours", to_ours), app, jar, database)
