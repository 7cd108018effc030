"""Writes whose outcome nobody knows: they failed, and may have been made all the same, or may be yet.

Each is known by the payload that it would leave. What is stored later on tells what became of it.
"""

from __future__ import annotations

from typing import Any, Literal

from asgi_session import flash_queue, payload
from asgi_session.flash_queue import FLASH, Queue
from asgi_session.stores.base import Record

Verdict = Literal["made", "open", "overtaken"]
"""What a stored record says of the writes in doubt.

made: it is what one of them left. open: it is as it was before, so they may be made yet. overtaken: somebody else wrote
since; a write that was not made before never will be, and whether it was can't be told.
"""


class Doubts:
    """The writes of one request that are in doubt."""

    __slots__ = ("_claims", "_payloads", "adds")

    def __init__(self) -> None:
        self.adds = False
        """Whether one of them, claims aside, held something that would count twice if it were made twice."""
        self._payloads: tuple[bytes, ...] = ()
        self._claims: dict[bytes, Queue] = {}

    def note(self, record: Record, *, adds: bool) -> None:
        """Add a write of this record; `adds` as above."""
        self._payloads = (*self._payloads, record.utf8)
        self.adds |= adds

    def note_claim(self, left: bytes, messages: Queue) -> None:
        """Add a claim of these messages, and the payload without them."""
        self._claims[left] = messages

    def hold_claims(self) -> bool:
        """Whether there is a claim among them."""
        return bool(self._claims)

    def hold_changes(self) -> bool:
        """Whether there is any that is no claim."""
        return bool(self._payloads)

    def verdict(self, stored: Record, before: Record | None) -> Verdict:
        """What a stored record says of those that are no claims.

        Args:
            stored: the record.
            before: what was known to be stored when they were made.
        """
        if stored.utf8 in self._payloads:
            return "made"
        return "open" if before is not None and stored.utf8 == before.utf8 else "overtaken"

    def claimed(self, stored: Record, before: Record | None) -> Queue:
        """The messages that one of the claims took, as far as a stored record tells; that settles them.

        Where somebody else wrote since, what is missing counts as taken: better shown twice than never.
        """
        taken = self._claims.get(stored.utf8)
        if taken is None:
            if not self._claims or before is None or before.utf8 == stored.utf8:
                return {}
            read = payload.read(stored.utf8)
            queue: Any = None if read is None else read[0].get(FLASH)
            taken = flash_queue.missing([*self._claims.values()][-1], queue)
        self._claims = {}
        return taken
