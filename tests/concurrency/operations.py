"""What the short requests of these tests do, by name, to a session of the package."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgi_session import Flash, Session

Operation = Callable[[Session, Flash, str, list[Any]], Awaitable[None]]
"""Gets the session, the flash queue, the request's name, and where to note what it saw."""

Program = tuple[str, ...]
"""Names of operations, one after the other."""


async def read(session: Session, flash: Flash, name: str, seen: list[Any]) -> None:
    session.get("a")


async def put(session: Session, flash: Flash, name: str, seen: list[Any]) -> None:
    session["a"] = name


async def nested(session: Session, flash: Flash, name: str, seen: list[Any]) -> None:
    session.setdefault("list", []).append(name)


async def delete(session: Session, flash: Flash, name: str, seen: list[Any]) -> None:
    session.pop("b", None)


async def increment(session: Session, flash: Flash, name: str, seen: list[Any]) -> None:
    seen.append(session.increment("n"))


async def add(session: Session, flash: Flash, name: str, seen: list[Any]) -> None:
    flash("info", name)


async def drain(session: Session, flash: Flash, name: str, seen: list[Any]) -> None:
    seen.append(flash("info"))


async def claim(session: Session, flash: Flash, name: str, seen: list[Any]) -> None:
    seen.append(await flash.claim("info"))


async def touch(session: Session, flash: Flash, name: str, seen: list[Any]) -> None:
    session.touch()


async def regenerate(session: Session, flash: Flash, name: str, seen: list[Any]) -> None:
    session.regenerate()


async def keep(session: Session, flash: Flash, name: str, seen: list[Any]) -> None:
    session.regenerate(keep=True)


async def destroy(session: Session, flash: Flash, name: str, seen: list[Any]) -> None:
    session.destroy()


async def fail(session: Session, flash: Flash, name: str, seen: list[Any]) -> None:
    raise Failure


class Failure(Exception):
    """A handler's own."""


OPERATIONS: dict[str, Operation] = {
    operation.__name__: operation
    for operation in [
        *(read, put, nested, delete, increment, add, drain, claim, touch, regenerate, keep, destroy, fail),
    ]
}
