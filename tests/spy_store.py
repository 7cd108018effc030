"""A store that tells what was asked of it, and that fails or waits where a test wants it to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import pytest

from asgi_session import MemoryStore, Record, Store
from asgi_session.stores.base import takes_waiter
from asgi_session.stores.pending import UNTIL_CANCELLED, Waiter
from asgi_session.stores.together import Together

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


Work = Callable[[], Awaitable[Any]]


class SharingSpyStore(SpyStore):
    """One whose calls run in tasks that it has for several of them, as our own stores have that ask a server."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._shared: Together[Work, Any] = Together(self._do, self._do_all)

    @takes_waiter
    async def get(self, sid: str, *, waiter: Waiter = UNTIL_CANCELLED) -> Record | None:
        found: Record | None = await waiter.wait(self._shared.begin(partial(super().get, sid)))
        return found

    @takes_waiter
    async def create(self, sid: str, record: Record, *, waiter: Waiter = UNTIL_CANCELLED) -> bool:
        return bool(await waiter.wait(self._shared.begin(partial(super().create, sid, record))))

    @takes_waiter
    async def replace(self, sid: str, record: Record, *, expected: Record, waiter: Waiter = UNTIL_CANCELLED) -> bool:
        work = partial(super().replace, sid, record, expected=expected)
        return bool(await waiter.wait(self._shared.begin(work)))

    @takes_waiter
    async def touch(
        self, sid: str, expires: float | None, *, expected: Record | None = None, waiter: Waiter = UNTIL_CANCELLED
    ) -> bool:
        work = partial(super().touch, sid, expires, expected=expected)
        return bool(await waiter.wait(self._shared.begin(work)))

    @takes_waiter
    async def destroy(self, sid: str, *, expected: Record | None = None, waiter: Waiter = UNTIL_CANCELLED) -> bool:
        return bool(await waiter.wait(self._shared.begin(partial(super().destroy, sid, expected=expected))))

    async def _do(self, work: Work) -> Any:
        return await work()

    async def _do_all(self, works: Sequence[Work]) -> list[Any]:
        return await asyncio.gather(*[work() for work in works], return_exceptions=True)


@pytest.fixture(params=[SpyStore, SharingSpyStore], ids=["a task for each call", "tasks for several"])
def either_store(request: pytest.FixtureRequest) -> SpyStore:
    """One that leaves it to the middleware how its calls are waited for, and one that has tasks of its own for them."""
    made: SpyStore = request.param()
    return made
