"""How a command goes over a connection of redis-py's or valkey-py's pool, and its reply comes back."""

from __future__ import annotations

from typing import Any

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


async def exchange(connection: Any, command: tuple[bytes, ...]) -> Any:
    """Send a command and read the reply, which is not decoded."""
    # Packed here: redis-py's and valkey-py's own code for that takes a tenth of the whole call.
    parts = [b"$%d\r\n%b\r\n" % (len(part), part) for part in command]
    await _send(connection, b"*%d\r\n%b" % (len(parts), b"".join(parts)))
    return await connection.read_response(disable_decoding=True)


async def _send(connection: Any, packed: bytes) -> None:
    """Send a packed command; at once where it is short and nothing else is to be done for it.

    With a limit for sending, which redis-py sets by default, each command is sent in a task of its own, a fifth of the
    whole call when many are under way. What does not wait for the network needs no limit: it is set aside while nothing
    else can run.
    """
    if len(packed) > _AT_ONCE or not connection.is_connected or connection.health_check_interval:
        await connection.send_packed_command(packed)
        return
    limit, connection.socket_timeout = connection.socket_timeout, None
    try:
        await connection.send_packed_command(packed, check_health=False)
    finally:
        connection.socket_timeout = limit
