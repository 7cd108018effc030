"""Sessions in this process's memory: for one process, for development and for tests.

How expired records leave without being read, and without a task in the background:

A record waits in a *bucket*, a list of ids to be looked at when the clock reaches the bucket's time, which is never
later than the record's expiry. Every operation first handles the buckets that are due: what has expired is deleted,
what has not goes into a later bucket. Whatever is there after that is alive. A bucket spans about a thousandth of the
remaining life, so that there are few of them however many records there are, and a record moves at most five times in
two weeks. Extending a life, which any request may do, changes no bucket at all.
"""

from __future__ import annotations

import heapq
import math
import struct
import time
from collections import OrderedDict
from collections.abc import AsyncIterator

from asgi_session.stores.base import Record, Store, Utf8Record, checked_ttl, never_suspends

_HEAD = struct.Struct("<dBH")  # expiry, number of the common text of cookies, where in the record that text goes
_unpack_head = _HEAD.unpack_from
_BODY = _HEAD.size
_OPENING = b'{"cookie":{"originalMaxAge":'
_AFTER_OPENING = len(_OPENING)
_COMMON_TEXTS = 256  # as many as one byte can number
_FARTHEST = 2.0**31  # seconds after which even an immortal record is looked at
_SLACK = 64  # leftovers that are not worth tidying up


class _Held(Utf8Record):
    """A record that remembers the form in which it was held."""

    __slots__ = ("held",)

    def __init__(self, utf8: bytes, expires: float, held: bytes) -> None:
        self._text = None
        self.utf8 = utf8
        self.expires = expires
        self.held = held


