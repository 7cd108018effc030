"""The databases below both sides, seen without either: what is stored, and for how long."""

from __future__ import annotations

import hashlib
import json
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from asgi_session import Store
from asgi_session.stores.mongo import MongoStore
from asgi_session.stores.redis import RedisStore
from tests.interop.options import Options


def hashed(sid: str) -> str:
    """What `express/app.js` makes of an id where it is told to transform them."""
    return hashlib.sha256(sid.encode()).hexdigest()


class Database(ABC):
    """One database that belongs to the interop tests alone."""

    store: Store
    """This package's way to it."""

    @abstractmethod
    async def clear(self) -> None:
        """Delete all sessions."""

    @abstractmethod
    async def keys(self) -> list[str]:
        """The keys of everything in it."""

    @abstractmethod
    async def content(self, sid: str) -> str | dict[str, Any]:
        """The session as it is stored, as text or as a document; there must be one."""

    @abstractmethod
    async def lifetime(self, sid: str) -> float:
        """Seconds that the stored session has left."""

    @abstractmethod
    async def shorten(self, sid: str, seconds: int) -> None:
        """Leave the stored session only these seconds."""

    async def session(self, sid: str) -> dict[str, Any]:
        """The stored session, its cookie included."""
        content = await self.content(sid)
        if isinstance(content, dict):
            return content
        session: dict[str, Any] = json.loads(content)
        return session


class InMongo(Database):
    def __init__(self, options: Options, client: AsyncMongoClient[dict[str, Any]]) -> None:
        self.collection = client[options.database]["sessions"]
        self._key = hashed if options.transform_id else str
        self.store = MongoStore(
            self.collection,
            ttl=options.ttl,
            stringify=options.stringify,
            transform_id=hashed if options.transform_id else None,
        )

    async def clear(self) -> None:
        await self.collection.delete_many({})  # not dropped: the index that either side made at its start is to stay

    async def keys(self) -> list[str]:
        return [document["_id"] async for document in self.collection.find()]

    async def document(self, sid: str) -> dict[str, Any]:
        """The whole document."""
        document = await self.collection.find_one({"_id": self._key(sid)})
        assert document is not None
        return document

    async def content(self, sid: str) -> str | dict[str, Any]:
        content: str | dict[str, Any] = (await self.document(sid))["session"]
        return content

    async def lifetime(self, sid: str) -> float:
        expires: datetime = (await self.document(sid))["expires"]
        return expires.replace(tzinfo=UTC).timestamp() - time.time()

    async def shorten(self, sid: str, seconds: int) -> None:
        expires = datetime.now(UTC) + timedelta(seconds=seconds)
        await self.collection.update_one({"_id": self._key(sid)}, {"$set": {"expires": expires}})


class InRedis(Database):
    def __init__(self, options: Options, client: Redis) -> None:
        self.client = client
        self._prefix = options.prefix
        self.store = RedisStore(client, prefix=options.prefix, ttl=options.ttl)

    async def clear(self) -> None:
        await self.client.flushall()

    async def keys(self) -> list[str]:
        return [key.decode() async for key in self.client.scan_iter()]

    async def content(self, sid: str) -> str:
        value = await self.client.get(self._prefix + sid)
        assert isinstance(value, bytes)
        return value.decode()

    async def lifetime(self, sid: str) -> float:
        return float(await self.client.pttl(self._prefix + sid)) / 1000

    async def shorten(self, sid: str, seconds: int) -> None:
        await self.client.expire(self._prefix + sid, seconds)


@asynccontextmanager
async def opened(options: Options) -> AsyncIterator[Database]:
    """The database of these options, as it is."""
    if options.store == "mongo":
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(options.url)
        async with client:
            yield InMongo(options, client)
    else:
        async with Redis.from_url(options.url) as redis:
            yield InRedis(options, redis)
