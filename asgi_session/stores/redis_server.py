"""How RedisStore reaches its server or its cluster, with the asyncio clients of redis-py and valkey-py.

What if no answer comes? The clients send a command again when a connection breaks. Then a `replace` that did happen
would find its own result, call that a conflict, and the change would be made twice. So writes go over a connection that
is taken from the client's pool, and are sent once; in a cluster, to a node named by us, where clients do not repeat.
Connecting still follows the client's retry settings, and so do reads as a whole. Replies are never decoded, so that the
client's settings make no difference.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import math
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

from asgi_session.stores.redis_connection import exchange, hang_up_if_closed
from asgi_session.stores.redis_scripts import Script

MOST_CALLS = 100
"""At once; more connections than this make one event loop no faster."""

_RECHECK = 0.01  # seconds until a connection is asked for again where others use up the client's pool

_Command = tuple[bytes, ...]
_Send = Callable[[_Command], Awaitable[Any]]
Run = Callable[[Script, bytes | None, _Command], Awaitable[Any]]


class OneServer:
    """Sends over connections from the client's pool: the client itself would repeat writes, and adds time to reads."""

    def __init__(self, client: Any) -> None:
        self._pool = client.connection_pool
        self.connections: int = self._pool.max_connections
        # redis-py has deprecated the argument that older versions and valkey-py insist on.
        first = next(iter(inspect.signature(self._pool.get_connection).parameters.values()), None)
        self._purpose = ("EVALSHA",) if first is not None and first.default is inspect.Parameter.empty else ()
        self._takes_back_at_once = type(self._pool).__name__ == "ConnectionPool"
        self._lock: asyncio.Lock | None = getattr(self._pool, "_lock", None)  # in redis-py from version 8 on

    async def read(self, script: Script, key: bytes | None, args: _Command) -> Any:
        connection = await self._connection()
        try:
            await hang_up_if_closed(connection)
            return await connection.retry.call_with_retry(
                lambda: _evaluate(partial(exchange, connection), script, key, args), lambda _: connection.disconnect()
            )
        finally:
            await self._give_back(connection)

    async def write(self, script: Script, key: bytes | None, args: _Command) -> Any:
        connection = await self._connection()
        try:
            await hang_up_if_closed(connection)
            return await _evaluate(partial(exchange, connection), script, key, args)
        finally:
            await self._give_back(connection)

    async def nodes(self) -> list[Run]:
        return [self.read]

    def _connection(self) -> Awaitable[Any]:
        return _once_there_is_one(self._pool.get_connection, *self._purpose)

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


class Cluster:
    """Sends to the node that has the key, which the client finds."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.connections: int = getattr(client, "connection_kwargs", {}).get("max_connections", MOST_CALLS)

    async def read(self, script: Script, key: bytes | None, args: _Command) -> Any:
        await self._client.initialize()
        return await self._at(None)(script, key, args)

    async def write(self, script: Script, key: bytes | None, args: _Command) -> Any:
        await self._client.initialize()
        return await self._at(self._client.get_node_from_key(key))(script, key, args)

    async def nodes(self) -> list[Run]:
        await self._client.initialize()
        return [self._at(node) for node in self._client.get_primaries()]

    def _at(self, node: Any) -> Run:
        """Running scripts at this node; once, but for redirections by the node, which did nothing then.

        Args:
            node: None leaves the choice and repetition to the client.
        """
        where = {} if node is None else {"target_nodes": node}

        async def send(command: _Command) -> Any:
            verb, *rest = command
            return await self._client.execute_command(verb.decode(), *rest, NEVER_DECODE=True, **where)

        return lambda script, key, args: _once_there_is_one(_evaluate, send, script, key, args)


async def _evaluate(send: _Send, script: Script, key: bytes | None, args: _Command) -> Any:
    """Run a script by its hash, or by its source where the server does not know it (yet, or after a flush)."""
    keys = (b"0",) if key is None else (b"1", key)
    try:
        return await send((*script.by_hash, *keys, ms(time.time()), *args))
    except Exception as error:
        if not is_a(error, "NoScriptError"):
            raise
    return await send((*script.by_source, *keys, ms(time.time()), *args))


def reach(client: Any) -> OneServer | Cluster:
    """The way to a client's server or servers; TypeError if that is not an asyncio client."""
    # Only the asyncio clients have `aclose`. Asking whether `execute_command` is a coroutine function would refuse
    # clients instrumented for tracing.
    if callable(getattr(client, "aclose", None)) and callable(getattr(client, "execute_command", None)):
        if hasattr(client, "get_node_from_key"):
            return Cluster(client)
        if hasattr(client, "connection_pool"):
            return OneServer(client)
    raise TypeError(
        "RedisStore needs an asyncio client: redis.asyncio.Redis or RedisCluster, valkey.asyncio.Valkey or "
        "ValkeyCluster (for a URL, there is RedisStore.from_url), not "
        f"{type(client).__module__}.{type(client).__qualname__}"
    )


def client_of(url: str) -> Any:
    """A client for a URL, of whichever package is there; of both, the one that the URL is named after.

    Raises:
        ImportError: there is neither.
        ValueError: the package does not take the URL.
    """
    names = ["redis", "valkey"]
    if url.startswith("valkey"):
        names.reverse()
    for name in names:
        try:
            package = importlib.import_module(f"{name}.asyncio")
        except ImportError:
            continue
        with suppress(Exception):  # not even as the context of ours: its text may hold a part of the password
            return package.from_url(re.sub("^valkey", "redis", url) if name == "redis" else url)
        raise ValueError(
            f"{name}-py does not take this URL; it is to look like {name}://user:password@host:6379/0, "
            "the password percent-encoded"
        )
    raise ImportError("RedisStore.from_url needs redis-py: pip install 'asgi-session[redis]'")


async def _once_there_is_one(ask: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """Ask until the client has a connection to spare: its other users hold some, and do not say when they are done."""
    while True:
        try:
            return await ask(*args)
        except Exception as error:
            if not is_a(error, "MaxConnectionsError") and str(error) != "Too many connections":
                raise
        await asyncio.sleep(_RECHECK)


def ms(seconds: float) -> bytes:
    """Seconds as milliseconds, in digits."""
    return b"%d" % math.floor(seconds * 1000)


def is_a(error: Exception, name: str) -> bool:
    """By name, as redis-py and valkey-py have each their own, and neither need be there."""
    return any(kind.__name__ == name for kind in type(error).__mro__)