class MemoryStore(Store):
    """Keeps records in a dict. No method ever suspends, so each is one step on the event loop; not for several threads.

    A record costs its id, its payload in UTF-8 and about a hundred bytes; the cookie attributes that many payloads have
    in common are kept once.

    Args:
        ttl: life in seconds of a record stored with ``expires=None``.
        max_sessions: when there would be more records than this, the least recently used goes. None: no limit.

    Raises:
        ValueError: `ttl` is not positive and finite, or `max_sessions` is below 1.
        TypeError: `ttl` is no number, or `max_sessions` no int.
    """

    def __init__(self, *, ttl: float = Store.ttl, max_sessions: int | None = None) -> None:
        if max_sessions is not None:
            if isinstance(max_sessions, bool) or not isinstance(max_sessions, int):
                raise TypeError("max_sessions must be an int or None")
            if max_sessions < 1:
                raise ValueError("max_sessions must be at least 1")
        self.ttl = checked_ttl(ttl)
        self._max_sessions = max_sessions
        self._reset()

    def _reset(self) -> None:
        # The order of use costs memory, so it is kept only where something asks for it.
        self._by_use: OrderedDict[str, bytes] | None = None if self._max_sessions is None else OrderedDict()
        self._records: dict[str, bytes] = {} if self._by_use is None else self._by_use
        self._most_records = 0  # since `_records` was last copied; a dict never shrinks by itself
        self._buckets: dict[float, list[str]] = {}
        self._times: list[float] = []  # heap of the buckets' times
        self._next_time = math.inf
        self._waiting = 0  # ids in all buckets, leftovers included
        # What records have in common: nothing, or the opening and a text further on; and the one met last, and where.
        self._commons: list[tuple[bytes, bytes]] = [(b"", b""), (_OPENING, b"")]
        self._common_numbers: dict[bytes, int] = {b"": 1}
        self._latest = (1, b"", _AFTER_OPENING)

    @never_suspends
    async def get(self, sid: str) -> Record | None:
        # Most requests go through here and `replace`, so `_find` and `_text` are written out.
        now = time.time()
        if now >= self._next_time:
            self._sweep(now)
        held = self._records.get(sid)
        if held is None:
            return None
        expires, number, cut = _unpack_head(held)
        if self._by_use is not None:
            self._by_use.move_to_end(sid)
        opening, common = self._commons[number]
        return _Held(b"".join((opening, held[_BODY:cut], common, held[cut:])), expires, held)

    @never_suspends
    async def create(self, sid: str, record: Record) -> bool:
        now = time.time()
        if self._find(sid, now) is not None:
            return False
        expires = self._expiry(record.expires, now)
        if not expires > now:
            return True
        if self._by_use is not None and len(self._by_use) == self._max_sessions:
            self._by_use.popitem(last=False)
        self._records[sid] = self._pack(record.utf8, expires)
        if len(self._records) > self._most_records:
            self._most_records = len(self._records)
        self._wait(sid, expires, now)
        if self._by_use is not None:  # else nothing has left
            self._tidy(now)
        return True

    @never_suspends
    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        now = time.time()
        if now >= self._next_time:
            self._sweep(now)
        held = self._records.get(sid)
        if held is None or not ((expected.__class__ is _Held and expected.held is held) or self._reads(held, expected)):
            return False
        expires = now + self.ttl if record.expires is None else record.expires
        self._put(sid, expires, self._pack(record.utf8, expires), held, now)
        return True

    @never_suspends
    async def touch(self, sid: str, expires: float | None, *, expected: Record | None = None) -> bool:
        now = time.time()
        held = self._find(sid, now)
        if held is None or (expected is not None and not self._reads(held, expected)):
            return False
        _, common, cut = _unpack_head(held)
        expires = self._expiry(expires, now)
        self._put(sid, expires, _HEAD.pack(expires, common, cut) + held[_BODY:], held, now)
        return True

    @never_suspends
    async def destroy(self, sid: str, *, expected: Record | None = None) -> bool:
        now = time.time()
        held = self._find(sid, now)
        if held is None or (expected is not None and not self._reads(held, expected)):
            return False
        self._forget(sid, now)
        return True

    async def ids(self) -> AsyncIterator[str]:
        for sid in list(self._records):
            if self._find(sid, time.time()) is not None:
                yield sid

    async def length(self) -> int:
        await self.purge()
        return len(self._records)

    async def clear(self) -> None:
        self._reset()

    async def purge(self) -> int:
        before = len(self._records)
        self._sweep(time.time())
        return before - len(self._records)

    def __repr__(self) -> str:
        limit = "" if self._max_sessions is None else f" of at most {self._max_sessions}"
        return f"<{type(self).__name__}: {len(self._records)}{limit} sessions>"

    # Records

    def _find(self, sid: str, now: float) -> bytes | None:
        """What is held under `sid`, if it lives."""
        if now >= self._next_time:
            self._sweep(now)
        return self._records.get(sid)

    def _forget(self, sid: str, now: float) -> None:
        del self._records[sid]
        self._tidy(now)

    def _put(self, sid: str, expires: float, new: bytes, old: bytes, now: float) -> None:
        """Put `new` into the place of `old`, which lives."""
        if not expires > now:
            self._forget(sid, now)
            return
        self._records[sid] = new
        if self._by_use is not None:
            self._by_use.move_to_end(sid)
        if expires < _unpack_head(old)[0]:
            self._wait(sid, expires, now)
            self._tidy(now)

    def _expiry(self, expires: float | None, now: float) -> float:
        return now + self.ttl if expires is None else expires

    # The form in which a record is held: one bytes object, without the text that all cookies have in common

    def _pack(self, text: bytes, expires: float) -> bytes:
        if text.startswith(_OPENING):
            number, common, start = self._latest
            if not (common and text.startswith(common, start)):
                start = text.find(common, _AFTER_OPENING, 512) if common else -1
                if start < 0:
                    number, common, start = self._common_in(text)
                self._latest = number, common, start
            cut = _BODY + start - _AFTER_OPENING
            return _HEAD.pack(expires, number, cut) + text[_AFTER_OPENING:start] + text[start + len(common) :]
        return _HEAD.pack(expires, 0, _BODY) + text

    def _common_in(self, text: bytes) -> tuple[int, bytes, int]:
        """The number under which the part of the stored cookie behind its expiry is kept once, that part, its place."""
        end = text.find(b"}", 0, 512)
        moving = text.find(b'"expires":', 0, max(end, 0))
        start = text.find(b",", moving, end) if moving > 0 else -1
        common = text[start:end] if start > 0 else b""
        if common not in self._common_numbers:
            if len(self._commons) == _COMMON_TEXTS:
                return 1, b"", _AFTER_OPENING
            self._common_numbers[common] = len(self._commons)
            self._commons.append((_OPENING, common))
        return self._common_numbers[common], common, start if common else _AFTER_OPENING

    def _reads(self, held: bytes, expected: Record) -> bool:
        """Whether this has the payload that was expected."""
        return self._text(held) == expected.utf8

    def _text(self, held: bytes) -> bytes:
        _, number, cut = _unpack_head(held)
        opening, common = self._commons[number]
        return b"".join((opening, held[_BODY:cut], common, held[cut:]))

    # Expiry

    def _wait(self, sid: str, expires: float, now: float) -> None:
        """Put a living record's id into a bucket."""
        look = min(expires, now + _FARTHEST)
        span = math.ldexp(1.0, math.frexp(look - now)[1] - 11)
        due = look // span * span  # later than now, since a span is much shorter than what is left
        bucket = self._buckets.get(due)
        if bucket is None:
            self._buckets[due] = [sid]
            heapq.heappush(self._times, due)
            self._next_time = self._times[0]
        else:
            bucket.append(sid)
        self._waiting += 1

    def _sweep(self, now: float) -> None:
        """Handle the buckets that are due: forget what has expired, let the rest wait again."""
        due = []
        while self._times and self._times[0] <= now:
            due.append(self._buckets.pop(heapq.heappop(self._times)))
        if self._times:
            self._next_time = self._times[0]
        else:
            self._next_time = math.inf
            self._buckets = {}  # emptied, it would keep its size
        records = self._records
        for bucket in due:
            self._waiting -= len(bucket)
            for sid in bucket:
                held = records.get(sid)
                if held is None:
                    continue
                expires = _unpack_head(held)[0]
                if expires > now:
                    self._wait(sid, expires, now)
                else:
                    del records[sid]
        if due:
            self._tidy(now)

    def _tidy(self, now: float) -> None:
        """Give memory back once leftovers outnumber what lives: O(n), but only after as many changes."""
        count = len(self._records)
        if self._most_records > 4 * count + _SLACK:
            if self._by_use is None:
                self._records = self._records.copy()
            else:
                self._records = self._by_use = self._by_use.copy()
            self._most_records = count
        if self._waiting > 2 * count + _SLACK:
            self._buckets = {}
            self._times = []
            self._waiting = 0
            self._next_time = math.inf
            for sid, held in self._records.items():
                self._wait(sid, _unpack_head(held)[0], now)
