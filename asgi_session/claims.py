"""`flash.claim`: taking messages with the store's agreement, and giving them back if the response fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgi_session import flash_queue, payload
from asgi_session.exceptions import SessionConflict, StoreError
from asgi_session.flash_queue import FLASH, Queue
from asgi_session.images import copied
from asgi_session.log import report
from asgi_session.patience import Hold
from asgi_session.standing import Standing
from asgi_session.stores.base import Utf8Record
from asgi_session.turns import Contest

Data = dict[str, Any]


class Claims:
    """The messages that one request took out of the store."""

    __slots__ = ("_attempt", "_sid", "_standing", "_taken")

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self._sid: str | None = None  # the session that they were taken from
        self._taken: Queue = {}
        self._attempt: bytes | None = None  # the payload that is being written, or may have been

    async def claim(self, category: str | None, hold: Hold) -> Queue:
        """Take one category or (None) all from the stored queue, then what this request queued itself."""
        standing, session = self._standing, self._standing.loaded
        taken: Queue = {}

        def take(data: Data) -> Data | None:
            nonlocal taken
            taken, rest = flash_queue.claim(data.get(FLASH), category, session._flash_done())
            return _with_flash(data, rest) if taken else None

        stored = standing.sid is not None and not session._parts_with_stored()
        if not self._is_of_this_session():
            self._taken = {}
        self._sid = standing.sid
        try:
            if not stored or not await self._amend(take, hold):
                taken = {}
        except StoreError:
            if self._attempt is not None:
                standing.in_doubt().note_claim(self._attempt, taken)
            raise
        if standing.lost is not None:  # an earlier claim of this request took it after all
            mine, rest = flash_queue.drain(standing.lost, category)
            taken, standing.lost = _joined(mine, taken), rest
        if hold.cancelled or standing.failed:  # so that nobody gets them
            await self._put_back(taken, hold)
            return {}
        self._taken = _joined(self._taken, copied(taken))  # a copy, as the handler may change what it is given
        return _joined(taken, session._flash_take_own(category))

    async def give_back(self, hold: Hold) -> None:
        """Queue everything taken again, at the front; for a response that failed."""
        taken, self._taken = self._taken, {}
        await self._put_back(taken, hold)

    async def settle(self, hold: Hold) -> None:
        """Queue again what the store may have removed without telling, so that nobody got it."""
        self._taken = {}
        await self._put_back({}, hold)

    async def _put_back(self, messages: Queue, hold: Hold) -> None:
        """Queue messages in the store again, and those that were lost; what this request has pending is left alone."""
        standing = self._standing
        if standing.lost is not None:
            messages, standing.lost = _joined(messages, standing.lost), None
        sid = standing.sid
        in_doubt = standing.doubts is not None and standing.doubts.hold_claims()
        if sid is None or not self._is_of_this_session() or not (messages or in_doubt):
            return
        store = standing.settings.calls_within(hold)
        try:
            with Contest(standing.settings.turns, hold) as contest:
                await contest.queue_for(sid)
                while True:
                    record = await store.get(sid)
                    stored = None if record is None else payload.read(record.utf8)
                    if record is None or stored is None:
                        return
                    messages = _joined(messages, standing.lost_by(record))
                    if not messages:
                        return
                    data, cookie = stored
                    data = _with_flash(data, flash_queue.restored(data.get(FLASH), messages))
                    restored = Utf8Record(payload.rewrite(data, cookie), record.expires)
                    if await store.replace(sid, restored, expected=record):
                        return
                    await contest.lost(sid)
        except (StoreError, SessionConflict) as error:
            report(error)

    def _is_of_this_session(self) -> bool:
        """Whether what was taken is from the session that there is now, and not from one that it took the place of."""
        return self._sid in (self._standing.sid, *self._standing.earlier_ids)

    async def _amend(self, change: Callable[[Data], Data | None], hold: Hold) -> bool:
        """Change what is stored and nothing else: not the expiry, and nothing that this request has pending.

        The record is read anew first, for others may have extended its life since this request did; except where it was
        read for this response and holds nothing to change.

        Args:
            change: from the stored data to what it shall be, or to None where there is nothing to change.
        """
        standing = self._standing
        store = standing.settings.calls_within(hold)
        self._attempt = None
        fresh = False
        with Contest(standing.settings.turns, hold) as contest:
            while standing.sid is not None and standing.record is not None:
                stored = payload.read(standing.record.utf8)
                if stored is None:
                    return False
                before, cookie = stored
                data = change(before)
                if not fresh and (data is not None or standing.headers_gone):
                    fresh = True
                    await contest.queue_for(standing.sid)
                    await standing.refresh(hold)
                    continue
                if data is None:
                    return False
                record = Utf8Record(payload.rewrite(data, cookie), standing.expires)
                self._attempt = record.utf8
                done = await store.replace(standing.sid, record, expected=standing.record)
                self._attempt = None
                if done:
                    standing.record = record
                    standing.emptied |= not data
                    standing.doubts = None
                    standing.rebase(data)
                    return True
                await contest.lost(standing.sid)
                await standing.refresh(hold)
        return False


def _joined(first: Queue, second: Queue) -> Queue:
    return {name: [*first.get(name, []), *second.get(name, [])] for name in {**first, **second}}


def _with_flash(data: Data, queue: Data | None) -> Data:
    rest = {key: value for key, value in data.items() if key != FLASH}
    return rest if queue is None else {**data, FLASH: queue}
