"""Which store a URL on the command line means, and how to name it without giving its password away."""

from __future__ import annotations

from urllib.parse import urlsplit

from asgi_session import MemoryStore, Store
from asgi_session.stores.mongo import MongoStore
from asgi_session.stores.redis import RedisStore

KINDS = {
    "memory": "memory of this process: gone when it stops",
    "mongodb": "MongoDB",
    "mongodb+srv": "MongoDB",
    "redis": "Redis",
    "rediss": "Redis over TLS",
    "valkey": "Valkey",
    "valkeys": "Valkey over TLS",
}


class StoreURLError(Exception):
    """The URL names no store that the demo knows, or its driver can't read it. The message repeats no part of it."""


def open_store(url: str) -> Store:
    """The store that `url` names; nothing is connected before the first request.

    Raises:
        StoreURLError: an unknown scheme, or a URL that the driver rejects.
    """
    scheme = scheme_of(url)
    try:
        if scheme == "memory":
            return MemoryStore()
        if scheme.startswith("mongodb"):
            return MongoStore.from_url(url)
        return RedisStore.from_url(scheme + url[len(scheme) :])
    except Exception:
        # Drivers quote the URL in what they raise, password and all; so neither the text nor the cause goes further.
        raise StoreURLError(f"this is no address that a {KINDS[scheme]} client understands") from None


def describe(url: str) -> str:
    """Kind and place of the store, such as ``MongoDB at db.example:27017``, without user name, password or options."""
    scheme = scheme_of(url)
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    unescaped = not credentials and "@" in url  # a "/" or "?" in the password: what looks like a host may be part of it
    if scheme == "memory" or not hosts or unescaped:
        return KINDS[scheme]
    return f"{KINDS[scheme]} at {hosts}"


def scheme_of(url: str) -> str:
    """The URL's scheme in lower case.

    Raises:
        StoreURLError: it is none of `KINDS`.
    """
    scheme = url.partition("://")[0].lower()
    if scheme not in KINDS:
        raise StoreURLError("use memory://, mongodb://..., redis://... or valkey://...")
    return scheme
