"""Sessions in MongoDB, in connect-mongo's documents: ``{_id: sid, expires: Date, session: JSON text or sub-document}``.

Needs PyMongo (``asgi-session[mongo]``). Motor's collections work through the same calls; Motor is never imported.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol, Self

try:
    from bson.datetime_ms import DatetimeMS
    from bson.dbref import DBRef
    from bson.errors import InvalidBSON
    from bson.raw_bson import RawBSONDocument
    from pymongo import AsyncMongoClient, WriteConcern
    from pymongo.asynchronous.collection import AsyncCollection
    from pymongo.errors import DuplicateKeyError
    from pymongo.synchronous.collection import Collection
except ImportError as error:  # PyPI has an unrelated package `bson`, which is not to be named here
    raise ImportError("MongoStore needs PyMongo: pip install 'asgi-session[mongo]'") from error

from asgi_session.log import logger
from asgi_session.stores import mongo_document as form
from asgi_session.stores.base import Record, RenewedRecord, Store, checked_ttl, takes_waiter
from asgi_session.stores.mongo_apart import Apart
from asgi_session.stores.mongo_errors import BACKEND_ERRORS, is_of_id
from asgi_session.stores.mongo_index import ExpiryIndex
from asgi_session.stores.mongo_lookup import Documents
from asgi_session.stores.pending import UNTIL_CANCELLED, InTask, Waiter

_LONGEST_QUEUE_MS = 5000


class MongoCollection(Protocol):
    """What a type checker accepts as a collection: PyMongo's asynchronous one or Motor's, not the synchronous one."""

    @property
    def write_concern(self) -> WriteConcern: ...

    def with_options(self, codec_options: Any = None) -> Any: ...

    def find_one(self, filter: Any = None) -> Awaitable[Any]: ...  # noqa: A002 (the drivers' name)


class MongoStore(Store):
    """Sessions in one MongoDB collection, to be shared with connect-mongo if need be.

    A TTL index on ``expires`` is created on first use; reads look at the expiry themselves and do not depend on it.
    Every operation on one session is one round trip; reads that come up together share one. The collection's write
    concern, read concern and read preference are used as they are: reading from secondaries lets a request miss what
    the one before it wrote.

    Args:
        collection: a collection of `pymongo.AsyncMongoClient` or of Motor's `AsyncIOMotorClient`. Its client is the
            caller's to close.
        ttl: life in seconds of records stored with ``expires=None``.
        stringify: True keeps a session as JSON text, False as a sub-document, like connect-mongo's option. Reading
            accepts both. A sub-document can't hold lone surrogates, integers beyond 64 bits, NUL in keys or more than
            150 levels of nesting: writing such a session raises `StoreError`.
        transform_id: session id to ``_id``, a non-empty str, like connect-mongo's ``transformId``.
        create_index: False leaves the TTL index to somebody else, like connect-mongo's ``autoRemove: "disabled"``.

    Raises:
        TypeError: `collection` is a synchronous one, or none at all; or `ttl` is no number.
        ValueError: writes to the collection are not acknowledged (``w=0``), or `ttl` is not positive and finite.

    Example::

        store = MongoStore(AsyncMongoClient(url)["app"]["sessions"])
    """

    ends_by_itself = True  # PyMongo's own timeouts see to it; cancelled while it looks for a server, it can lock up

    def __init__(
        self,
        collection: MongoCollection,
        *,
        ttl: float = Store.ttl,
        stringify: bool = True,
        transform_id: Callable[[str], str] | None = None,
        create_index: bool = True,
    ) -> None:
        _check_collection(collection)
        self.ttl = checked_ttl(ttl)
        self._stringify = stringify
        self._transform_id = transform_id
        self._use(collection, index_settled=not create_index)
        self._connect: Callable[[], AsyncMongoClient[dict[str, Any]]] | None = None
        self._closed = False

    def _use(self, collection: MongoCollection, *, index_settled: bool) -> None:
        # Motor's collection has the same methods. The caller's codec options must not decide what sessions look like.
        self._collection: AsyncCollection[RawBSONDocument] = collection.with_options(codec_options=form.RAW)
        self._as_found = Documents(self._collection)
        self._decoded = Documents(collection.with_options(codec_options=form.PLAIN))
        self._index = ExpiryIndex(self._collection)
        self._index.settled = index_settled

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        collection: str = "sessions",
        ttl: float = Store.ttl,
        stringify: bool = True,
        transform_id: Callable[[str], str] | None = None,
        create_index: bool = True,
    ) -> Self:
        """A store with a client of its own, which `aclose` closes. ``async with`` opens it again.

        Args:
            url: a MongoDB connection string; its path names the database, ``test`` if it has none. Without
                ``waitQueueTimeoutMS`` in it, a call waits five seconds at most for one of the client's connections.
            collection: name of the collection.
            ttl, stringify, transform_id, create_index: as for the class.

        Raises:
            ValueError, pymongo.errors.ConfigurationError: PyMongo does not take the URL; its message says why.
            TypeError, ValueError: as for the class.
        """
        # Else calls that nobody waits for any more would pile up while a server hangs.
        limits: dict[str, Any] = (
            {} if "waitqueuetimeoutms=" in url.lower() else {"waitQueueTimeoutMS": _LONGEST_QUEUE_MS}
        )

        def connect() -> AsyncMongoClient[dict[str, Any]]:
            return AsyncMongoClient(url, **limits)

        chosen = connect().get_default_database("test")[collection]
        store = cls(chosen, ttl=ttl, stringify=stringify, transform_id=transform_id, create_index=create_index)
        store._connect = connect
        return store

    @takes_waiter
    async def get(self, sid: str, *, waiter: Waiter = UNTIL_CANCELLED) -> Record | None:
        if not self._index.settled:
            await waiter.wait(InTask(self._index.ensure))
        key = self._id(sid)
        with BACKEND_ERRORS, Apart():
            try:
                # Whether the document lives is for us to see. Plain values are read faster than raw documents: only
                # a sub-document has to be kept as it came.
                if self._stringify:
                    text = await waiter.wait(self._decoded.find(key))
                    if text is None:
                        return None
                    if isinstance(text, dict) and not isinstance(text.get("session"), dict | DBRef):
                        return self._record(text)
                found = await waiter.wait(self._as_found.find(key))
                return self._record(found) if isinstance(found, Mapping) else None
            except InvalidBSON:
                logger.warning("A stored session's document can't be decoded; it is treated as missing.")
                return None

    async def create(self, sid: str, record: Record) -> bool:
        await self._ready()
        # An expired document that nobody swept is taken over. Any other makes this an insert, which its id forbids.
        expired = {"_id": self._id(sid), "expires": {"$exists": True, "$not": {"$gt": _now()}}}
        origin = record.origin if isinstance(record, RenewedRecord) else None
        previous = origin.stored if isinstance(origin, _StoredRecord) else None
        update = {"$set": {"session": self._form(record.payload, previous), "expires": self._date(record.expires)}}
        with BACKEND_ERRORS, Apart():
            try:
                await self._collection.update_one(expired, update, upsert=True)
            except DuplicateKeyError as error:
                if not is_of_id(error):
                    raise
                return False
        return True

    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        expires = self._date(record.expires)

        async def write(unchanged: dict[str, Any], stored: Any) -> bool:
            update = {"$set": {"session": self._form(record.payload, stored), "expires": expires}}
            return (await self._collection.update_one(unchanged, update)).matched_count == 1

        return await self._if_unchanged(sid, expected, write)

    async def touch(self, sid: str, expires: float | None, *, expected: Record | None = None) -> bool:
        async def extend(which: dict[str, Any], _: Any) -> bool:
            update = {"$set": {"expires": self._date(expires)}}
            return (await self._collection.update_one(which, update)).matched_count == 1

        return await self._if_live(sid, expected, extend)

    async def destroy(self, sid: str, *, expected: Record | None = None) -> bool:
        async def delete(which: dict[str, Any], _: Any) -> bool:
            return (await self._collection.delete_one(which)).deleted_count == 1

        return await self._if_live(sid, expected, delete)

    async def ids(self) -> AsyncIterator[str]:
        """The ``_id`` of every live session: with `transform_id`, what that made of the session's id."""
        await self._ready()
        with BACKEND_ERRORS:
            cursor = self._collection.find(_alive(), {"_id": 1})
            try:
                async for found in cursor:
                    if isinstance(found["_id"], str):
                        yield found["_id"]
            finally:
                await cursor.close()

    async def length(self) -> int:
        """How many live sessions there are."""
        await self._ready()
        with BACKEND_ERRORS, Apart():
            return await self._collection.count_documents(_alive())

    async def clear(self) -> None:
        """Delete every document of the collection."""
        await self._ready()
        with BACKEND_ERRORS, Apart():
            await self._collection.delete_many({})

    async def purge(self) -> int:
        """Delete the expired sessions that MongoDB's own sweep (once a minute) has not come to; returns how many."""
        await self._ready()
        with BACKEND_ERRORS, Apart():
            return (await self._collection.delete_many({"expires": {"$lte": _now()}})).deleted_count

    async def aclose(self) -> None:
        """Close the client if `from_url` made it."""
        await self._index.aclose()
        if self._connect is not None:
            self._closed = True
            with BACKEND_ERRORS:
                await self._collection.database.client.close()

    async def __aenter__(self) -> Self:
        if self._closed and self._connect is not None:  # a closed client stays closed
            self._closed = False
            collection = self._connect()[self._collection.database.name][self._collection.name]
            self._use(collection, index_settled=self._index.settled)
        return self

    async def _ready(self) -> None:
        if not self._index.settled:
            await self._index.ensure()

    def _id(self, sid: str) -> str:
        if self._transform_id is None:
            return sid
        stored: object = self._transform_id(sid)
        if not isinstance(stored, str) or not stored:  # else all sessions could come to share one document
            raise TypeError("transform_id returned something else than a non-empty str")
        return stored

    def _live(self, sid: str) -> dict[str, Any]:
        return {"_id": self._id(sid), **_alive()}

    def _date(self, expires: float | None) -> DatetimeMS:
        return form.date(time.time() + self.ttl if expires is None else expires)

    def _form(self, payload: str, previous: Any = None) -> RawBSONDocument | str:
        return payload if self._stringify else form.document(payload, previous)

    def _record(self, found: Mapping[str, Any]) -> _StoredRecord | None:
        """The record in a document; None where `_alive` would not have found it."""
        if "expires" in found:
            expires = found["expires"]
            if not isinstance(expires, DatetimeMS):
                return None
            seconds = int(expires) / 1000
            if seconds <= time.time():
                return None
        else:
            seconds = time.time() + self.ttl
        stored = found.get("session")
        return _StoredRecord(form.payload(stored), seconds, stored)

    async def _if_live(
        self, sid: str, expected: Record | None, write: Callable[[dict[str, Any], Any], Awaitable[bool]]
    ) -> bool:
        """Do `write` to the live document, with `expected` only if it still holds that; see `_if_unchanged`."""
        if expected is not None:
            return await self._if_unchanged(sid, expected, write)
        await self._ready()
        with BACKEND_ERRORS, Apart():
            return await write(self._live(sid), None)

    async def _if_unchanged(
        self, sid: str, expected: Record, write: Callable[[dict[str, Any], Any], Awaitable[bool]]
    ) -> bool:
        """Do `write` to the live document if it still holds `expected`: on the server in one step.

        `write` gets the filter and what the document holds under ``session``, and says whether it met a document.
        """
        await self._ready()
        # What was expected was alive when it was read, so one condition will do: MongoDB is slower at `_alive`'s two.
        live = {"_id": self._id(sid), "expires": {"$not": {"$lte": _now()}}}
        known = isinstance(expected, _StoredRecord)
        stored = expected.stored if isinstance(expected, _StoredRecord) else self._form(expected.payload)
        with BACKEND_ERRORS, Apart():
            # $eq: what is stored is never read as a pattern or an operator.
            if await write(live | {"session": {"$eq": stored}}, stored):
                return True
            if known or isinstance(stored, str):
                return False
            # A record that was written, not read: the same payload can stand there in other types, kept from Express.
            found = await self._collection.find_one(live)
            if found is None or form.payload(found.get("session")) != form.payload(stored):
                return False
            return await write(live | {"session": {"$eq": found.get("session")}}, found.get("session"))


