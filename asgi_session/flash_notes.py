"""What a request did to the flash queue of its session, noted so that it comes together with what others did to it.

The session's value under `flash` is changed at once. Beside it there is a log of what was taken and added, since the
queue alone does not tell.
"""

from __future__ import annotations

from typing import Any

from asgi_session import flash_queue
from asgi_session.flash_queue import FLASH, NOTHING_DONE, Change, Log, Queue
from asgi_session.images import copied, value_of
from asgi_session.journal import ONE_BY_ONE, Journal


class FlashNotes(Journal):
    """A journal that can be asked to queue and to drain messages."""

    __slots__ = ()

    def _flash(self) -> object:
        self.accessed = True
        return dict.get(self, FLASH)

    def _flash_drain(self, category: str | None) -> Queue:
        with ONE_BY_ONE:
            drained, rest = flash_queue.drain(self._flash(), category)
            if drained:
                self._note(FLASH)
                for name, messages in drained.items():
                    change = self._done_to(name)
                    own = len(change.added)
                    # Copies, since the handler may change what it was given, and merging goes by value.
                    change.taken += map(copied, messages[: len(messages) - own])
                    change.added = []
                self._put_flash(rest)
            return drained

    def _flash_add(self, category: str, messages: list[Any]) -> int:
        with ONE_BY_ONE:
            value = self._flash()
            held = value if isinstance(value, dict) else {}
            queued = held.get(category)
            if not isinstance(queued, list):
                queued = []
            if messages:
                if FLASH not in self._before:
                    self._admit(FLASH)
                self._done_to(category).added += messages
                dict.__setitem__(self, FLASH, {**held, category: [*queued, *messages]})
            return len(queued) + len(messages)

    def _done_to(self, category: str) -> Change:
        """What this request did to a category so far, to be added to."""
        done = self._flash_log.get(category)
        if done is None:
            done = Change()
            self._flash_log = {**self._flash_log, category: done}
        return done

    def _put_flash(self, value: dict[str, Any] | None) -> None:
        if value is None:
            dict.pop(self, FLASH, None)
        else:
            dict.__setitem__(self, FLASH, value)

    def _flash_take_own(self, category: str | None) -> Queue:
        """Take what this request queued and did not store yet."""
        with ONE_BY_ONE:
            log = self._flash_done()
            own = {name: change.added for name, change in log.items() if category in (None, name) and change.added}
            for name in own:
                log[name].added = []
            if own:
                self._flash_log = log
                self._put_flash(flash_queue.removed(self._flash(), own))
            return own

    def _flash_done(self) -> Log:
        """What this request did to the queue, be it by hand."""
        if FLASH not in self._before:
            return NOTHING_DONE
        return flash_queue.log_between(value_of(self._before[FLASH]), self._flash(), self._flash_log)

    async def _flash_claim(self, category: str | None) -> Queue:
        self.accessed = True
        return await self._request().claim(category)
