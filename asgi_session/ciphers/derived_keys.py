"""Keys that are slow to derive: each is derived once, in a thread, however many requests ask for it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

MOST = 10_000
"""Keys that are remembered, about 400 bytes each; the least recently used goes first."""


class DerivedKeys:
    """The keys that one secret gives with different salts.

    Args:
        derive: from salt to key. Called in a thread; hashlib's derivations let other threads run meanwhile.
    """

    def __init__(self, derive: Callable[[bytes], bytes]) -> None:
        self._derive = derive
        self._known: OrderedDict[bytes, bytes] = OrderedDict()
        self._under_way: dict[bytes, asyncio.Task[bytes]] = {}

    async def get(self, salt: bytes) -> bytes:
        """The key for a salt."""
        key = self._known.get(salt)
        if key is not None:
            self._known.move_to_end(salt)
            return key
        task = self._under_way.get(salt)
        if task is None or task.get_loop() is not asyncio.get_running_loop():
            task = self._under_way[salt] = asyncio.create_task(self._find(salt))
        # A request that is cancelled meanwhile leaves the derivation to the others, and to the next one.
        return await asyncio.shield(task)

    async def _find(self, salt: bytes) -> bytes:
        try:
            key = await asyncio.to_thread(self._derive, salt)
        finally:
            if self._under_way.get(salt) is asyncio.current_task():
                del self._under_way[salt]
        self._known[salt] = key
        if len(self._known) > MOST:
            self._known.popitem(last=False)
        return key
