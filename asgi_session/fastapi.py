"""Sessions as FastAPI dependencies, for HTTP and WebSocket routes.

Write ``session: SessionDep``, never ``session: Session`` alone: FastAPI refuses such a route.
"""

# No ``from __future__ import annotations``: FastAPI before 0.123.7 can't resolve those of an object that is called.

from typing import Annotated

try:
    from fastapi import Depends, HTTPException
    from fastapi.openapi.models import APIKey, APIKeyIn
    from fastapi.security.base import SecurityBase
except ImportError as error:
    raise ImportError("asgi_session.fastapi needs FastAPI: pip install 'asgi-session[fastapi]'") from error
from starlette.requests import HTTPConnection

from asgi_session.flash import Flash
from asgi_session.middleware import exchange_of, load_session
from asgi_session.session import Session


async def _session(connection: HTTPConnection) -> Session:
    session = await load_session(connection)
    session.mark_accessed()  # pydantic reads a dict behind its back
    return session


async def _flash(connection: HTTPConnection) -> Flash:
    await load_session(connection)
    flash: Flash = connection.state.flash
    return flash


SessionDep = Annotated[Session, Depends(_session)]
"""The session of the request; loads it under ``autoload=False``."""

FlashDep = Annotated[Flash, Depends(_flash)]
"""The flash queue of the request; likewise."""


class RequiredSession(SecurityBase):
    """A dependency that lets only requests with a stored session through: ``Depends(RequiredSession("user_id"))``.

    Gives the session; answers 401 unless a stored one that holds all the keys came with the request. OpenAPI shows it
    as an API key in a cookie.

    Args:
        keys: session keys that must be there.
        name: the cookie's name, as the middleware has it. Where no middleware of that name is in charge,
            `SessionNotLoaded` comes out.
    """

    def __init__(self, *keys: str, name: str = "connect.sid") -> None:
        self.keys = keys
        self.name = name
        self.scheme_name = name
        self.model = APIKey.model_validate({"in": APIKeyIn.cookie, "name": name})

    async def __call__(self, connection: HTTPConnection) -> Session:
        exchange = exchange_of(connection, self.name)
        session = await exchange.load_for(connection.scope)
        session.mark_accessed()
        if exchange.came is None or not all(key in exchange.came and key in session for key in self.keys):
            raise HTTPException(401, "Not authenticated", headers={"WWW-Authenticate": "APIKey"})
        return session
