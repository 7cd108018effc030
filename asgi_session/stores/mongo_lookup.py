"""How MongoStore finds its documents: by id, those that are asked for in one moment by one command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from bson.dbref import DBRef
from bson.errors import BSONError
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError, ServerSelectionTimeoutError

from asgi_session.stores.mongo_apart import variable
from asgi_session.stores.pending import InTask, Pending
from asgi_session.stores.together import AloneError, Together

Document = Mapping[str, Any] | DBRef
"""What has the key $ref comes as a DBRef, where documents are decoded."""

# HostUnreachable, HostNotFound, NetworkTimeout, SocketException, ReadConcernMajorityNotAvailableYet, ExceededTimeLimit
_PASSING = frozenset({6, 7, 89, 9001, 134, 262})


_LIMIT = variable("pymongo._csot", "TIMEOUT")


class Documents:
    """Documents of a collection, in the form that its codec options give them."""

    def __init__(self, collection: AsyncCollection[Any]) -> None:
        self._collection = collection
        self._options = collection.database.client.options
        self._calls: Together[str, Document | None] = Together(self._find_one, self._find_all)

    def find(self, key: str) -> Pending[Document | None]:
        """Have the document with this ``_id`` looked for."""
        if _LIMIT is not None and _LIMIT.get(None) is not None:  # the caller's own, within `pymongo.timeout`
            return InTask(partial(self._find_one, key))
        return self._calls.begin(key)

    async def _find_one(self, key: str) -> Document | None:
        """Send the command that `find_one` sends: its cursor would take a tenth of the time.

        Like that one, it tries again once where the client's options say so and the fault may pass.
        """
        if self._options.timeout is not None:  # a limit for both tries together
            found: Document | None = await self._collection.find_one({"_id": key})
            return found
        try:
            return await self._send(key)
        except (ConnectionFailure, OperationFailure) as error:
            if not self._options.retry_reads or not _may_pass(error):
                raise
        return await self._send(key)

    async def _send(self, key: str) -> Document | None:
        collection = self._collection
        # By the id alone, which the server has a short way for.
        find: dict[str, Any] = {"find": collection.name, "filter": {"_id": key}, "limit": 1, "singleBatch": True}
        if collection.read_concern.document:
            find["readConcern"] = collection.read_concern.document
        reply = await collection.database.command(
            find, codec_options=collection.codec_options, read_preference=collection.read_preference
        )
        batch: Sequence[Document] = reply["cursor"]["firstBatch"]
        return batch[0] if batch else None

    async def _find_all(self, keys: Sequence[str]) -> Sequence[Document | Exception | None]:
        asked = set(keys)
        try:
            found = await self._collection.find({"_id": {"$in": [*asked]}}).to_list(None)
            by_key = {document["_id"]: document for document in found if not isinstance(document, DBRef)}
        except ConnectionFailure:
            raise
        except (PyMongoError, BSONError, UnicodeError):  # who knows because of which one
            return [AloneError()] * len(keys)
        # A DBRef does not tell its id; and with a collation, other ids than those asked for are found.
        missing = None if len(by_key) == len(found) and by_key.keys() <= asked else AloneError()
        return [by_key.get(key, missing) for key in keys]


def _may_pass(error: PyMongoError) -> bool:
    """Whether a read is worth another try (MongoDB's specification of retryable reads)."""
    if isinstance(error, ConnectionFailure):
        return not isinstance(error, ServerSelectionTimeoutError)  # that one has waited already
    return isinstance(error, OperationFailure) and error.code in _PASSING
