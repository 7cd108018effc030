"""How RedisStore reaches one server: over the client's connections, calls of about the same time over the same one.

What if no answer comes? The clients send a command again when a connection breaks. Then a `replace` that did happen
would find its own result, call that a conflict, and the change would be made twice. So writes go over a connection that
is taken from the client's pool, and are sent once. Connecting still follows the client's retry settings, and so do
reads as a whole. Replies are never decoded, so that the client's settings make no difference.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from asgi_session.stores.pending import Pending
from asgi_session.stores.redis_call import Call, run
from asgi_session.stores.redis_connection import exchange, exchange_all, hang_up_if_closed, is_a
from asgi_session.stores.redis_pool import ConnectionLimit, once_there_is_one
from asgi_session.stores.together import AloneError, Together


class OneServer:
    """Sends over connections from the client's pool: the client itself would repeat writes, and adds time to reads."""

    def __init__(self, client: Any) -> None:
        self._pool = client.connection_pool
        self._limit = ConnectionLimit(self._pool.max_connections)
        # redis-py has deprecated the argument that older versions and valkey-py insist on.
        first = next(iter(inspect.signature(self._pool.get_connection).parameters.values()), None)
        self._purpose = ("EVALSHA",) if first is not None and first.default is inspect.Parameter.empty else ()
        self._takes_back_at_once = type(self._pool).__name__ == "ConnectionPool"
        self._lock: asyncio.Lock | None = getattr(self._pool, "_lock", None)  # in redis-py from version 8 on
        self._calls = Together(self._make_alone, self._make_together)

    def begin(self, call: Call) -> Pending[Any]:
        """Have a call made."""
        return self._calls.begin(call)

    async def nodes(self) -> list[Callable[[Call], Awaitable[Any]]]:
        """How to make a call at each server."""
        return [self._make_alone]

    async def _make_alone(self, call: Call) -> Any:
        def over(connection: Any) -> Awaitable[Any]:
            send = partial(exchange, connection)
            if not call.repeatable:
                return run(send, call)
            tries: Awaitable[Any] = connection.retry.call_with_retry(
                lambda: run(send, call), lambda _: connection.disconnect()
            )
            return tries

        return await self._connected(over)

    async def _make_together(self, calls: Sequence[Call]) -> list[Any]:
        commands = [call.by_hash for call in calls]
        outcomes = await self._connected(lambda connection: exchange_all(connection, commands))
        return [
            AloneError()
            if isinstance(outcome, Exception) and (call.repeatable or is_a(outcome, "NoScriptError"))
            else outcome
            for call, outcome in zip(calls, outcomes, strict=True)
        ]

    async def _connected(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        """Do something over a connection."""
        limit = self._limit.here()
        await limit.acquire()
        try:
            connection = await once_there_is_one(self._pool.get_connection, *self._purpose)
            try:
                await hang_up_if_closed(connection)
                return await work(connection)
            finally:
                await self._give_back(connection)
        finally:
            limit.release()

    def _give_back(self, connection: Any) -> Awaitable[None]:
        """A connection whose reply was not read has closed itself. One that isn't given back is lost to the pool."""
        giving: Awaitable[None] = self._pool.release(connection)
        # Where the pool has to wait first, a cancellation would strike.
        at_once = (
            self._takes_back_at_once
            and (self._lock is None or not self._lock.locked())
            and not (hasattr(connection, "should_reconnect") and connection.should_reconnect())
        )
        return giving if at_once else asyncio.shield(giving)