class _StoredRecord(Record):
    """A record that was read, with what the server holds under ``session``: a later write compares with that."""

    __slots__ = ("stored",)

    def __init__(self, payload: str, expires: float, stored: Any) -> None:
        super().__init__(payload, expires)
        self.stored = stored


def is_text(record: Record) -> bool:
    """Whether a record that a `MongoStore` read is kept as JSON text, and not as a sub-document."""
    return isinstance(record, _StoredRecord) and isinstance(record.stored, str)


def _now() -> DatetimeMS:
    return form.date(time.time())


def _alive() -> dict[str, Any]:
    """The filter for what has not expired, as connect-mongo has it: a document without expiry lives."""
    return {"$or": [{"expires": {"$exists": False}}, {"expires": {"$gt": _now()}}]}


def _check_collection(collection: Any) -> None:
    kinds = collection.__class__.__mro__
    is_motor = any(kind.__module__ == "motor.core" and kind.__name__ == "AgnosticCollection" for kind in kinds)
    if not is_motor and AsyncCollection not in kinds:
        what = "one of the synchronous MongoClient" if Collection in kinds else type(collection).__name__
        raise TypeError(
            "MongoStore takes a collection of pymongo.AsyncMongoClient, like AsyncMongoClient(url)['app']['sessions'], "
            f"or of Motor's AsyncIOMotorClient, not {what}"
        )
    if not collection.write_concern.acknowledged:
        raise ValueError("MongoStore needs acknowledged writes: the collection's write concern is w=0")
