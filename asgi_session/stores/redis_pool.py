"""How many connections RedisStore uses at once, and how it waits for one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakKeyDictionary

from asgi_session.stores.redis_connection import is_a

MOST_CONNECTIONS = 100
"""At once; more than this make one event loop no faster."""

_RECHECK = 0.01  # seconds until a connection is asked for again where others use up the client's pool


class ConnectionLimit:
    """Limits the connections in use, so that nobody finds the client's pool empty because of us.

    Args:
        connections: how many the pool has.
    """

    def __init__(self, connections: int) -> None:
        self._most = min(MOST_CONNECTIONS, connections)
        self._of: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    def here(self) -> asyncio.Semaphore:
        """What to acquire in this event loop. Each has its own, as they can't share one."""
        loop = asyncio.get_running_loop()
        semaphore = self._of.get(loop)
        if semaphore is None:
            semaphore = self._of[loop] = asyncio.Semaphore(self._most)
        return semaphore


async def once_there_is_one(ask: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """Ask until the client has a connection to spare: its other users hold some, and do not say when they are done."""
    while True:
        try:
            return await ask(*args)
        except Exception as error:
            if not is_a(error, "MaxConnectionsError") and str(error) != "Too many connections":
                raise
        await asyncio.sleep(_RECHECK)
