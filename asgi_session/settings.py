"""The middleware's options, checked once, and what follows from them."""

from __future__ import annotations

import secrets
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from starlette.datastructures import Secret
from starlette.requests import HTTPConnection
from starlette.types import Scope

from asgi_session.cookie import Cookie, check_name, check_prefix, must_be_secure
from asgi_session.deadlines import Deadlines
from asgi_session.decision import ROLLING, SAVE_UNINITIALIZED
from asgi_session.incoming import IncomingCookies
from asgi_session.log import logger
from asgi_session.patience import METHODS, Calls, Hold, PatientStore, answers_at_once
from asgi_session.secret_bytes import SomeSecret, secret_bytes
from asgi_session.signing import MAX_VALUE, CookieSigner
from asgi_session.stores.base import Store, touch_compares
from asgi_session.turns import Turns

Unset = Literal["keep", "destroy"]
OnStoreError = Literal["unavailable", "raise", "anonymous"]

_SHORT = 32


class Settings:
    """What all requests of one middleware share."""

    def __init__(
        self,
        *,
        secret: SomeSecret | Sequence[SomeSecret],
        store: Store,
        name: str,
        cookie: Cookie | Callable[[HTTPConnection], Cookie],
        genid: Callable[[HTTPConnection], str] | None,
        proxy: bool,
        save_uninitialized: bool,
        resave: bool,
        rolling: bool,
        touch_after: float,
        unset: Unset,
        autoload: bool,
        on_store_error: OnStoreError,
        store_timeout: float | None,
    ) -> None:
        check_name(name)
        for method in METHODS:
            if isinstance(store, type) or not callable(getattr(store, method, None)):
                raise TypeError("store is no Store instance")
        if isinstance(cookie, Cookie):
            check_prefix(name, cookie)
        elif isinstance(cookie, type) or not callable(cookie):
            raise TypeError("cookie is neither a Cookie nor callable")
        if genid is not None and not callable(genid):
            raise TypeError("genid is not callable")
        flags = {
            "proxy": proxy,
            "save_uninitialized": save_uninitialized,
            "resave": resave,
            "rolling": rolling,
            "autoload": autoload,
        }
        for option, flag in flags.items():
            if not isinstance(flag, bool):
                raise TypeError(f"{option} is not a bool")
        if unset not in ("keep", "destroy"):
            raise ValueError("unset is neither 'keep' nor 'destroy'")
        if on_store_error not in ("unavailable", "raise", "anonymous"):
            raise ValueError("on_store_error is none of 'unavailable', 'raise' and 'anonymous'")
        _check_seconds("touch_after", touch_after)
        if touch_after < 0:
            raise ValueError("touch_after is negative")
        if store_timeout is not None:
            _check_seconds("store_timeout", store_timeout)
            if store_timeout <= 0:
                raise ValueError("store_timeout is not positive")
        self.signer: Final = CookieSigner(_secrets(secret))
        self.store: Final = store
        self.answers_at_once: Final = answers_at_once(store)
        self.touch_compares: Final = touch_compares(store)
        self.default_life: Final[float] = getattr(store, "ttl", Store.ttl)
        self.name: Final = name
        self.incoming: Final = IncomingCookies(name, self.signer)
        self.must_be_secure: Final = must_be_secure(name)
        self.template: Final = cookie if isinstance(cookie, Cookie) else None
        self._choose_template: Final = None if isinstance(cookie, Cookie) else cookie
        self.genid: Final = genid
        self.proxy: Final = proxy
        self.resave: Final = resave
        self.rolling: Final = rolling
        self.touch_after: Final = touch_after
        self.unset: Final[Unset] = unset
        self.autoload: Final = autoload
        self.on_store_error: Final[OnStoreError] = on_store_error
        self._deadlines = Deadlines(store_timeout)
        self.calls: Final = self.calls_within(None)
        self.decides_always: Final = save_uninitialized or resave or rolling
        self.facts: Final = (ROLLING if rolling else 0) | (SAVE_UNINITIALIZED if save_uninitialized else 0)
        self.turns: Final = Turns()
        self._warned_insecure = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.name}>"

    def template_for(self, scope: Scope) -> Cookie:
        """The cookie template of a request, where each has its own."""
        assert self._choose_template is not None
        cookie = self._choose_template(HTTPConnection(scope))
        if not isinstance(cookie, Cookie):
            raise TypeError("the cookie callable returned no Cookie")
        check_prefix(self.name, cookie)
        return cookie

    def calls_within(self, hold: Hold | None) -> Calls:
        """The store's methods, under the deadline where they may suspend. What they raise is a `StoreError`.

        Args:
            hold: the work that the calls are part of, during which a cancellation waits.
        """
        return PatientStore(self.store, self._deadlines, hold)

    def new_id(self, scope: Scope) -> str:
        """Draw a session id.

        Raises:
            TypeError: `genid` returned something else than a non-empty str.
            ValueError: it returned one that no cookie can carry.
        """
        if self.genid is None:
            return secrets.token_urlsafe(24)
        sid: Any = self.genid(HTTPConnection(scope))
        if not isinstance(sid, str) or not sid:
            raise TypeError("genid returned something else than a non-empty str")
        if "\0" in sid or any("\ud800" <= character <= "\udfff" for character in sid):
            raise ValueError("genid returned an id with a character that no cookie can carry")
        if len(self.name) + len(self.signer.sign(sid)) > MAX_VALUE:
            raise ValueError("genid returned an id that is too long for a cookie")
        return sid

    def warn_insecure(self) -> None:
        """Say once that the cookie can't be sent on plain http."""
        if not self._warned_insecure:
            self._warned_insecure = True
            logger.warning(
                "The session cookie is Secure but this connection is plain http: no cookie is sent and no new session"
                " is stored. Behind a TLS proxy, let the server know the original scheme or set proxy=True."
            )


def _secrets(secret: object) -> list[bytes]:
    ring = [secret] if isinstance(secret, str | bytes | Secret) else secret
    if not isinstance(ring, Sequence):
        raise TypeError("secret is none of str, bytes, Secret and a sequence of them")
    if not ring:
        raise ValueError("secret is empty")
    keys = [secret_bytes(one) for one in ring]
    if min(map(len, keys)) < _SHORT:
        warnings.warn(f"a session secret is shorter than {_SHORT} bytes", UserWarning, stacklevel=4)
    return keys


def _check_seconds(option: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:  # NaN
        raise TypeError(f"{option} is no number of seconds")
    if isinstance(value, int) and value > sys.float_info.max:
        raise ValueError(f"{option} is too large")
