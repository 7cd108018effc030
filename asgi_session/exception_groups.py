"""What an exception group that leaves the application comes down to: a TaskGroup raises one even for one exception."""

from __future__ import annotations

from starlette.websockets import WebSocketDisconnect

from asgi_session.exceptions import SessionConflict, StoreError
from asgi_session.unavailable import came_of_being_answered


def essence(error: BaseException) -> BaseException:
    """The exception that stands for a group in which all are the middleware's business; else the error itself.

    A failure of the store outweighs a client that hung up, and a hang-up outweighs what came of a response that was
    replaced by 503.
    """
    if not isinstance(error, BaseExceptionGroup):
        return error
    members = sorted(map(essence, error.exceptions), key=_weight)
    return error if _weight(members[-1]) == _FOREIGN else members[0]


_FOREIGN = 3


def _weight(error: BaseException) -> int:
    if isinstance(error, StoreError | SessionConflict):
        return 0
    if came_of_being_answered(error):
        return 2
    return 1 if isinstance(error, WebSocketDisconnect) else _FOREIGN
