"""Commits of one session take turns within a process, once they conflict; between processes they pause and try again.

Without turns, of n colliding commits one wins a round and n-1 load again: some would run out of tries. A commit that
meets nobody pays one look into an empty dict.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from types import TracebackType
from typing import Self

from asgi_session.exceptions import SessionConflict, StoreError
from asgi_session.patience import Hold

TRIES = 32
"""How often a commit meets a faster writer before it gives up."""

LONGEST_PAUSE = 0.1
"""Seconds; pauses between tries are random and grow up to this."""


def beaten_every_time() -> SessionConflict:
    """The error of a commit that gives up."""
    return SessionConflict("other writers of this session were faster every time")


class Turns:
    """Who commits which session now, and who waits for it, first come first served.

    Event loops can't wake each other. Those that share a middleware compete as processes do.
    """

    __slots__ = ("busy",)

    def __init__(self) -> None:
        self.busy: dict[tuple[asyncio.AbstractEventLoop, str], deque[asyncio.Future[None]]] = {}
        """By the event loop and the id of a session that is being committed there: who waits for it."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} in {len(self.busy)} sessions>"

    def are_taken(self, sid: str) -> bool:
        """Whether commits of this session have to queue."""
        return (asyncio.get_running_loop(), sid) in self.busy

    def take(self, sid: str) -> asyncio.Future[None]:
        """Ask for the turn: it has come when the future is done. Every turn is given back by one `give_back`."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        queue = self.busy.get((loop, sid))
        if queue is None:
            self.busy[loop, sid] = deque()
            turn.set_result(None)
        else:
            queue.append(turn)
        return turn

    def give_back(self, sid: str, *, to_all: bool = False) -> None:
        """End a turn.

        Args:
            to_all: let everybody try at once instead of the next one: where the store hangs, a queue would add up
                everybody's deadline.
        """
        place = asyncio.get_running_loop(), sid
        queue = self.busy.get(place, deque())
        while queue:
            queue.popleft().set_result(None)
            if not to_all:
                return
        self.busy.pop(place, None)


class Contest:
    """One commit's way through its conflicts. A context manager: at its end the turn is given back."""

    __slots__ = ("_hold", "_sid", "_tries", "_turns")

    def __init__(self, turns: Turns, hold: Hold) -> None:
        self._turns = turns
        self._hold = hold
        self._sid: str | None = None  # the session whose turn we have
        self._tries = 0

    async def queue_for(self, sid: str) -> None:
        """Wait for the turn if others are at it."""
        if self._sid is None and self._turns.are_taken(sid):
            await self._wait(sid)

    async def lost(self, sid: str) -> None:
        """Somebody else wrote first: wait for the turn, or a little if we have it.

        Raises:
            SessionConflict: that was the last try.
        """
        self._tries += 1
        if self._tries == TRIES:
            raise beaten_every_time()
        if self._sid is None:
            await self._wait(sid)
        else:
            pause = random.uniform(0, min(LONGEST_PAUSE, 0.001 * 2**self._tries))  # noqa: S311
            await self._hold.until(asyncio.get_running_loop().create_future(), pause)

    async def _wait(self, sid: str) -> None:
        turn = self._turns.take(sid)
        self._sid = sid
        await self._hold.until(turn, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sid is not None:
            self._turns.give_back(self._sid, to_all=isinstance(error, StoreError))
