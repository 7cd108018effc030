"""How RedisStore reaches a cluster: through the client, which finds the node that has a key.

Writes are sent once, as to one server: to a node that we name, where clients do not repeat.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from asgi_session.stores.pending import InTask, Pending
from asgi_session.stores.redis_call import Call, run
from asgi_session.stores.redis_connection import Command
from asgi_session.stores.redis_pool import MOST_CONNECTIONS, ConnectionLimit, once_there_is_one


class Cluster:
    """Sends to the node that has the key, which the client finds."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._limit = ConnectionLimit(getattr(client, "connection_kwargs", {}).get("max_connections", MOST_CONNECTIONS))

    def begin(self, call: Call) -> Pending[Any]:
        """Have a call made."""
        return InTask(partial(self._make, call))

    async def _make(self, call: Call) -> Any:
        await self._client.initialize()
        return await self._send(None if call.repeatable else self._client.get_node_from_key(call.key), call)

    async def nodes(self) -> list[Callable[[Call], Awaitable[Any]]]:
        """How to make a call at each server."""
        await self._client.initialize()
        return [partial(self._send, node) for node in self._client.get_primaries()]

    async def _send(self, node: Any, call: Call) -> Any:
        """Run a script at this node; once, but for redirections by the node, which did nothing then.

        Args:
            node: None leaves the choice and repetition to the client.
        """
        where = {} if node is None else {"target_nodes": node}

        async def send(command: Command) -> Any:
            verb, *rest = command
            return await self._client.execute_command(verb.decode(), *rest, NEVER_DECODE=True, **where)

        limit = self._limit.here()
        await limit.acquire()
        try:
            return await once_there_is_one(run, send, call)
        finally:
            limit.release()
