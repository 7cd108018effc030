"""Sessions in Redis or Valkey, in connect-redis's form: key ``prefix + sid``, value the payload, expiry the key's own.

Every operation is one script on the server, so it is atomic and takes one round trip. Two questions need an answer:

**Whose clock ends a session?** The key carries the time of death itself (``PEXPIREAT``), not the seconds left, and a
script that is asked at or after that time by the client's clock finds nothing, though the server may still hold the
key. So processes agree on the end of a session to the millisecond, and a clock that moves forward ends sessions. But
taken literally, that would end the sessions of a client whose clock is behind too early, or at once. So where it is
behind by `_LAG` or more, the difference is added when writing and subtracted when reading: that client lives by the
seconds left on the server. Below that, the difference may as well be the time that the call was on its way. What
remains: the server's clock runs on, so no record outlives its time there, even if the client's clock stands still.

**What if no answer comes?** redis-py and valkey-py send a command again when a connection breaks. Then a `replace`
that did happen would find its own result, call that a conflict, and the change would be made twice. So writes go over
a connection that is taken from the client's pool, and are sent once; in a cluster, to a node named by us, where the
clients do not repeat. Connecting still follows the client's retry settings, and so do reads as a whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import inspect
import logging
import math
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Protocol, Self
from weakref import WeakKeyDictionary

from asgi_session.exceptions import StoreError
from asgi_session.stores.base import Record, Store

logger = logging.getLogger("asgi_session")

_LAG = 5000  # ms by which a client's clock may be behind before that counts: as much as a call takes at most by default
_FAR = 253402300799.0  # the last second of the year 9999; servers refuse what overflows their clock
_PAGE = 500  # keys that a SCAN step looks at: well under a millisecond of the server's time
_MOST_CALLS = 100  # at once; more connections than this make one event loop no faster
_RECHECK = 0.01  # seconds until a connection is asked for again where others use up the client's pool


class RedisClient(Protocol):
    """The asyncio clients of redis-py and valkey-py, for one server or a cluster."""

    async def execute_command(self, *args: Any, **options: Any) -> Any: ...

    async def aclose(self) -> None: ...


class _Script:
    """A server-side script. ARGV[1] is the client's time in ms; all times below are in ms on the client's clock."""

    _COMMON = f"""
local now = tonumber(ARGV[1])
local clock = redis.call('TIME')
local server = clock[1] * 1000 + math.floor(clock[2] / 1000)
local lag = server - now
if lag < {_LAG} then lag = 0 end

-- When a key dies, -1 for never; nil where it is dead.
local function death(key)
  local at = redis.pcall('PEXPIRETIME', key)
  if type(at) == 'table' then  -- an error: Redis 6 does not have the command
    at = redis.call('PTTL', key)
    if at >= 0 then at = server + at end
  end
  if at == -1 then return -1 end
  if at - lag > now then return at - lag end
end

local function set_death(key, at)
  if at > now then
    redis.call('PEXPIREAT', key, string.format('%.0f', at + lag))
  else
    redis.call('DEL', key)
  end
