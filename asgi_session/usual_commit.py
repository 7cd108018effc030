"""The commit that most requests need, if they need one: values changed, and the store answers at once.

It comes to the same as `Commit` with less to do: where nothing else was asked for there is nothing to decide, and where
no call suspends nothing can come in between that would have to be told apart. What turns out otherwise is left to
`Commit`.
"""

from __future__ import annotations

import time

from asgi_session import payload
from asgi_session.commit import Commit
from asgi_session.cookie import header_age
from asgi_session.decision import CREATED, HELD_DATA, PRESENTED, STORED
from asgi_session.exceptions import StoreError
from asgi_session.journal import Look
from asgi_session.patience import store_error
from asgi_session.standing import Standing
from asgi_session.stores.base import Utf8Record

_USUAL = STORED | HELD_DATA | PRESENTED | CREATED
"""Facts that call for nothing but that what changed be stored."""


def is_usual(standing: Standing, look: Look) -> bool:
    """Whether a commit is of this kind, if the store answers at once."""
    session, settings = standing.session, standing.settings
    assert session is not None
    return (
        bool(look[0])
        and dict.__len__(session) > 0
        and not (session._asked | standing.known) & ~_USUAL
        and session._cookie is None
        and not (standing.over or standing.headers_gone)
        and not (settings.decides_always or settings.turns.busy)
    )


async def store_values(standing: Standing, look: Look) -> None:
    """Store a session whose commit is a usual one. Raises as `Commit.run`."""
    session, settings, sid = standing.session, standing.settings, standing.sid
    assert session is not None
    age, attributes = standing.full_age(), standing.attributes()
    if sid is None and not standing.can_be_sent(attributes):
        await Commit(standing, None, saving=False).run(look)
        return
    changes, images = look
    expires = None if age is None else time.time() + age
    record = Utf8Record(payload.write(session, age, expires, attributes, changes), expires)
    expected = standing.record
    if sid is None:
        sid = session._current_id()
    try:
        if expected is None:
            done = await settings.store.create(sid, record)
        else:
            done = await settings.store.replace(sid, record, expected=expected)
    except Exception as error:
        if expected is not None:
            session._doubt(changes)
            standing.in_doubt().note(record, adds=session._adds_up())
        if isinstance(error, StoreError):
            raise
        raise store_error(error) from error
    if not done:  # somebody was faster, or has this id
        await Commit(standing, None, saving=False).run()
        return
    session._note_nothing(changes, images)
    standing.written(sid, record, age, HELD_DATA)
    if expected is None:
        session._is_new = False
    if expected is None or age is not None:
        standing.owed = "send"
        standing.owed_age = header_age(age, expires)
