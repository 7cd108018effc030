"""`session.cookie`: the age of one session, and the attributes of this response's cookie."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta
from typing import Literal

from asgi_session.cookie import Cookie, Priority, SameSite, age_in_seconds, check_prefix, seconds_until
from asgi_session.exceptions import SessionDestroyed


class SessionCookie:
    """The cookie of one session, as this request sees it.

    The age belongs to the session and is stored with it; assigning `max_age` or `expires` ("remember me") counts as a
    change. Everything else comes from the middleware's template at every request; assigned here, it holds for this
    response.

    Assigning raises what `Cookie` raises for the same value, and, for an age, SessionDestroyed after `Session.destroy`.
    """

    __slots__ = ("_age", "_expires", "_name", "_template", "assigned", "over")

    def __init__(self, template: Cookie, age: float | None, expires: float | None, name: str = "") -> None:
        self._template = template
        self._name = name
        self._age = age
        self._expires = expires
        self.assigned: bool = False
        """Whether the age was assigned since the last commit."""
        self.over: bool = False
        """Whether the session was destroyed, so that it has no age any more."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} max_age={self.max_age}>"

    @property
    def template(self) -> Cookie:
        """The attributes other than the age."""
        return self._template

    @property
    def original_max_age(self) -> float | None:
        """Seconds of the full age, which every write and `Session.touch` start anew; None: a browser session."""
        return self._age

    @property
    def max_age(self) -> int | None:
        """Seconds that remain, rounded up; None: a browser session. Takes a positive int, a timedelta or None."""
        return None if self._expires is None else max(0, math.ceil(self._expires - time.time()))

    @max_age.setter
    def max_age(self, age: int | timedelta | None) -> None:
        self._assign(age_in_seconds(age))

    @property
    def expires(self) -> datetime | None:
        """When the session ends (UTC); None: a browser session. Takes an aware datetime in the future or None."""
        return None if self._expires is None else datetime.fromtimestamp(self._expires, UTC)

    @expires.setter
    def expires(self, moment: datetime | None) -> None:
        self._assign(None if moment is None else seconds_until(moment))

    def _change(self, **attributes: object) -> None:
        template = self._template.replace(**attributes)
        check_prefix(self._name, template)
        self._template = template

    def _assign(self, age: float | None) -> None:
        if self.over:
            raise SessionDestroyed("the session was destroyed by this request")
        if age is None and self._age is None:
            return
        self.take_life(age, None if age is None else time.time() + age)
        self.assigned = True

    def take_life(self, age: float | None, expires: float | None) -> None:
        """Take over what is stored."""
        self._age = age
        self._expires = expires

    def keep_up(self, age: float | None, expires: float | None) -> None:
        """Take over what is stored, unless another age was assigned since."""
        if not self.assigned:
            self.take_life(age, expires)

    @property
    def path(self) -> str:
        return self._template.path

    @path.setter
    def path(self, value: str) -> None:
        self._change(path=value)

    @property
    def domain(self) -> str | None:
        return self._template.domain

    @domain.setter
    def domain(self, value: str | None) -> None:
        self._change(domain=value)

    @property
    def secure(self) -> bool | Literal["auto"]:
        return self._template.secure

    @secure.setter
    def secure(self, value: bool | Literal["auto"]) -> None:
        self._change(secure=value)

    @property
    def httponly(self) -> bool:
        return self._template.httponly

    @httponly.setter
    def httponly(self, value: bool) -> None:
        self._change(httponly=value)

    @property
    def samesite(self) -> SameSite | None:
        return self._template.samesite

    @samesite.setter
    def samesite(self, value: SameSite | None) -> None:
        self._change(samesite=value)

    @property
    def partitioned(self) -> bool:
        return self._template.partitioned

    @partitioned.setter
    def partitioned(self, value: bool) -> None:
        self._change(partitioned=value)

    @property
    def priority(self) -> Priority | None:
        return self._template.priority

    @priority.setter
    def priority(self, value: Priority | None) -> None:
        self._change(priority=value)
