"""The application as a server starts and stops it."""

from __future__ import annotations

from asgi_session import MemoryStore
from demo.app import create_app


class WatchedStore(MemoryStore):
    """Knows whether it was closed."""

    closed = False

    async def aclose(self) -> None:
        self.closed = True
        await super().aclose()


async def test_the_store_is_closed_at_shutdown_and_not_before() -> None:
    store = WatchedStore()
    app = create_app(store, "a secret that only these tests know")
    async with app.router.lifespan_context(app):
        assert not store.closed
    assert store.closed