end
"""

    def __init__(self, body: str) -> None:
        source = (self._COMMON + body).encode()
        self.by_source = (b"EVAL", source)
        self.by_hash = (b"EVALSHA", hashlib.sha1(source, usedforsecurity=False).hexdigest().encode())


# One string, "death payload": the drivers' parsers need twice as long for an array of two.
_GET = _Script("""
local at = death(KEYS[1])
if not at then return false end
return string.format('%.0f ', at) .. redis.call('GET', KEYS[1])
""")

_CREATE = _Script("""
if death(KEYS[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[3])
set_death(KEYS[1], tonumber(ARGV[2]))
return 1
""")

_REPLACE = _Script("""
if not death(KEYS[1]) or redis.call('GET', KEYS[1]) ~= ARGV[4] then return 0 end
redis.call('SET', KEYS[1], ARGV[3])
set_death(KEYS[1], tonumber(ARGV[2]))
return 1
""")

_TOUCH = _Script("""
if not death(KEYS[1]) then return 0 end
set_death(KEYS[1], tonumber(ARGV[2]))
return 1
""")

_DESTROY = _Script("""
if not death(KEYS[1]) or (ARGV[2] and redis.call('GET', KEYS[1]) ~= ARGV[2]) then return 0 end
redis.call('DEL', KEYS[1])
return 1
""")

_LIST = _Script("""
local page = redis.call('SCAN', ARGV[2], 'MATCH', ARGV[3], 'COUNT', ARGV[4])
local living = {}
for _, key in ipairs(page[2]) do
  if death(key) then living[#living + 1] = key end
end
return {page[1], living}
""")

_CLEAR = _Script("""
local page = redis.call('SCAN', ARGV[2], 'MATCH', ARGV[3], 'COUNT', ARGV[4])
for _, key in ipairs(page[2]) do
  redis.call('UNLINK', key)
end
return {page[1], {}}
""")


class RedisStore(Store):
    """Keeps records in Redis 6 or later, or Valkey; shares them with connect-redis.

    Any asyncio client of redis-py or valkey-py will do, `decode_responses` and RESP2 or RESP3 as you like::

        store = RedisStore(redis.asyncio.Redis(host="cache"))
        store = RedisStore(redis.asyncio.RedisCluster(host="cache"))
        store = RedisStore.from_url("redis://cache/0")

    A client that was handed in stays the caller's to close and to share. More calls than its pool has connections (and
    than 100) wait for one. A key without expiry (connect-redis's ``disableTTL``) lives for `ttl` from each time it is
    read. A value that is not UTF-8 is logged and read as missing; a key that holds no string raises `StoreError`.

    Args:
        client: an asyncio client.
        prefix: what keys begin with; connect-redis's own default.
        ttl: life in seconds of a record stored with ``expires=None``.

    Raises:
        TypeError: the client is not an asyncio client.
        ValueError: `ttl` is not positive and finite.
    """

    def __init__(self, client: RedisClient, *, prefix: str = "sess:", ttl: float = Store.ttl) -> None:
        if not 0 < ttl < math.inf:
            raise ValueError("ttl must be a positive number of seconds")
        self.ttl = ttl
        self._client = client
        self._ours = False
        self._server = _reach(client)
        self._prefix = prefix.encode()
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

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
            ValueError: not such a URL, or `ttl` is not positive and finite.
        """
        store = cls(_driver(url).from_url(url), prefix=prefix, ttl=ttl)
        store._ours = True
        return store

    async def get(self, sid: str) -> Record | None:
        now = time.time()
        found: bytes | None = await self._run(self._server.read, _GET, self._key(sid))
        if found is None:
            return None
        at, _, value = found.partition(b" ")
        payload = _text(value)
        if payload is None:
            logger.warning("A stored session is not UTF-8; it is treated as missing.")
            return None
        death = int(at)
        return Record(payload, now + self.ttl if death == -1 else death / 1000)

    async def create(self, sid: str, record: Record) -> bool:
        return await self._write(_CREATE, sid, self._death(record.expires), _bytes(record.payload))

    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        death = self._death(record.expires)
        return await self._write(_REPLACE, sid, death, _bytes(record.payload), _bytes(expected.payload))

    async def touch(self, sid: str, expires: float | None) -> bool:
        return await self._write(_TOUCH, sid, self._death(expires))

    async def destroy(self, sid: str, *, expected: Record | None = None) -> bool:
        wanted = () if expected is None else (_bytes(expected.payload),)
        return await self._write(_DESTROY, sid, *wanted)

    async def ids(self) -> AsyncIterator[str]:
        """The ids of all live records: all keys with the prefix, whatever they hold, whose rest is UTF-8."""
        seen = set()  # SCAN may show a key twice while the server rearranges its table
        async for page in self._pages(_LIST):
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
        async for _ in self._pages(_CLEAR):
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
        return _ms(min(expires, _FAR)) if expires > now else b"0"

    async def _write(self, script: _Script, sid: str, *args: bytes) -> bool:
        return bool(await self._run(self._server.write, script, self._key(sid), *args))

    async def _pages(self, script: _Script) -> AsyncIterator[list[bytes]]:
        """Go through the keys of every server: each page is what `script` returned for it."""
        pattern = re.sub(rb"[*?\[\]\\]", rb"\\\g<0>", self._prefix) + b"*"
        try:
            nodes = await self._server.nodes()
        except Exception as error:
            raise _failure(error) from error
        for node in nodes:
            cursor = b"0"
            while True:
                cursor, page = await self._run(node, script, None, cursor, pattern, b"%d" % _PAGE)
                yield page
                if cursor == b"0":
                    break

    async def _run(self, run: _Run, script: _Script, key: bytes | None, *args: bytes) -> Any:
        async with self._turn():
            try:
                return await run(script, key, args)
            except Exception as error:
                raise _failure(error) from error

    def _turn(self) -> asyncio.Semaphore:
        """What limits the calls under way. One for each event loop, as those can't share it."""
        loop = asyncio.get_running_loop()
        turn = self._turns.get(loop)
        if turn is None:
            turn = self._turns[loop] = asyncio.Semaphore(min(_MOST_CALLS, self._server.connections))
        return turn


# How a script reaches the server. Replies are never decoded, so that the client's settings make no difference.

_Command = tuple[bytes, ...]
_Send = Callable[[_Command], Awaitable[Any]]
_Run = Callable[[_Script, bytes | None, _Command], Awaitable[Any]]


class _OneServer:
    """Sends over connections from the client's pool: the client itself would repeat writes, and adds time to reads."""

    def __init__(self, client: Any) -> None:
        self._pool = client.connection_pool
        self.connections: int = self._pool.max_connections
        # redis-py has deprecated the argument that older versions and valkey-py insist on.
        first = next(iter(inspect.signature(self._pool.get_connection).parameters.values()), None)
        self._purpose = ("EVALSHA",) if first is not None and first.default is inspect.Parameter.empty else ()
        self._takes_back_at_once = type(self._pool).__name__ == "ConnectionPool"

    async def read(self, script: _Script, key: bytes | None, args: _Command) -> Any:
        connection = await self._connection()
        try:
            return await connection.retry.call_with_retry(
                lambda: _evaluate(partial(_exchange, connection), script, key, args), lambda _: connection.disconnect()
            )
        finally:
            await self._give_back(connection)

    async def write(self, script: _Script, key: bytes | None, args: _Command) -> Any:
        connection = await self._connection()
        try:
            return await _evaluate(partial(_exchange, connection), script, key, args)
        finally:
            await self._give_back(connection)

    async def nodes(self) -> list[_Run]:
        return [self.read]

    async def _connection(self) -> Any:
        return await _once_there_is_one(lambda: self._pool.get_connection(*self._purpose))

    def _give_back(self, connection: Any) -> Awaitable[None]:
        """A connection whose reply was not read has closed itself. One that isn't given back is lost to the pool."""
        giving: Awaitable[None] = self._pool.release(connection)
        # Pools of other kinds may have to wait first, where a cancellation would strike.
        return giving if self._takes_back_at_once else asyncio.shield(giving)


class _Cluster:
    def __init__(self, client: Any) -> None:
        self._client = client
        self.connections: int = getattr(client, "connection_kwargs", {}).get("max_connections", _MOST_CALLS)

    async def read(self, script: _Script, key: bytes | None, args: _Command) -> Any:
        await self._client.initialize()
        return await self._at(None)(script, key, args)

    async def write(self, script: _Script, key: bytes | None, args: _Command) -> Any:
        await self._client.initialize()
        return await self._at(self._client.get_node_from_key(key))(script, key, args)

    async def nodes(self) -> list[_Run]:
        await self._client.initialize()
        return [self._at(node) for node in self._client.get_primaries()]

    def _at(self, node: Any) -> _Run:
        """Running scripts at this node; once, but for redirections by the node, which did nothing then.

        Args:
            node: None leaves the choice and repetition to the client.
        """
        where = {} if node is None else {"target_nodes": node}

        async def send(command: _Command) -> Any:
            verb, *rest = command
            return await self._client.execute_command(verb.decode(), *rest, NEVER_DECODE=True, **where)

        return lambda script, key, args: _once_there_is_one(lambda: _evaluate(send, script, key, args))


async def _evaluate(send: _Send, script: _Script, key: bytes | None, args: _Command) -> Any:
    """Run a script by its hash, or by its source where the server does not know it (yet, or after a flush)."""
    keys = (b"0",) if key is None else (b"1", key)
    try:
        return await send((*script.by_hash, *keys, _ms(time.time()), *args))
    except Exception as error:
        if not _is_a(error, "NoScriptError"):
            raise
    return await send((*script.by_source, *keys, _ms(time.time()), *args))


async def _exchange(connection: Any, command: _Command) -> Any:
    # Packed here: redis-py's and valkey-py's own code for that takes a tenth of the whole call.
    parts = [b"$%d\r\n%b\r\n" % (len(part), part) for part in command]
    await connection.send_packed_command(b"*%d\r\n%b" % (len(parts), b"".join(parts)))
    return await connection.read_response(disable_decoding=True)


def _reach(client: Any) -> _OneServer | _Cluster:
    """The way to a client's server or servers; TypeError if that is not an asyncio client."""
    # Only the asyncio clients have `aclose`. Asking whether `execute_command` is a coroutine function would refuse
    # clients instrumented for tracing.
    if callable(getattr(client, "aclose", None)) and callable(getattr(client, "execute_command", None)):
        if hasattr(client, "get_node_from_key"):
            return _Cluster(client)
        if hasattr(client, "connection_pool"):
            return _OneServer(client)
    raise TypeError(
        "RedisStore needs an asyncio client: redis.asyncio.Redis or RedisCluster, valkey.asyncio.Valkey or "
        "ValkeyCluster (for a URL, there is RedisStore.from_url), not "
        f"{type(client).__module__}.{type(client).__qualname__}"
    )


def _driver(url: str) -> Any:
    names = ["redis.asyncio", "valkey.asyncio"]
    if url.startswith("valkey"):
        names.reverse()
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise ImportError("RedisStore.from_url needs redis-py: pip install 'asgi-session[redis]'")


async def _once_there_is_one(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Ask until the client has a connection to spare: its other users hold some, and do not say when they are done."""
    while True:
        try:
            return await ask()
        except Exception as error:
            if not _is_a(error, "MaxConnectionsError") and str(error) != "Too many connections":
                raise
        await asyncio.sleep(_RECHECK)


def _is_a(error: Exception, name: str) -> bool:
    """By name, as redis-py and valkey-py have each their own, and neither need be there."""
    return any(kind.__name__ == name for kind in type(error).__mro__)


def _failure(error: Exception) -> StoreError:
    return StoreError(f"the Redis store failed: {type(error).__name__}")


def _ms(seconds: float) -> bytes:
    return b"%d" % math.floor(seconds * 1000)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(value: bytes) -> str | None:
    """The reverse; None for bytes that are no UTF-8."""
    try:
        return value.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None
