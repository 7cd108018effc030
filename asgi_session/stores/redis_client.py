"""Which clients RedisStore takes, and how it makes one of its own."""

from __future__ import annotations

import importlib
import re
from contextlib import suppress
from typing import Any, Protocol

from asgi_session.stores.redis_cluster import Cluster
from asgi_session.stores.redis_server import OneServer


class RedisClient(Protocol):
    """The asyncio clients of redis-py and valkey-py, for one server or a cluster."""

    async def execute_command(self, *args: Any, **options: Any) -> Any: ...

    async def aclose(self) -> None: ...


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
