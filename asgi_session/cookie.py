"""What a session cookie looks like: its attributes, their rules, and the Set-Cookie header they make."""

from __future__ import annotations

import dataclasses
import re
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import formatdate
from functools import cached_property, lru_cache
from typing import Literal

from asgi_session.json_text import dumps

SameSite = Literal["lax", "strict", "none", "auto"]
Priority = Literal["low", "medium", "high"]

MAX_AGE = 400 * 86400
"""Seconds that browsers keep a cookie at most (RFC 6265bis, 5.5); longer ages are cut to it."""

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HOST = re.compile(r"[0-9A-Za-z._-]+")
_SAME_SITE_NAMES = {"lax": "Lax", "strict": "Strict", "none": "None"}
_PRIORITY_NAMES = {"low": "Low", "medium": "Medium", "high": "High"}


@dataclass(frozen=True, slots=True)
class Attributes:
    """A cookie's settings as they come out on one kind of connection (http or https), ready to be written."""

    on_https: bool
    can_be_sent: bool  # False: a Secure cookie on plain http
    header_front: str  # Domain and Path
    header_back: str  # HttpOnly, Secure, Partitioned, Priority, SameSite
    stored_front: bytes  # partitioned and priority, as members of Express's stored cookie
    stored_back: bytes  # secure to sameSite, likewise
    stored_browser_session: bytes  # the whole stored cookie, if it has no age


@dataclass(frozen=True, kw_only=True)
class Cookie:
    """The template of the session cookie. Names are those of Starlette's ``Response.set_cookie``.

    Args:
        path: requests under this path get the session.
        domain: host whose subdomains get the cookie too; None: only the host that set it.
        max_age: seconds (or timedelta) that a session lives after it was last written or touched; None: until the
            browser closes. At most 400 days.
        expires: aware datetime at which the first period ends, instead of `max_age`.
        secure: True, False, or "auto": as the connection is, each time the cookie is sent.
        httponly: keep the cookie from scripts.
        samesite: "lax", "strict", "none", "auto" ("none" if the cookie is Secure, else "lax"), or None to leave it out.
        partitioned: one cookie jar for each top-level site (CHIPS).
        priority: "low", "medium", "high" or None.

    Raises:
        TypeError: a value of a wrong type.
        ValueError: a value or combination that no browser would honour.
    """

    path: str = "/"
    domain: str | None = None
    max_age: int | timedelta | None = None
    expires: datetime | None = None
    secure: bool | Literal["auto"] = "auto"
    httponly: bool = True
    samesite: SameSite | None = "lax"
    partitioned: bool = False
    priority: Priority | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.path, str):
            raise TypeError("path is not a str")
        if not self.path.startswith("/"):
            raise ValueError("path does not start with /")
        _check_text("path", self.path)
        if self.domain is not None:
            if not isinstance(self.domain, str):
                raise TypeError("domain is neither a str nor None")
            _check_text("domain", self.domain)
            if not self.domain.strip("."):
                raise ValueError("domain is empty")
            if not _HOST.fullmatch(self.domain):
                raise ValueError("domain is no host name: it has no scheme, port or path")
        if self.max_age is not None and self.expires is not None:
            raise ValueError("max_age and expires are both given")
        age_in_seconds(self.max_age)
        if self.expires is not None:
            seconds_until(self.expires)
        if self.secure is not True and self.secure is not False and self.secure != "auto":
            raise ValueError('secure is none of True, False and "auto"')
        for flag in ("httponly", "partitioned"):
            if not isinstance(getattr(self, flag), bool):
                raise TypeError(f"{flag} is not a bool")
        self._fold_case("samesite", {*_SAME_SITE_NAMES, "auto"})
        self._fold_case("priority", set(_PRIORITY_NAMES))
        if self.secure is False and self.samesite == "none":
            raise ValueError("SameSite=None needs Secure")
        if self.secure is False and self.partitioned:
            raise ValueError("Partitioned needs Secure")

    def _fold_case(self, field: str, known: set[str]) -> None:
        value = getattr(self, field)
        if value is None:
            return
        if not isinstance(value, str) or value.lower() not in known:
            raise ValueError(f"{field} is none of {', '.join(sorted(known))} and None")
        object.__setattr__(self, field, value.lower())

    def first_age(self) -> float | None:
        """Seconds that a session made now lives; None for a browser session."""
        if self.expires is not None:  # may be over by now: such a session ends as it begins
            return min(max(self.expires.timestamp() - time.time(), 1), MAX_AGE)
        return age_in_seconds(self.max_age)

    def replace(self, **changes: object) -> Cookie:
        """A copy with other attributes, and without an age: that is the session's own."""
        return dataclasses.replace(self, **{"max_age": None, "expires": None, **changes})  # type: ignore[arg-type]

    @cached_property
    def on_https(self) -> Attributes:
        """The settings as they come out on an encrypted connection."""
        return self._resolve(https=True)

    @cached_property
    def on_http(self) -> Attributes:
        """The settings as they come out on plain http."""
        return self._resolve(https=False)

    def _resolve(self, *, https: bool) -> Attributes:
        secure = https if self.secure == "auto" else self.secure
        samesite = self.samesite
        if samesite == "auto":
            samesite = "none" if secure else "lax"
        if samesite == "none" and not secure:
            samesite = "lax"
        partitioned = self.partitioned and secure
        front = f"; Domain={self.domain}" if self.domain is not None else ""
        back = "; HttpOnly" if self.httponly else ""
        back += "; Secure" if secure else ""
        back += "; Partitioned" if partitioned else ""
        back += f"; Priority={_PRIORITY_NAMES[self.priority]}" if self.priority is not None else ""
        back += f"; SameSite={_SAME_SITE_NAMES[samesite]}" if samesite is not None else ""
        stored_front = _members(partitioned=partitioned or None, priority=self.priority)
        stored_back = _members(
            secure=secure, httpOnly=self.httponly, domain=self.domain, path=self.path, sameSite=samesite
        )
        return Attributes(
            on_https=https,
            can_be_sent=https or not secure,
            header_front=f"{front}; Path={self.path}",
            header_back=back,
            stored_front=stored_front,
            stored_back=stored_back,
            stored_browser_session=b'{"originalMaxAge":null%b,"expires":null%b}' % (stored_front, stored_back),
        )


