"""What a finished request does to the store and to the client's cookie: one pure decision.

It follows express-session's (store calls and Set-Cookie by what was done to the session) with these differences: a
changed age is a change; a session that a request made empty is deleted; a destroyed session's cookie is taken from the
client; a session is stored only if its cookie can reach the client; and no cookie is sent for a session that is not
known to be alive at that moment.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class StoreAction(Enum):
    """What to do in the store; all but the first two fail where the record is gone."""

    NOTHING = "nothing"
    CREATE = "store a new session"
    RENEW = "store it under a new id, then delete the old record"
    REPLACE = "write it, if nobody else did since"
    TOUCH = "extend its life"
    CONFIRM = "look whether it is still there"
    DISCARD = "delete it, if nobody wrote to it since"
    DESTROY = "delete it"


class CookieAction(Enum):
    """What to tell the client, if the store agrees."""

    NOTHING = "nothing"
    SEND = "set the cookie"
    DELETE = "delete the cookie"


class Plan(NamedTuple):
    """What a commit does."""

    store: StoreAction
    cookie: CookieAction
    undeliverable: bool = False
    """There was something to store that no cookie could lead to, so it is not stored."""


class Facts(NamedTuple):
    """All that the decision depends on."""

    stored: bool = False  # a record is known to be in the store
    presented: bool = False  # the request's cookie named a session, stored or not
    destroyed: bool = False  # destroy() was called, or the session was unset and that means it
    renewed: bool = False  # regenerate() was called
    empty: bool = False  # it holds nothing now
    held_data: bool = False  # the stored record holds something
    changed: bool = False  # a value differs, or the age was assigned
    forced: bool = False  # mark_modified(), or resave
    touched: bool = False  # touch() was called
    due: bool = False  # its life in the store was last extended too long ago
    has_age: bool = False  # the cookie has an expiry
    age_assigned: bool = False
    outdated: bool = False  # the cookie was signed by an old secret
    owed: bool = False  # an earlier commit of this request calls for the cookie
    known_alive: bool = False  # this request created the record under an id that nobody else has
    rolling: bool = False
    save_uninitialized: bool = False
    deliverable: bool = True  # a cookie can still reach the client


NO_PLAN = Plan(StoreAction.NOTHING, CookieAction.NOTHING)


def decide(facts: Facts) -> Plan:
    """The plan for a request that ended well."""
    f = facts
    if f.destroyed:
        return Plan(
            StoreAction.DESTROY if f.stored else StoreAction.NOTHING,
            CookieAction.DELETE if f.stored or f.presented else CookieAction.NOTHING,
        )
    if f.renewed or not f.stored:
        wanted = not f.empty or f.save_uninitialized or (f.forced and not f.renewed)
        if wanted and f.deliverable:
            return Plan(StoreAction.RENEW if f.stored else StoreAction.CREATE, CookieAction.SEND)
        if f.stored:
            return Plan(StoreAction.DESTROY, CookieAction.DELETE, undeliverable=wanted)
        return Plan(StoreAction.NOTHING, CookieAction.NOTHING, undeliverable=wanted)
    if f.empty and f.held_data and not f.save_uninitialized:
        return Plan(StoreAction.DISCARD, CookieAction.DELETE)
    send = f.rolling or f.outdated or f.touched or f.age_assigned or f.owed
    cookie = CookieAction.SEND if send else CookieAction.NOTHING
    if f.changed or f.forced:
        return Plan(StoreAction.REPLACE, CookieAction.SEND if f.has_age else cookie)
    if f.touched or f.due:
        return Plan(StoreAction.TOUCH, cookie)
    if send and not f.known_alive:
        return Plan(StoreAction.CONFIRM, cookie)
    return Plan(StoreAction.NOTHING, cookie)


def is_due(now: float, age: float, expires: float, touch_after: float) -> bool:
    """Whether a stored expiry has fallen too far behind (or ahead of) what a touch would make it.

    Args:
        now: Unix time.
        age: seconds of the full life.
        expires: the record's expiry, Unix time.
        touch_after: seconds; a tenth of the age counts where that is less.
    """
    return abs(now + age - expires) >= min(touch_after, age / 10)
