"""What all parts of the conformance tests stand on: stating a rule, making a payload, letting time pass."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

import pytest

from asgi_session.stores.base import Record, Store, touch_compares

TOLERANCE = 1.0
"""Seconds by which a record's expiry may come back different: a backend may keep whole seconds."""

LONG = 3600.0
"""Seconds of life of a record that must not expire during a test."""


def rule(kept: bool, text: str) -> None:
    """Fail the test with the rule that the store broke."""
    __tracebackhide__ = True
    if not kept:
        pytest.fail(f"The store broke a rule: {text}")


def payload(**data: object) -> str:
    """The text of a session as the middleware writes it."""
    cookie = {"originalMaxAge": None, "expires": None, "httpOnly": True, "path": "/"}
    return json.dumps({"cookie": cookie, **data}, separators=(",", ":"), ensure_ascii=False)


def record(*, life: float | None = LONG, **data: object) -> Record:
    """A record of `data` that dies `life` seconds from now."""
    return Record(payload(**data), None if life is None else time.time() + life)


def comparing(store: Store) -> Callable[..., Awaitable[bool]]:
    """The method `touch`; skips the test where it takes no ``expected``."""
    if not touch_compares(store):
        pytest.skip("touch() of this store takes no expected")
    return store.touch


_LONG_TEXT = "0123456789abcdef" * 6_000

NEARLY_THE_SAME = {
    "another end": (payload(text=_LONG_TEXT + "x"), payload(text=_LONG_TEXT + "y")),
    "longer": (payload(text=_LONG_TEXT), payload(text=_LONG_TEXT + "x")),
    "a blank more": (payload(n=1), payload(n=1) + " "),
    "true for 1": (payload(n=1), payload(n=True)),
    "text for a number": (payload(n=1), payload(n="1")),
}
"""Pairs of payloads that a careless comparison takes for one."""


class Rules:
    """Base of the parts of `StoreContract`: its settings, and steps that several tests take."""

    pytestmark: pytest.MarkDecorator = pytest.mark.asyncio

    reads_time_time: bool = False
    """Set this to True if the store, and not its backend, decides what has expired, and reads `time.time()` to do so.
    Then the tests move that clock instead of waiting."""

    short_life: float = 1.0
    """Seconds that a record lives in tests that wait for its end, where they wait in earnest. About a dozen tests wait
    one and a half times as long. A backend that counts whole seconds needs 3 or more; one that counts milliseconds
    does with 0.3."""

    @pytest.fixture(autouse=True)
    def _clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    async def pass_time(self, seconds: float) -> None:
        """Let time pass for the store and its backend. Override it for a backend whose clock can be moved otherwise."""
        if self.reads_time_time:
            now = time.time
            self._monkeypatch.setattr(time, "time", lambda: now() + seconds)
        else:
            await asyncio.sleep(seconds)

    async def outlive(self) -> None:
        """Let pass what a record of `short_life` has, and some more."""
        await self.pass_time(self.short_life * 1.5)

    async def given(self, store: Store, sid: str, kept: Record) -> Record:
        """Store a record under a free id; returns what `get` makes of it."""
        rule(await store.create(sid, kept) is True, "create() under a free id returns True")
        return await self.found(store, sid)

    async def kept_whole(self, store: Store, text: str, why: str) -> None:
        """Require that a payload comes back as it went in, by `create` and by `replace`."""
        got = await self.given(store, "a", Record(text, None))
        rule(got.payload == text, f"create(): {why}")
        first = await self.given(store, "b", record(n=1))
        rule(
            await store.replace("b", Record(text, None), expected=first) is True,
            "replace() of what get() returned succeeds",
        )
        rule((await self.found(store, "b")).payload == text, f"replace(): {why}")

    async def expired(self, store: Store, sid: str) -> Record:
        """Leave a record behind whose time is over; returns it."""
        old = record(life=self.short_life, n="expired")
        rule(await store.create(sid, old) is True, "create() under a free id returns True")
        await self.outlive()
        return old

    async def found(self, store: Store, sid: str) -> Record:
        """The live record under `sid`."""
        got = await store.get(sid)
        if not isinstance(got, Record):
            pytest.fail("The store broke a rule: get() of a live record returns a Record")
        return got

    async def absent(self, store: Store, sid: str, text: str) -> None:
        """Require that a reader finds nothing under `sid`."""
        rule(await store.get(sid) is None, text)

    async def unchanged(self, store: Store, sid: str, before: Record, text: str) -> None:
        """Require that payload and expiry are as they were."""
        after = await self.found(store, sid)
        rule(after.payload == before.payload, f"{text} (the payload has changed)")
        self.expiry_is(after, before.expires, f"{text} (the expiry has changed)")

    def expiry_is(self, got: Record, expires: float | None, text: str) -> None:
        """Require that a record that `get` returned dies at `expires`, give or take `TOLERANCE`."""
        rule(isinstance(got.expires, int | float), "get() returns the effective expiry, in Unix seconds, never None")
        if got.expires is not None and expires is not None:
            rule(abs(got.expires - expires) <= TOLERANCE, text)
