"""Sessions in Redis or Valkey, in connect-redis's form: key ``prefix + sid``, value the payload, expiry the key's."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Self, TypeVar

from asgi_session.exceptions import StoreError
from asgi_session.log import logger
from asgi_session.stores import redis_scripts as scripts
from asgi_session.stores.base import Record, Store, Utf8Record, checked_ttl, takes_waiter
from asgi_session.stores.pending import UNTIL_CANCELLED, Waiter
from asgi_session.stores.redis_call import Call, ms
from asgi_session.stores.redis_client import RedisClient, client_of, reach
from asgi_session.stores.redis_scripts import Script

Answer = TypeVar("Answer")

_FAR = 253402300799.0  # the last second of the year 9999; servers refuse what overflows their clock
_PAGE = 500  # keys that a SCAN step looks at: well under a millisecond of the server's time


class RedisStore(Store):
    """Keeps records in Redis 6 or later, or Valkey; shares them with connect-redis.

    Any asyncio client of redis-py or valkey-py will do, `decode_responses` and RESP2 or RESP3 as you like::

        store = RedisStore(redis.asyncio.Redis(host="cache"))
        store = RedisStore(redis.asyncio.RedisCluster(host="cache"))
        store = RedisStore.from_url("redis://cache/0")

    A client that was handed in stays the caller's to close and to share. Calls that come up together go together, over
    one connection (not with a cluster); where they need more connections than the client's pool has, or than 100, they
    wait for one. A key without expiry (connect-redis's ``disableTTL``) lives for `ttl` from each time it is
    read. A value that is not UTF-8 is logged and read as missing. What is no string can't be read or replaced:
    that raises `StoreError`.

    Args:
        client: an asyncio client.
        prefix: what keys begin with; connect-redis's own default.
        ttl: life in seconds of a record stored with ``expires=None``.

    Raises:
        TypeError: the client is not an asyncio client, or `ttl` is no number.
        ValueError: `ttl` is not positive and finite.
    """

    def __init__(self, client: RedisClient, *, prefix: str = "sess:", ttl: float = Store.ttl) -> None:
        if not isinstance(prefix, str):
            raise TypeError("prefix is no str")
        self.ttl: float = checked_ttl(ttl)
        self._client = client
        self._ours = False
        self._server = reach(client)
        self._prefix = prefix.encode()

    @classmethod
    def from_url(cls, url: str, *, prefix: str = "sess:", ttl: float = Store.ttl) -> Self:
        """A store with a client of its own, which `aclose` closes.

        Args:
            url: as redis-py reads it (``redis://``, ``rediss://``, ``unix://``; options such as ``socket_timeout`` and
                ``max_connections`` in its query), or valkey-py (``valkey://``, ``valkeys://``). Not for a cluster.
            prefix: see the class.
            ttl: see the class.

        Raises:
            ImportError: neither redis-py nor valkey-py is installed.
            ValueError: not such a URL, of which the message repeats nothing; or `ttl` is not positive and finite.
        """
        store = cls(client_of(url), prefix=prefix, ttl=ttl)
        store._ours = True
        return store

    @takes_waiter
    async def get(self, sid: str, *, waiter: Waiter = UNTIL_CANCELLED) -> Record | None:
        now = time.time()
        call = Call(scripts.GET, self._key(sid), (), repeatable=True)
        found: bytes | list[Any] | None = await _made(waiter.wait(self._server.begin(call)))
        if found is None:
            return None
        death, value = found if isinstance(found, list) else found.split(b" ", 1)
        payload = _text(value)
        if payload is None:
            logger.warning("A stored session is not UTF-8; it is treated as missing.")
            return None
        ms_of_death = int(death)  # below 0 for a key without expiry
        return Utf8Record(value, now + self.ttl if ms_of_death < 0 else ms_of_death / 1000, payload)

    @takes_waiter
    async def create(self, sid: str, record: Record, *, waiter: Waiter = UNTIL_CANCELLED) -> bool:
        return await self._write(waiter, scripts.CREATE, sid, self._death(record.expires), record.utf8)

    @takes_waiter
    async def replace(self, sid: str, record: Record, *, expected: Record, waiter: Waiter = UNTIL_CANCELLED) -> bool:
        death = self._death(record.expires)
        return await self._write(waiter, scripts.REPLACE, sid, death, record.utf8, expected.utf8)

    @takes_waiter
    async def touch(
        self, sid: str, expires: float | None, *, expected: Record | None = None, waiter: Waiter = UNTIL_CANCELLED
    ) -> bool:
        return await self._write(waiter, scripts.TOUCH, sid, self._death(expires), *_wanted(expected))

    @takes_waiter
    async def destroy(self, sid: str, *, expected: Record | None = None, waiter: Waiter = UNTIL_CANCELLED) -> bool:
        return await self._write(waiter, scripts.DESTROY, sid, *_wanted(expected))

    async def ids(self) -> AsyncIterator[str]:
        """The ids of all live records: all keys with the prefix, whatever they hold, whose rest is UTF-8."""
        seen = set()  # SCAN may show a key twice while the server rearranges its table
        async for page in self._pages(scripts.LIST):
            for key in page:
                sid = key[len(self._prefix) :]
                if sid in seen:
                    continue
                seen.add(sid)
                text = _text(sid)
                if text is not None:
                    yield text

    async def clear(self, *, everything: bool = False) -> None:
        """Delete every key with the prefix.

        Args:
            everything: with an empty prefix: yes, every key of the database.

        Raises:
            ValueError: the prefix is empty, and `everything` was not asked for.
        """
        if not self._prefix and not everything:
            raise ValueError("without a prefix, clear() would delete every key of the database: say everything=True")
        async for _ in self._pages(scripts.CLEAR):
            pass

    async def aclose(self) -> None:
        if self._ours:
            try:
                await self._client.aclose()
            except Exception as error:
                raise _failure(error) from error

    def _key(self, sid: str) -> bytes:
        return self._prefix + _bytes(sid)

    def _death(self, expires: float | None) -> bytes:
        """The time of death in ms; 0 stands for one that has come (or is no number)."""
        now = time.time()
        if expires is None:
            expires = now + self.ttl
        return ms(min(expires, _FAR)) if expires > now else b"0"

    async def _write(self, waiter: Waiter, script: Script, sid: str, *args: bytes) -> bool:
        call = Call(script, self._key(sid), args, repeatable=False)
        return bool(await _made(waiter.wait(self._server.begin(call))))

    async def _pages(self, script: Script) -> AsyncIterator[list[bytes]]:
        """Go through the keys of every server: each page is what `script` returned for it."""
        pattern = re.sub(rb"[*?\[\]\\]", rb"\\\g<0>", self._prefix) + b"*"
        for make in await _made(self._server.nodes()):
            cursor = b"0"
            while True:
                call = Call(script, None, (cursor, pattern, b"%d" % _PAGE), repeatable=True)
                cursor, page = await _made(make(call))
                yield page
                if cursor == b"0":
                    break


async def _made(call: Awaitable[Answer]) -> Answer:
    """What came of a call; its failures are ours."""
    try:
        return await call
    except StoreError:  # no answer came, which is not the driver's word
        raise
    except Exception as error:
        raise _failure(error) from error


def _failure(error: Exception) -> StoreError:
    return StoreError(f"the Redis store failed: {type(error).__name__}")


def _wanted(expected: Record | None) -> tuple[bytes, ...]:
    return () if expected is None else (expected.utf8,)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(value: bytes) -> str | None:
    """UTF-8 as text; None for bytes that are none."""
    try:
        return value.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None
