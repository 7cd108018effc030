"""A store that fails at one call, in every way in which a store can."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar

from asgi_session import MemoryStore, Record, Store

T = TypeVar("T")

Fault = Literal["error before", "error after", "hang before", "hang after", "deaf before", "deaf after"]
"""Before or after the call did its work; a deaf one hangs and does not even notice that it is cancelled."""

FAULTS: tuple[Fault, ...] = ("error before", "error after", "hang before", "hang after", "deaf before", "deaf after")


class FaultyStore(Store):
    """A `MemoryStore` behind a line that breaks.

    Attributes:
        inner: the real store.
        calls: names of the methods called, in order.
        snapshots: what was stored before the first call and after each.
    """

    def __init__(self) -> None:
        self.inner = MemoryStore()
        self.calls: list[str] = []
        self.snapshots: list[dict[str, Record]] = []
        self._fault: Fault | None = None
        self._at = 0
        self._until = 0
        self._repaired = asyncio.Event()

    async def begin(self, fault: Fault | None = None, *, at: int = 0, lasting: bool = False) -> None:
        """Start counting calls anew.

        Args:
            fault: what to do at the call number `at`, the first being 0; None: nothing.
            lasting: at all calls after it too.
        """
        self.calls.clear()
        self.snapshots = [await self.records()]
        self._fault = fault
        self._at = at
        self._until = 10**9 if lasting else at
        self._repaired = asyncio.Event()

    @property
    def failed(self) -> bool:
        """Whether the fault was met."""
        return self._fault is not None and len(self.calls) > self._at

    def repair(self) -> None:
        """Work again from here on; calls that hang go on."""
        self._fault = None
        self._repaired.set()

    async def records(self) -> dict[str, Record]:
        """All that is stored."""
        found = {sid: await self.inner.get(sid) async for sid in self.inner.ids()}
        return {sid: record for sid, record in found.items() if record is not None}

    async def get(self, sid: str) -> Record | None:
        return await self._call(self.inner.get, sid)

    async def create(self, sid: str, record: Record) -> bool:
        return await self._call(self.inner.create, sid, record)

    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        return await self._call(self.inner.replace, sid, record, expected=expected)

    async def touch(self, sid: str, expires: float | None) -> bool:
        return await self._call(self.inner.touch, sid, expires)

    async def destroy(self, sid: str, *, expected: Record | None = None) -> bool:
        return await self._call(self.inner.destroy, sid, expected=expected)

    async def _call(self, method: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T:
        number = len(self.calls)
        self.calls.append(method.__name__)
        kind, _, when = (self._fault if self._fault and self._at <= number <= self._until else "").partition(" ")
        await asyncio.sleep(0)  # a call takes a while: cancellation can come before its work and after it
        if when == "before":
            await self._break(kind)
        result = await method(*args, **kwargs)
        self.snapshots.append(await self.records())
        await asyncio.sleep(0)
        if when == "after":
            await self._break(kind)
        return result

    async def _break(self, kind: str) -> None:
        if kind == "error":
            raise ConnectionResetError("the line broke")
        if kind == "hang":
            await asyncio.Event().wait()
        while not self._repaired.is_set():
            try:
                await self._repaired.wait()
            except asyncio.CancelledError:
                continue
