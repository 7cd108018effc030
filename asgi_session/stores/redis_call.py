"""How RedisStore calls a script: with a key, the time and arguments."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from asgi_session.stores.redis_connection import Command, is_a
from asgi_session.stores.redis_scripts import Script


class Call(NamedTuple):
    """A script to be run."""

    script: Script
    key: bytes | None
    args: Command
    repeatable: bool
    """Whether it does no harm to run it again where no answer came."""

    @property
    def by_hash(self) -> Command:
        """The command, for a server that knows the script."""
        return self._command(self.script.by_hash)

    @property
    def by_source(self) -> Command:
        """The command, for one that does not know it (yet, or after a flush)."""
        return self._command(self.script.by_source)

    def _command(self, what: Command) -> Command:
        keys = (b"0",) if self.key is None else (b"1", self.key)
        return (*what, *keys, ms(time.time()), *self.args)


async def run(send: Callable[[Command], Awaitable[Any]], call: Call) -> Any:
    """Run a script, whether the server knows it or not."""
    try:
        return await send(call.by_hash)
    except Exception as error:
        if not is_a(error, "NoScriptError"):
            raise
    return await send(call.by_source)


def ms(seconds: float) -> bytes:
    """Seconds as milliseconds, in digits."""
    return b"%d" % math.floor(seconds * 1000)
