"""What a finished request does to the store and to the client's cookie: one pure decision.

It follows express-session's (store calls and Set-Cookie by what was done to the session) with these differences: a
changed age is a change; a session that a request made empty is deleted; a destroyed session's cookie is taken from the
client; a session is stored only if its cookie can reach the client; and no cookie is sent for a session that is not
known to be alive at that moment.
"""

from __future__ import annotations

from typing import Literal, NamedTuple


StoreAction = Literal["nothing", "create", "renew", "replace", "touch", "confirm", "discard", "destroy"]
"""What to do in the store.

create: store a new session. renew: store it under a new id, then delete the old record. replace: write it, if nobody
else did since. touch: extend its life. confirm: look whether it is still there. discard: delete it, if nobody wrote to
it since. destroy: delete it. From renew on (and for replace), nothing is done where the record is gone.
"""

CookieAction = Literal["nothing", "send", "delete"]
"""What to tell the client about its cookie, if the store agrees."""


class Plan(NamedTuple):
    """What a commit does."""

    store: StoreAction
    cookie: CookieAction
    undeliverable: bool = False
    """There was something to store that no cookie could lead to, so it is not stored."""


NO_PLAN = Plan("nothing", "nothing")


def decide(
    *,
    stored: bool = False,
    presented: bool = False,
    destroyed: bool = False,
    renewed: bool = False,
    keeps: bool = False,
    empty: bool = False,
    held_data: bool = False,
    changed: bool = False,
    forced: bool = False,
    touched: bool = False,
    due: bool = False,
    has_age: bool = False,
    age_assigned: bool = False,
    outdated: bool = False,
    owed: bool = False,
    created: bool = False,
    rolling: bool = False,
    save_uninitialized: bool = False,
    deliverable: bool = True,
) -> Plan:
    """The plan for a request that ended well.

    Args:
        stored: a record is known to be in the store.
        presented: the request's cookie named a session, stored or not.
        destroyed: ``destroy()`` was called, or the session was unset and that means it.
        renewed: ``regenerate()`` was called.
        keeps: with ``keep=True``.
        empty: the session holds nothing now.
        held_data: the stored record holds something.
        changed: a value differs, or the age was assigned.
        forced: ``mark_modified()``, or resave.
        touched: ``touch()`` was called.
        due: its life in the store was last extended too long ago.
        has_age: the cookie has an expiry.
        age_assigned: that was assigned.
        outdated: the cookie was signed by an old secret.
        owed: an earlier commit of this request calls for the cookie.
        created: this request stored the record under an id that nobody else has yet.
        rolling: every response of a stored session carries the cookie.
        save_uninitialized: new sessions are stored although they are empty.
        deliverable: a cookie can still reach the client.
    """
    if destroyed:
        return Plan(
            "destroy" if stored else "nothing",
            "delete" if stored or presented else "nothing",
        )
    if renewed or not stored:
        wanted = not empty or save_uninitialized or (forced and not renewed)
        if wanted and deliverable:
            return Plan("renew" if stored else "create", "send")
        if stored:
            action = "discard" if keeps and not wanted else "destroy"
            return Plan(action, "delete", undeliverable=wanted)
        return Plan("nothing", "nothing", undeliverable=wanted)
    if empty and held_data and not save_uninitialized:
        return Plan("discard", "delete")
    send = rolling or outdated or touched or age_assigned or owed
    cookie = "send" if send else "nothing"
    if changed or forced:
        return Plan("replace", "send" if has_age else cookie)
    if touched or due:
        return Plan("touch", cookie)
    if send and not created:
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
