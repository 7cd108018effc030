"""Flash messages: a queue in the session that drains on read, as connect-flash has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, overload

from asgi_session.flash_queue import Queue, queue_of
from asgi_session.images import copied
from asgi_session.session import Session

_NOTHING: Any = object()


class Flash:
    """The flash queue of one session.

    Reading drains: a message is gone once the response that read it went out well. An empty queue costs nothing.
    """

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    @overload
    def __call__(self) -> Queue: ...
    @overload
    def __call__(self, category: str) -> list[Any]: ...
    @overload
    def __call__(self, category: str, message: Any, *args: Any) -> int: ...

    def __call__(self, category: str | None = None, message: Any = _NOTHING, *args: Any) -> Queue | list[Any] | int:
        """Queue a message, or drain.

        `flash(category, message, *args)` queues `message % args` as `logging` would format it (no formatting without
        `args`), each item where the message is a list, and returns how many messages the category then has.
        `flash(category)` drains one category to a list, `flash()` all of them to a dict of lists.

        Raises:
            TypeError: the message does not fit its arguments, or the category that it is queued under is no str.
            SessionDestroyed: a message is queued after the session's end.
        """
        if message is not _NOTHING:
            if not isinstance(category, str):
                raise TypeError("a flash category is a str")
            if args:
                message = _formatted(message, args)
            return self._session._flash_add(category, message if isinstance(message, list) else [message])
        if category is None:
            return self._session._flash_drain(None)
        return _messages(self._session._flash_drain(category), category)

    def success(self, message: Any, *args: Any) -> int:
        """Queue under "success"."""
        return self("success", message, *args)

    def info(self, message: Any, *args: Any) -> int:
        """Queue under "info"."""
        return self("info", message, *args)

    def warning(self, message: Any, *args: Any) -> int:
        """Queue under "warning"."""
        return self("warning", message, *args)

    def error(self, message: Any, *args: Any) -> int:
        """Queue under "error"."""
        return self("error", message, *args)

    def debug(self, message: Any, *args: Any) -> int:
        """Queue under "debug"."""
        return self("debug", message, *args)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Drain everything, as (category, message), in order."""
        drained = self._session._flash_drain(None)
        return iter([(category, message) for category, messages in drained.items() for message in messages])

    @overload
    def peek(self, category: None = None) -> Queue: ...
    @overload
    def peek(self, category: str) -> list[Any]: ...

    def peek(self, category: str | None = None) -> Queue | list[Any]:
        """Look at the messages of a category (a list) or of all (a dict of lists): copies, and they stay queued."""
        queues = queue_of(self._session._flash())
        if category is None:
            return {name: [*map(copied, messages)] for name, messages in queues.items()}
        return [*map(copied, _messages(queues, category))]

    def __len__(self) -> int:
        """How many messages are queued."""
        return sum(map(len, queue_of(self._session._flash()).values()))

    def __bool__(self) -> bool:
        return len(self) > 0

    @overload
    async def claim(self, category: None = None) -> Queue: ...
    @overload
    async def claim(self, category: str) -> list[Any]: ...

    async def claim(self, category: str | None = None) -> Queue | list[Any]:
        """Drain with the store's agreement at once: of any number of concurrent requests, one gets each message.

        Only the removal is written, not what else is pending; no cookie is sent and the expiry stays. If this response
        then fails or is cancelled, the messages go back to the front of the queue, unless the session is gone: one that
        a claim has emptied is deleted when the response starts.

        Raises:
            StoreError: the store failed; nothing was drained.
            SessionConflict: other processes kept being faster; nothing was drained.
            SessionError: the session belongs to no request, or that is over.
        """
        claimed = await self._session._flash_claim(category)
        return claimed if category is None else _messages(claimed, category)


def _messages(queue: Queue, category: object) -> list[Any]:
    """What stands under a category. There is nothing under what is no str, hashable or not."""
    return queue.get(category, []) if isinstance(category, str) else []


def _formatted(message: Any, args: tuple[Any, ...]) -> str:
    if not isinstance(message, str):
        raise TypeError("only a str takes arguments")
    named = len(args) == 1 and isinstance(args[0], Mapping) and args[0]
    try:
        return message % (named or args)
    except (KeyError, ValueError, OverflowError):
        raise TypeError("the flash message does not fit its arguments") from None
