"""How MongoDB comes to remove expired sessions: a TTL index, created without anybody waiting for it long."""

from __future__ import annotations

import asyncio
import time
from contextvars import Context
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import OperationFailure

from asgi_session.log import logger

_OTHER_OPTIONS = {85, 86}
"""Server error codes: an index of this name or on this key exists and is another one."""

_FORBIDDEN = {13}


class ExpiryIndex:
    """The index `expires_1` of one collection: created once, beside the first operations.

    An index with other options is left as it is. A creation that failed is tried again by the next operation, and then
    after pauses that double, up to a minute; one that is forbidden, once a minute.
    Each kind of trouble is logged once; sessions work without the index, for every read looks at the expiry itself.
    """

    PATIENCE = 1.0
    """Seconds for which the operations that come first wait for it."""

    LONGEST_PAUSE = 60.0
    """Seconds from a failed creation to the next try, at the most."""

    def __init__(self, collection: AsyncCollection[Any]) -> None:
        self._collection = collection
        self._task: asyncio.Task[None] | None = None
        self._started = 0.0
        self._next_try = 0.0
        self._pause = 0.0
        self._logged: set[str] = set()
        self.settled = False
        """Whether nothing is left to do."""

    async def ensure(self) -> None:
        """Start the creation if it is due, and give it a moment; never raises because of it."""
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done():
            if time.time() < self._next_try:
                return
            self._started = loop.time()
            # In nobody's context: a caller's transaction or time limit is not for this.
            self._task = loop.create_task(self._create(), context=Context())
        patience = self._started + self.PATIENCE - loop.time()
        if patience > 0:
            await asyncio.wait({self._task}, timeout=patience)

    async def aclose(self) -> None:
        """Abandon a creation that is under way."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _create(self) -> None:
        try:
            await self._collection.create_index([("expires", 1)], name="expires_1", expireAfterSeconds=0)
            self.settled = True
        except Exception as error:  # nobody awaits this task: whatever went wrong is logged here
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        code = error.code if isinstance(error, OperationFailure) else None
        self._next_try = time.time() + (self.LONGEST_PAUSE if code in _FORBIDDEN else self._pause)
        self._pause = min(max(1.0, 2 * self._pause), self.LONGEST_PAUSE)
        if code in _OTHER_OPTIONS:
            self.settled = True
            trouble = (
                "an index on 'expires' or one named 'expires_1' exists with other options and is left as it is; "
                "see that it removes expired sessions (it should have expireAfterSeconds: 0)"
            )
        elif code in _FORBIDDEN:
            trouble = (
                "the user may not create the TTL index 'expires_1' on 'expires'; unless somebody creates it "
                "(with expireAfterSeconds: 0), expired sessions stay in the collection, unread"
            )
        else:
            # The driver's own text may quote documents.
            trouble = f"the TTL index 'expires_1' was not created ({type(error).__name__}); this will be tried again"
        if trouble not in self._logged:
            self._logged.add(trouble)
            logger.warning("MongoStore: %s", trouble)
