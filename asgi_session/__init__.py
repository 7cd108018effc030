"""Server-side sessions and flash messages for Starlette and FastAPI, sharing live sessions with Express."""

from asgi_session.cookie import Cookie
from asgi_session.exceptions import (
    SessionConflict,
    SessionDestroyed,
    SessionError,
    SessionNotFound,
    SessionNotLoaded,
    SessionSerializationError,
    StoreError,
)
from asgi_session.flash import Flash
from asgi_session.middleware import SessionMiddleware, load_session
from asgi_session.session import Session
from asgi_session.stores.base import Record, Store
from asgi_session.stores.memory import MemoryStore

__all__ = [
    "Cookie",
    "Flash",
    "MemoryStore",
    "Record",
    "Session",
    "SessionConflict",
    "SessionDestroyed",
    "SessionError",
    "SessionMiddleware",
    "SessionNotFound",
    "SessionNotLoaded",
    "SessionSerializationError",
    "Store",
    "StoreError",
    "load_session",
]
