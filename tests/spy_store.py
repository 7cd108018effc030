"""A store that tells what was asked of it, and that fails or waits where a test wants it to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from asgi_session import MemoryStore, Record, Store

Step = Callable[[], Awaitable[None]]


class SpyStore(Store):
    """A `MemoryStore` behind a notebook.

    Attributes:
        calls: names of the methods called, in order.
        before: what to await before a method does its work, by the method's name.
        after: what to await once it has done it.
        inner: the real store, for looking without leaving a trace.
    """

    def __init__(self, **options: Any) -> None:
        self.inner = MemoryStore(**options)
        self.ttl = self.inner.ttl
        self.calls: list[str] = []
        self.before: dict[str, Step] = {}
        self.after: dict[str, Step] = {}

    def fail(self, *methods: str, error: Exception | None = None) -> None:
        """Let these methods (by default all) raise instead of working."""

        async def step() -> None:
            raise OSError("connection refused") if error is None else error

        self.before.update(dict.fromkeys(methods or ("get", "create", "replace", "touch", "destroy"), step))

    def fail_once(self, method: str, *, made: bool) -> None:
        """Let the next call of a method raise, after it did its work (as if the reply was lost) or instead."""
        where = self.after if made else self.before

        async def step() -> None:
            del where[method]
            raise OSError("connection reset")

        where[method] = step

    def hang(self, *methods: str) -> None:
        """Let these methods wait for ever."""
        self.before.update(dict.fromkeys(methods, asyncio.Event().wait))  # type: ignore[arg-type]

    def work(self) -> None:
        """Let everything work again."""
        self.before.clear()
        self.after.clear()

    async def sids(self) -> list[str]:
        """The ids of what is stored."""
        return [sid async for sid in self.inner.ids()]

    async def only(self) -> Record:
        """The one record that is stored."""
        (sid,) = await self.sids()
        record = await self.inner.get(sid)
        assert record is not None
        return record

    async def data(self) -> dict[str, Any]:
        """The data of the one session that is stored, without its cookie."""
        stored: dict[str, Any] = json.loads((await self.only()).payload)
        del stored["cookie"]
        return stored

    async def get(self, sid: str) -> Record | None:
        await self._begin("get")
        found = await self.inner.get(sid)
        await self._end("get")
        return found

    async def create(self, sid: str, record: Record) -> bool:
        await self._begin("create")
        done = await self.inner.create(sid, record)
        await self._end("create")
        return done

    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        await self._begin("replace")
        done = await self.inner.replace(sid, record, expected=expected)
        await self._end("replace")
        return done

    async def touch(self, sid: str, expires: float | None, *, expected: Record | None = None) -> bool:
        await self._begin("touch")
        done = await self.inner.touch(sid, expires, expected=expected)
        await self._end("touch")
        return done

    async def destroy(self, sid: str, *, expected: Record | None = None) -> bool:
        await self._begin("destroy")
        done = await self.inner.destroy(sid, expected=expected)
        await self._end("destroy")
        return done

    def ids(self) -> AsyncIterator[str]:
        return self.inner.ids()

    async def _begin(self, method: str) -> None:
        self.calls.append(method)
        if method in self.before:
            await self.before[method]()

    async def _end(self, method: str) -> None:
        if method in self.after:
            await self.after[method]()
