"""One set of options for both sides of an interop test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

SECRET = "an interop secret of more than 32 bytes"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the Express app and the ASGI app have to agree on, and what only one of them knows.

    Args:
        store: which database.
        url: where it is.
        database: its name (Mongo).
        prefix: of the keys (Redis).
        secrets: the first signs, all verify.
        name: of the cookie.
        max_age: seconds a session lives after its last use; None: a browser session.
        ttl: seconds the store keeps a browser session.
        stringify: whether Mongo keeps the session as JSON text or as a document.
        transform_id: whether Mongo keeps sessions under a hash of their id.
        resave: as in express-session, for its side only.
        rolling: send the cookie with every response.
        touch_after: connect-mongo's `touchAfter` in seconds, for its side only.
    """

    store: Literal["mongo", "redis"]
    url: str
    database: str = "interop"
    prefix: str = "sess:"
    secrets: tuple[str, ...] = (SECRET,)
    name: str = "connect.sid"
    max_age: int | None = None
    ttl: int = 1000
    stringify: bool = True
    transform_id: bool = False
    resave: bool = False
    rolling: bool = False
    touch_after: int = 0

    def for_express(self) -> dict[str, Any]:
        """The options as `express/app.js` takes them."""
        cookie: dict[str, Any] = {"sameSite": "lax", "secure": "auto"}  # the defaults of this package
        if self.max_age is not None:
            cookie["maxAge"] = self.max_age * 1000
        return {
            "store": self.store,
            "url": self.url,
            "database": self.database,
            "prefix": self.prefix,
            "secrets": self.secrets,
            "name": self.name,
            "cookie": cookie,
            "ttl": self.ttl,
            "stringify": self.stringify,
            "transformId": self.transform_id,
            "resave": self.resave,
            "rolling": self.rolling,
            "touchAfter": self.touch_after,
        }
