"""Where a request's session is to be found: in the ASGI scope and its state, be there one middleware or several.

Handlers may take it off the state (``request.state.session = None``), so what they left there is looked at again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, Self

from starlette.types import Scope

from asgi_session.flash import Flash
from asgi_session.session import Session
from asgi_session.standing import Standing

IN_CHARGE = "asgi_session"
"""The key in the ASGI scope under which the innermost middleware's exchange stands; it knows the ones around it."""

_OURS = ("session", "flash")
_Seen = tuple[dict[str, Any], dict[str, Any]]
"""What is found of a session in an ASGI scope, and in its state."""


class Presence(Standing):
    """A session's place in the ASGI scope."""

    outer: Self | None = None
    """The one of the next middleware around this one."""
    _inner: Self | None = None
    _around: _Seen
    """What is to be found in the scope outside of this one, where it stands within another."""
    _state: dict[str, Any]
    _was_none = False
    """Whether somebody else's None stood in the session's place before this request."""

    def begin_without(self) -> None:
        """Begin without a session, which somebody may ask for later."""
        state = self.scope.setdefault("state", {})  # so that a copy of the scope shares it
        self._was_none = state.get("session", self) is None

    def stand_within(self, outer: Self) -> None:
        """Be the next one within another of the same connection."""
        self.outer = outer
        self._around = self._seen()
        outer._inner = self

    def and_within(self) -> Iterator[Self]:
        """This one and those within it."""
        exchange: Self | None = self
        while exchange is not None:
            yield exchange
            exchange = exchange._inner

    def step_back(self, outer: Self) -> None:
        """Let the one around this one be the innermost again."""
        self.outer = None
        outer._inner = None
        self.scope[IN_CHARGE] = outer
        self._see(self._around)

    def _seen(self) -> _Seen:
        """What the handler finds of a session in the scope now."""
        in_scope, in_state = [{key: place[key] for key in _OURS if key in place} for place in self._places()]
        return in_scope, in_state

    def _see(self, seen: _Seen) -> None:
        """Let it find this instead."""
        for place, contents in zip(self._places(), seen, strict=True):
            for key in _OURS:
                place.pop(key, None)
            place.update(contents)

    def _places(self) -> list[MutableMapping[str, Any]]:
        return [self.scope, self.scope.setdefault("state", {})]

    def _show(self, session: Session) -> None:
        """Let the handler find this session."""
        self.session = session
        scope = self.scope
        state = scope.get("state")
        if state is None:
            state = scope["state"] = {}
        self._state = state
        if self._inner is None:
            scope["session"] = state["session"] = session
            state["flash"] = Flash(session)
        else:  # theirs is the session to be seen now
            self._inner._around = {"session": session}, {"session": session, "flash": Flash(session)}

    def _show_in(self, scope: Scope, session: Session) -> None:
        """Let it be seen in this scope, too, which may be the copy that a middleware in between made."""
        if scope.get(IN_CHARGE) is self and scope.get("session") is not session:
            scope["session"] = session
            state = scope.setdefault("state", {})
            if state.get("session") is not session:
                state["session"] = session
                state["flash"] = Flash(session)

    def _is_unset_unloaded(self) -> bool:
        """Whether ``request.state.session`` was unset before anybody loaded it, and that is to destroy what is stored.

        Anything else that stands there is not ours, nor is what stood there before.
        """
        if self.settings.unset == "keep" or self._was_none:
            return False
        return self._state_left().get("session", self) is None

    def _left_by_app(self) -> object:
        """``request.state.session`` as those between this middleware and the next one within have left it."""
        return self._state_left().get("session")

    def _state_left(self) -> Mapping[str, Any]:
        """``request.state`` as those between this middleware and the next one within have left it."""
        if self._inner is not None:
            return self._inner._around[1]
        return self.scope["state"] if self.session is None else self._state

    def _is_unset(self) -> bool:
        """Whether ``request.state.session`` was unset."""
        left = self._left_by_app()
        if left is not None and left is not self.session:
            raise TypeError("request.state.session was assigned something else than None")
        return left is None
