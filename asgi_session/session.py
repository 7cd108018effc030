"""The session as handlers see it: a dict that knows what was done to it."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import Any, Self

from asgi_session.decision import DESTROYED, FORCED, KEEPS, RENEWED, TOUCHED
from asgi_session.images import ABSENT, SCALARS, image, shows
from asgi_session.journal import ONE_BY_ONE, is_number
from asgi_session.merging import Merging
from asgi_session.session_cookie import SessionCookie


class Session(Merging):
    """The data of one client, and what can be done with it. Keys are str, values are JSON.

    Values found under a key may be changed in place; that is noticed. Made by the middleware; `Session(data)` makes one
    that belongs to no request, for tests of handlers.
    """

    __slots__ = ()

    # What it is

    @property
    def id(self) -> str:
        """The session id; after `regenerate` the new one."""
        self.accessed = True
        return self._current_id()

    @property
    def cookie(self) -> SessionCookie:
        """Age and attributes of the cookie."""
        self.accessed = True
        return self._current_cookie()

    @property
    def is_new(self) -> bool:
        """Whether no stored session came with the request; False once this one was saved."""
        self.accessed = True
        return self._is_new

    @property
    def modified(self) -> bool:
        """Whether something was done to the session that a commit has to see to; after `destroy`, always."""
        return self._is_dirty()

    @modified.setter
    def modified(self, value: bool) -> None:
        """True does what `mark_modified` does. False changes nothing: what was changed counts as changed."""
        if value:
            self.mark_modified()

    def mark_accessed(self) -> None:
        """Note that the response depends on the session. Starlette's ``request.session`` calls it."""
        self.accessed = True

    def mark_modified(self) -> None:
        """Write the session at the next commit even if nothing changed.

        Raises:
            SessionDestroyed: after `destroy`.
        """
        self._refuse_if_destroyed()
        self.accessed = True
        self._asked |= FORCED

    # What can be done with it

    def touch(self) -> None:
        """Let the full age begin anew and send the cookie, whatever ``touch_after`` says.

        Raises:
            SessionDestroyed: after `destroy`.
        """
        self._refuse_if_destroyed()
        self.accessed = True
        self._asked |= TOUCHED

    def regenerate(self, *, keep: bool = False) -> None:
        """Give the session a new id and delete the record under the old one: do this whenever somebody signs in.

        Args:
            keep: carry the data and the cookie's age over; otherwise both start anew, as in Express.

        Raises:
            SessionDestroyed: after `destroy`.
        """
        self._refuse_if_destroyed()
        self.accessed = True
        self._id = None
        if not keep:
            self._forget()
            self._cookie = None
            self._asked = RENEWED
        elif not self._starts_afresh():
            self._asked |= RENEWED | KEEPS

    def destroy(self) -> None:
        """Delete the record and take the cookie from the client. Later writes raise `SessionDestroyed`."""
        self.accessed = True
        self._forget()
        self._asked |= DESTROYED
        if self._cookie is not None:
            self._cookie.over = True

    def increment(self, key: str, by: float = 1) -> Any:
        """Add to a number (0 where the key is missing) so that concurrent additions all count.

        Returns:
            The new value as this request sees it.

        Raises:
            TypeError: `by` or the value is not a number; bool is none. Or the key is no str.
            ValueError: the key is "cookie", which is reserved.
            OverflowError: a fraction and an integer too large for a float.
            SessionDestroyed: after `destroy`.
        """
        self.accessed = True
        with ONE_BY_ONE:
            value = dict.get(self, key, 0)
            if not is_number(value) or not is_number(by):
                raise TypeError("only numbers can be incremented, and only by numbers")
            before, now = self._before, dict.get(self, key, ABSENT)
            adds = key in self._increments or key not in before or shows(before[key], now)
            if key not in self._before:
                self._admit(key)
            dict.__setitem__(self, key, value + by)
            if adds:
                self._count(key, by)
            return value + by

    async def save(self) -> None:
        """Commit now instead of when the response starts. What a failing response must not undo is saved like this.

        Nothing is written where ``request.state.session`` was unset and ``unset`` is "keep".

        Raises:
            SessionNotFound: the session was destroyed elsewhere; nothing was written.
            SessionError: a new session whose cookie can't reach the client; or one that belongs to no request.
            StoreError: the store failed; the changes stay pending.
            SessionConflict: other processes kept being faster.
            SessionSerializationError: a value is not JSON.
        """
        self.accessed = True
        await self._request().save()

    async def reload(self) -> None:
        """Take the stored state and drop everything this request changed.

        Raises:
            SessionNotFound: there is none (any more).
            SessionError: the session belongs to no request, or that is over.
            StoreError: the store failed.
        """
        self.accessed = True
        await self._request().reload()

    # Reading

    def __getitem__(self, key: str) -> Any:
        self.accessed = True
        value = dict.__getitem__(self, key)
        if value.__class__ not in SCALARS and key not in self._before:
            self._before[key] = image(value)
        return value

    def get(self, key: str, default: Any = None) -> Any:
        self.accessed = True
        value = dict.get(self, key, default)
        if value.__class__ not in SCALARS and key not in self._before and dict.__contains__(self, key):
            self._before[key] = image(value)
        return value

    def __contains__(self, key: object) -> bool:
        self.accessed = True
        return dict.__contains__(self, key)

    def __len__(self) -> int:
        self.accessed = True
        return dict.__len__(self)

    def __iter__(self) -> Iterator[str]:  # being overridden keeps dict(session) and {**session} off the C shortcut
        self.accessed = True
        return dict.__iter__(self)

    def __reversed__(self) -> Iterator[str]:
        self.accessed = True
        return dict.__reversed__(self)

    def __eq__(self, other: object) -> bool:
        self.accessed = True
        return dict.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        self.accessed = True
        return dict.__ne__(self, other)

    __hash__ = None  # type: ignore[assignment]  # as dict

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        self.accessed = True
        return dict.keys(self)

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        self._hand_out_all()
        return dict.values(self)

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        self._hand_out_all()
        return dict.items(self)

    def copy(self) -> dict[str, Any]:
        """The data as a plain dict."""
        return dict(self.items())

    def __or__(self, other: Any) -> Any:
        self._hand_out_all()
        return dict.__or__(self, other)

    def __ror__(self, other: Any) -> Any:
        self._hand_out_all()
        return dict.__ror__(self, other)

    # Writing

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in self._before:
            self._admit(key)
        if self._increments:
            self._assigned(key, value)
        dict.__setitem__(self, key, value)

    def __delitem__(self, key: str) -> None:
        self._refuse_if_destroyed()
        self._note(key)
        dict.__delitem__(self, key)
        self._discount(key)

    def clear(self) -> None:
        self._refuse_if_destroyed()
        self.accessed = True
        for key in dict.__iter__(self):
            self._note(key)
            self._discount(key)
        dict.clear(self)

    def pop(self, key: str, *default: Any) -> Any:
        self._refuse_if_destroyed()
        self._note(key)
        self._discount(key)
        return dict.pop(self, key, *default)

    def popitem(self) -> tuple[str, Any]:
        self._refuse_if_destroyed()
        self.accessed = True
        for key in dict.__reversed__(self):
            return key, self.pop(key)
        return dict.popitem(self)

    def setdefault(self, key: str, default: Any = None) -> Any:
        if not dict.__contains__(self, key):
            self[key] = default
        return self[key]

    def update(self, /, *args: Any, **kwargs: Any) -> None:
        self.accessed = True
        new = dict(*args, **kwargs)
        self._admit_all(new)
        if self._increments:
            for key, value in new.items():
                self._assigned(key, value)
        dict.update(self, new)

    def __ior__(self, other: Any) -> Self:  # type: ignore[override]
        self.update(other)
        return self

    # Leaving the process

    def __repr__(self) -> str:
        return f"<{type(self).__name__} with {dict.__len__(self)} keys>"

    __str__ = __repr__

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (self.copy(),)

    def __reduce_ex__(self, protocol: object) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return self.__reduce__()
