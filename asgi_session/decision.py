"""What a finished request does to the store and to the client's cookie: one pure decision.

It follows express-session's (store calls and Set-Cookie by what was done to the session) with these differences: a
changed age is a change; a session that a request made empty is deleted; a destroyed session's cookie is taken from the
client; a session is stored only if its cookie can reach the client; and no cookie is sent for a session that is not
known to be alive at that moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

StoreAction = Literal["nothing", "create", "renew", "replace", "touch", "confirm", "discard", "destroy"]
"""What to do in the store.

create: store a new session. renew: store it under a new id, then delete the old record. replace: write it, if nobody
else did since. touch: extend its life. confirm: look whether it is still there. discard: delete it, if nobody wrote to
it since. destroy: delete it. All but create, and a renew that drops the data, come to nothing where the
record is gone.
"""

CookieAction = Literal["nothing", "send", "delete"]
"""What to tell the client about its cookie, if the store agrees."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a commit does."""

    store: StoreAction
    cookie: CookieAction
    undeliverable: bool = False
    """There was something to store that no cookie could lead to, so it is not stored."""


NO_PLAN = Plan("nothing", "nothing")


# Facts about a request and its session. Several of them are the sum of their numbers.

STORED = 1 << 0
"""A record is known to be in the store."""
PRESENTED = 1 << 1
"""The request's cookie named a session, stored or not."""
DESTROYED = 1 << 2
"""``destroy()`` was called, or the session was unset and that means it."""
RENEWED = 1 << 3
"""``regenerate()`` was called."""
KEEPS = 1 << 4
"""With ``keep=True``."""
EMPTY = 1 << 5
"""The session holds nothing now."""
HELD_DATA = 1 << 6
"""The stored record holds something."""
CHANGED = 1 << 7
"""A value differs, or the age was assigned."""
FORCED = 1 << 8
"""``mark_modified()``, or resave."""
TOUCHED = 1 << 9
"""``touch()`` was called."""
DUE = 1 << 10
"""Its life in the store was last extended too long ago."""
HAS_AGE = 1 << 11
"""The cookie has an expiry."""
AGE_ASSIGNED = 1 << 12
"""That was assigned."""
OUTDATED = 1 << 13
"""The cookie was signed by an old secret."""
OWED = 1 << 14
"""An earlier commit of this request calls for the cookie."""
CREATED = 1 << 15
"""This request stored the record under an id that nobody else has yet."""
ROLLING = 1 << 16
"""Every response of a stored session carries the cookie."""
SAVE_UNINITIALIZED = 1 << 17
"""New sessions are stored although they are empty."""
UNDELIVERABLE = 1 << 18
"""No cookie can reach the client any more."""

_RESEND = ROLLING | OUTDATED | TOUCHED | AGE_ASSIGNED | OWED


@cache
def decide(facts: int) -> Plan:
    """The plan for a request that ended well, of which these facts hold."""
    stored = facts & STORED
    if facts & DESTROYED:
        return Plan("destroy" if stored else "nothing", "delete" if facts & (STORED | PRESENTED) else "nothing")
    if not stored or facts & RENEWED:
        was_empty = stored and not facts & HELD_DATA
        wanted = (
            not facts & EMPTY or was_empty or facts & SAVE_UNINITIALIZED or (facts & FORCED and not facts & RENEWED)
        )
        if wanted and not facts & UNDELIVERABLE:
            return Plan("renew" if stored else "create", "send")
        if stored:
            return Plan("discard" if facts & KEEPS and not wanted else "destroy", "delete", undeliverable=bool(wanted))
        return Plan("nothing", "nothing", undeliverable=bool(wanted))
    if facts & EMPTY and facts & HELD_DATA and not facts & SAVE_UNINITIALIZED:
        return Plan("discard", "delete")
    cookie: CookieAction = "send" if facts & _RESEND else "nothing"
    if facts & (CHANGED | FORCED):
        return Plan("replace", "send" if facts & HAS_AGE else cookie)
    if facts & (TOUCHED | DUE):
        return Plan("touch", cookie)
    if facts & _RESEND and not facts & CREATED:
        return Plan("confirm", cookie)
    return Plan("nothing", cookie)


def is_due(now: float, age: float, expires: float, touch_after: float) -> bool:
    """Whether a stored expiry has fallen too far behind (or ahead of) what a touch would make it.

    Args:
        now: Unix time.
        age: seconds of the full life.
        expires: the record's expiry, Unix time.
        touch_after: seconds; a tenth of the age counts where that is less.
    """
    return abs(now + age - expires) >= min(touch_after, age / 10)
