"""How commands go over a connection of redis-py's or valkey-py's pool, and their replies come back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

Command = tuple[bytes, ...]

_AT_ONCE = 16384  # bytes that a connection takes without waiting: a quarter of what event loops' transports hold


async def hang_up_if_closed(connection: Any) -> None:
    """Give up a connection that the server has closed while it was idle, so that sending connects anew.

    From version 8 on, redis-py's pool may hand such a one out, and its client repeats what got lost on it.
    """
    if not hasattr(connection, "can_read"):  # the pool has looked
        return
    try:
        closed = await connection.can_read()  # nothing is to be read before anything was asked
    except Exception:
        closed = True
    if closed:
        await connection.disconnect(nowait=True)


async def exchange(connection: Any, command: Command) -> Any:
    """Send a command and read the reply, which is not decoded."""
    await _send(connection, _packed(command))
    return await connection.read_response(disable_decoding=True)


async def exchange_all(connection: Any, commands: Sequence[Command]) -> list[Any]:
    """Send commands one behind the other, and read their replies, within the time that one may take.

    Returns:
        What came of each: its reply, or an exception. Where the connection failed, that is the same one for all whose
        reply did not come.
    """
    replies: list[Any] = []
    try:
        await _send(connection, b"".join([_packed(command) for command in commands]))
        # A limit for each reply, of which most are there by then, would take a fifth of the time.
        limit, connection.socket_timeout = connection.socket_timeout, None
        try:
            async with asyncio.timeout(limit):
                while len(replies) < len(commands):
                    replies.append(await _reply(connection))
        finally:
            connection.socket_timeout = limit
    except Exception as error:
        return replies + [error] * (len(commands) - len(replies))
    finally:
        if len(replies) < len(commands):
            await connection.disconnect(nowait=True)  # or its next user would get the replies that are left
    return replies


async def _reply(connection: Any) -> Any:
    try:
        return await connection.read_response(disable_decoding=True)
    except Exception as error:
        if not is_a(error, "ResponseError"):
            raise
        return error  # that the server replied with


def _packed(command: Command) -> bytes:
    # redis-py's and valkey-py's own code for that takes a tenth of the whole call.
    parts = [b"$%d\r\n%b\r\n" % (len(part), part) for part in command]
    return b"*%d\r\n%b" % (len(parts), b"".join(parts))


async def _send(connection: Any, packed: bytes) -> None:
    """Send packed commands; at once where they are short and nothing else is to be done for it.

    With a limit for sending, which redis-py sets by default, whatever is sent is sent in a task of its own, a fifth of
    the whole call when many are under way. What does not wait for the network needs no limit: it is set aside while
    nothing else can run.
    """
    if len(packed) > _AT_ONCE or not connection.is_connected or connection.health_check_interval:
        await connection.send_packed_command(packed)
        return
    limit, connection.socket_timeout = connection.socket_timeout, None
    try:
        await connection.send_packed_command(packed, check_health=False)
    finally:
        connection.socket_timeout = limit


def is_a(error: Exception, name: str) -> bool:
    """By name, as redis-py and valkey-py have each their own, and neither need be there."""
    return any(kind.__name__ == name for kind in type(error).__mro__)