def check_name(name: str) -> None:
    """ValueError for a cookie name that is no RFC 6265 token, TypeError for one that is no str."""
    if not isinstance(name, str):
        raise TypeError("name is not a str")
    if not _TOKEN.fullmatch(name):
        raise ValueError("the cookie's name is not an RFC 6265 token")


def check_prefix(name: str, cookie: Cookie) -> None:
    """ValueError where the name's prefix promises what the cookie does not keep (RFC 6265bis, 4.1.3)."""
    prefix = name.lower()
    host = prefix.startswith("__host-")
    http = prefix.startswith(("__http-", "__host-http-"))
    if not (host or http or prefix.startswith("__secure-")):
        return
    if cookie.secure is False:
        raise ValueError("the prefix of the cookie's name needs Secure")
    if host and (cookie.domain is not None or cookie.path != "/"):
        raise ValueError("a __Host- cookie has no domain and the path /")
    if http and not cookie.httponly:
        raise ValueError("the prefix of the cookie's name needs HttpOnly")


def must_be_secure(name: str) -> bool:
    """Whether browsers take a cookie of this name only with Secure."""
    return name.lower().startswith(("__host-", "__secure-", "__http-"))


def set_cookie(name: str, value: str, attributes: Attributes, max_age: int | None, expires: float | None) -> str:
    """The Set-Cookie header that gives the client the cookie.

    Attributes stand in the order of Express's cookie package.

    Args:
        max_age: seconds that the client keeps it; None: until it closes.
        expires: the same as Unix time.
    """
    if max_age is None or expires is None:
        return f"{name}={value}{attributes.header_front}{attributes.header_back}"
    front, back = attributes.header_front, attributes.header_back
    return f"{name}={value}; Max-Age={max_age}{front}; Expires={_http_date(int(expires))}{back}"


def header_age(age: float | None, expires: float | None) -> tuple[int | None, float | None]:
    """Max-Age and expiry for a Set-Cookie header, rounded down: no browser shall keep the cookie longer than we.

    Args:
        age: seconds; None: a browser session.
        expires: Unix time at which they end.
    """
    return (None, None) if age is None else (max(1, int(age)), expires)


def delete_cookie(name: str, attributes: Attributes) -> str:
    """The Set-Cookie header that takes the cookie from the client: same name, path, domain and flags."""
    gone = "Thu, 01 Jan 1970 00:00:00 GMT"
    return f"{name}=; Max-Age=0{attributes.header_front}; Expires={gone}{attributes.header_back}"


def age_in_seconds(age: object) -> float | None:
    """A `max_age` as seconds, cut to `MAX_AGE`; a whole number where it is one."""
    if age is None:
        return None
    if isinstance(age, timedelta):
        seconds = age.total_seconds()
    elif isinstance(age, int) and not isinstance(age, bool):
        seconds = age
    else:
        raise TypeError("max_age is none of int, timedelta and None")
    if seconds <= 0:
        raise ValueError("max_age is not positive")
    return min(int(seconds) if seconds == int(seconds) else seconds, MAX_AGE)


def seconds_until(moment: object) -> float:
    """How far in the future an `expires` is, cut to `MAX_AGE`."""
    if not isinstance(moment, datetime):
        raise TypeError("expires is neither a datetime nor None")
    if moment.utcoffset() is None:
        raise ValueError("expires has no time zone")
    seconds = moment.timestamp() - time.time()
    if seconds <= 0:
        raise ValueError("expires is in the past")
    return min(seconds, MAX_AGE)


def _check_text(field: str, text: str) -> None:
    if ";" in text or not (text.isascii() and text.isprintable()):
        raise ValueError(f"{field} holds a character that no cookie attribute may hold")
    if len(text) > 1024:
        raise ValueError(f"{field} is longer than 1024 bytes")


@lru_cache(maxsize=64)
def _http_date(moment: int) -> str:
    return formatdate(moment, usegmt=True)


def _members(**values: object) -> bytes:
    return "".join(f',"{name}":{dumps(value)}' for name, value in values.items() if value is not None).encode()
