"""What interop tests share: databases, Express apps that are already running, and browsers that visit both sides."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from http.cookiejar import CookieJar
from typing import Any, Protocol

import pytest

from tests.interop.both import Both, both_sides
from tests.interop.node import express, installed, start_app
from tests.interop.options import Options
from tests.servers.mongo import MongoServer
from tests.servers.redis import debian_binary, redis_process


@pytest.fixture(scope="session")
def express_url() -> Iterator[Callable[[Options], str]]:
    """`(options)` to the URL of an Express app with these, which runs until the end of all tests."""
    with express(installed()) as server:
        yield functools.cache(functools.partial(start_app, server))


@pytest.fixture(scope="session")
def redis_options() -> Iterator[Options]:
    """Both sides over a Redis of their own."""
    with redis_process(debian_binary()) as server:
        yield Options(store="redis", url=f"redis://127.0.0.1:{server.port}")


@pytest.fixture(scope="session")
def mongo_options(mongo_replica_set: MongoServer) -> Options:
    """Both sides over a MongoDB, with sessions as JSON text."""
    return Options(store="mongo", url=mongo_replica_set.url)


@pytest.fixture(scope="session")
def document_options(mongo_options: Options) -> Options:
    """The same with sessions as documents."""
    return dataclasses.replace(mongo_options, stringify=False, database="interop-documents")


@pytest.fixture(params=["redis", "mongo", "document"])
def options(request: pytest.FixtureRequest) -> Options:
    """Each database and form in turn."""
    found: Options = request.getfixturevalue(f"{request.param}_options")
    return found


@pytest.fixture(params=["redis", "mongo"])
def text_options(request: pytest.FixtureRequest) -> Options:
    """Those that keep a session as JSON text."""
    found: Options = request.getfixturevalue(f"{request.param}_options")
    return found


class Meet(Protocol):
    """Brings both sides together over one database; see `both_sides`."""

    def __call__(
        self, options: Options, *, jar: CookieJar | None = None, **changes: Any
    ) -> AbstractAsyncContextManager[Both]: ...


@pytest.fixture
def meet(express_url: Callable[[Options], str]) -> Meet:
    """`(options, jar=..., **changes of the options)` to an async context manager that gives both sides."""

    def meet(options: Options, *, jar: CookieJar | None = None, **changes: Any) -> AbstractAsyncContextManager[Both]:
        return both_sides(dataclasses.replace(options, **changes), express_url, jar)

    return meet


@pytest.fixture
async def both(options: Options, meet: Meet) -> AsyncIterator[Both]:
    """Both sides, a new browser, an empty database: each database and form in turn."""
    async with meet(options) as both:
        yield both


@pytest.fixture(params=["express", "ours"])
def first(request: pytest.FixtureRequest) -> str:
    """The side that a visit begins on: each in turn. `both.side(first)` is it, `both.other(...)` the one after."""
    name: str = request.param
    return name
