"""What one request knows of its session's place in the store, and how it learns more.

Commit, claims and loading share it; what is to be done they decide themselves.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from starlette.types import Scope, Send

from asgi_session import flash_queue, payload
from asgi_session.cookie import MAX_AGE, Attributes, Cookie
from asgi_session.decision import DESTROYED, HELD_DATA, RENEWED, STORED, CookieAction, is_due
from asgi_session.doubts import Doubts
from asgi_session.exceptions import StoreError
from asgi_session.flash_queue import Queue
from asgi_session.log import logger
from asgi_session.patience import Hold
from asgi_session.session import Session
from asgi_session.settings import Settings
from asgi_session.signing import Presented
from asgi_session.stores.base import Record

_ENCRYPTED = ("https", "wss")


class Standing:
    """The session of one request, and what is known to be stored of it."""

    presented: Presented | None = None
    """What the request's cookie named, stored or not."""
    session: Session | None = None
    sid: str | None = None
    """The id under which a record is known to be stored."""
    record: Record | None = None
    """That record as it was last seen or written."""
    age: float | None
    """Seconds of the full age of the record; None: a browser session."""
    expires: float
    """When the record dies, Unix time."""
    owed_age: tuple[int | None, float | None]
    """Max-Age and expiry of the cookie owed to the client, as they were committed."""
    came: Mapping[str, Any] | None = None
    """The stored data that came with the request; only its keys are to be relied on."""
    wrote = False
    """Whether this request wrote to the record."""
    doubts: Doubts | None = None
    """Writes of this request that failed, and of which nobody knows whether they were made; None: there are none."""
    lost: Queue | None = None
    """The messages that one of the claims in doubt turned out to have taken: nobody got them."""
    earlier_ids: tuple[str, ...] = ()
    """The ids that this request gave the session others for, data and all."""
    emptied = False
    """Whether this request took the last that the record held, by a claim."""
    warned = False
    """Whether it was said that what is pending now is dropped."""
    over = False
    """Whether the session ended: destroyed here or elsewhere, or expired."""
    failed = False
    """Whether the response failed, so that nothing is claimed for it any more."""
    refused = False
    """Whether this is a WebSocket that was closed before it was accepted, which stores no new session."""

    def __init__(self, settings: Settings, scope: Scope, send: Send, template: Cookie) -> None:
        # What every request looks at. The rest is set where it differs from the defaults above.
        self.settings = settings
        self.scope = scope
        self._send = send
        self.template = template
        """The cookie's template for this request."""
        self.known = 0
        """Facts of the decision that are clear before it: STORED, HELD_DATA, CREATED, PRESENTED and OUTDATED, if so."""
        self.owed: CookieAction = "nothing"
        """What the client is to be told about its cookie."""
        self.headers_gone = False
        """Whether it is too late for a cookie."""
        self.blind = False
        """Whether the store failed when it was to be loaded: then nothing is written."""

    @property
    def loaded(self) -> Session:
        """The session, where there must be one."""
        assert self.session is not None
        return self.session

    async def fetch(self, sid: str, hold: Hold | None = None) -> dict[str, Any] | None:
        """Read a record and remember it. Returns its data; None where it is missing or unreadable."""
        record = await self.settings.calls_within(hold).get(sid)
        if record is not None and self.doubts is not None and self.doubts.hold_claims():
            self.lost = self.lost_by(record)
        return self.found(sid, record)

    def lost_by(self, record: Record) -> Queue:
        """What a claim in doubt took and nobody got, as far as a stored record tells, less what was drained since."""
        if self.doubts is None:
            return {}
        claimed = self.doubts.claimed(record, self.record)
        return flash_queue.claim(claimed, None, self.loaded._flash_done())[0]

    def found(self, sid: str, record: Record | None) -> dict[str, Any] | None:
        """Remember a record that was read. Returns its data; None where it is missing or unreadable."""
        if record is None:
            return None
        stored = payload.read(record.utf8)
        if stored is None:
            logger.warning("A stored session is no JSON object or is nested too deeply; it is treated as missing.")
            return None
        data, cookie = stored
        self.sid = sid
        self.record = record
        self.expires = time.time() + self.settings.default_life if record.expires is None else record.expires
        self.age = payload.stored_age(cookie, self.template)
        self.known = self.known & ~HELD_DATA | (STORED | HELD_DATA if data or self.emptied else STORED)
        return data

    def take_life(self, record: Record) -> None:
        """Take over the age that somebody else gave the record since. What else changed, the next write will find."""
        stored = payload.read(record.utf8)
        if stored is not None:
            self.age = payload.stored_age(stored[1], self.template)
        if record.expires is not None:
            self.expires = record.expires
        session = self.loaded
        if session._cookie is not None:
            session._cookie.keep_up(*self.life())

    async def refresh(self, hold: Hold) -> None:
        """Load what is stored now, and make this request's changes changes to that."""
        assert self.sid is not None
        expected = self.record
        data = await self.fetch(self.sid, hold)
        if data is None:
            self.gone()
            return
        try:
            if self.doubts is not None and self.doubts.hold_changes():
                self._find_out(self.doubts, data, expected)
            else:
                self.rebase(data)
        except BaseException:
            self.record = expected  # the session is still a change to that one
            raise

    def rebase(self, data: dict[str, Any]) -> None:
        """Make this request's changes changes to `data`, which is stored now."""
        session = self.loaded
        if session._parts_with_stored():
            return
        session._rebase(data)
        if session._cookie is not None:
            session._cookie.keep_up(*self.life())

    def _find_out(self, doubts: Doubts, data: dict[str, Any], expected: Record | None) -> None:
        """What became of writes that nobody acknowledged, so that none is made twice.

        Raises:
            StoreError: somebody else wrote since, so that nobody can tell, and something would count twice.
        """
        assert self.record is not None
        verdict = doubts.verdict(self.record, expected)
        if verdict == "made":
            self.loaded._rebase_on_own(data)
            self.doubts = None
        elif verdict == "open":
            self.rebase(data)
        elif doubts.adds or self.loaded._adds_up():
            raise StoreError("nobody can tell whether an earlier write of this session was made")
        else:
            self.rebase(data)
            self.doubts = None

    def in_doubt(self) -> Doubts:
        """Where to note a write that failed."""
        if self.doubts is None:
            self.doubts = Doubts()
        return self.doubts

    def is_due(self, age: float | None) -> bool:
        """Whether the record's life has to be extended; `age` is its full life, None the store's default."""
        life = self.settings.default_life if age is None else age
        return is_due(time.time(), life, self.expires, self.settings.touch_after)

    def full_age(self) -> float | None:
        """Seconds of the session's full age where the handler did not assign one; None: a browser session."""
        session = self.session
        if self.record is None or (session is not None and session._asked and session._starts_afresh()):
            return self.template.first_age()
        return self.age

    def life(self) -> tuple[float | None, float | None]:
        """Seconds of the full age, and the Unix time at which it ends: the record's, or that of an age that begins now.

        Somebody else's record may end later than any cookie, and later than a datetime can say.
        """
        age = self.full_age()
        if age is None:
            return None, None
        now = time.time()
        if self.record is None or self.loaded._starts_afresh():
            return age, now + age
        return age, min(self.expires, now + MAX_AGE)

    def written(self, sid: str, record: Record, age: float | None, holds: int) -> None:
        """Remember what was written, as it was handed to the store.

        Args:
            sid: the id.
            record: the record.
            age: seconds of its full age; None: a browser session.
            holds: `HELD_DATA` where it holds anything, else 0.
        """
        self.sid = sid
        self.record = record
        self.age = age
        self.expires = record.expires or time.time() + self.settings.default_life
        self.known = self.known & ~HELD_DATA | STORED | holds
        self.wrote = True
        self.doubts = None
        session = self.session
        if session is not None and session._cookie is not None:
            session._cookie.keep_up(age, record.expires)

    def forget_record(self) -> None:
        """Remember that nothing is stored any more; what comes next is another session, to which nothing goes back."""
        self.sid = self.record = self.lost = None
        self.earlier_ids = ()
        self.known &= ~(STORED | HELD_DATA)

    def gone(self, *, dropped: bool = False) -> None:
        """The session ended while this request was at work: nothing of it is written, and no cookie is sent."""
        session = self.loaded
        if dropped or session._asked & (DESTROYED | RENEWED) or session._age_assigned() or session._look()[0]:
            self.warn_dropped()
        self.forget_record()
        self.over = True
        self.owed = "nothing"

    def warn_dropped(self) -> None:
        """Say that changes came to nothing since the session ended."""
        logger.warning("Changes to a session were dropped: it was destroyed, was given a new id or has expired.")
        self.warned = True

    def attributes(self) -> Attributes:
        """The cookie's attributes as they come out on this connection."""
        session = self.session
        template = self.template if session is None or session._cookie is None else session._cookie.template
        if self.scope.get("scheme") in _ENCRYPTED or (self.settings.proxy and self._came_by_https()):
            return template.on_https
        return template.on_http

    def can_be_sent(self, attributes: Attributes) -> bool:
        """Whether the connection may carry the cookie: a Secure one must not go over plain http."""
        return attributes.can_be_sent and (not self.settings.must_be_secure or attributes.on_https)

    def _came_by_https(self) -> bool:
        """Whether the client's connection is encrypted, as a trusted proxy says."""
        for name, value in self.scope["headers"]:
            if name == b"x-forwarded-proto":
                first: bytes = value.split(b",", 1)[0].strip().lower()
                return first in (b"https", b"wss")
        return False
