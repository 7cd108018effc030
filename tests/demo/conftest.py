"""A visitor of the demo: its own browser memory, inside this process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from asgi_session import MemoryStore
from demo.app import create_app


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def app(store: MemoryStore) -> FastAPI:
    return create_app(store, "a secret that only these tests know")


@pytest.fixture
async def visitor(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client that keeps cookies and follows redirects, as a browser does."""
    async with visiting(app) as client:
        yield client


def visiting(app: FastAPI) -> httpx.AsyncClient:
    """One more visitor, with no cookies yet."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://demo.test", follow_redirects=True)
