"""The flash queue as it is stored, and how two requests' changes to it come together.

The queue is the session key `flash`: ``{category: [message, ...]}``, as connect-flash writes it. Messages carry no
identity there, so that merging goes by value: of what this request drained, each message is taken once from the newer
queue if it is still there; what this request added comes last.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from asgi_session.images import alike

FLASH = "flash"
"""The session key under which the queue stands."""

Queue = dict[str, list[Any]]


class Change:
    """What one request did to one category: which stored messages it took, and what it added since."""

    __slots__ = ("added", "taken")

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.added: list[Any] = []


Log = Mapping[str, Change]
"""What one request did to the queue, by category."""

NOTHING_DONE: Log = MappingProxyType({})


def queue_of(value: object) -> Queue:
    """The queue in a session's `flash` value; foreign data there counts as empty."""
    return drain(value, None)[0]


def drain(value: object, category: str | None) -> tuple[Queue, dict[str, Any] | None]:
    """One category or (None) all of a `flash` value, and the value that is left; None where nothing is to be kept."""
    drained: Queue = {}
    kept: dict[str, Any] = {}
    if isinstance(value, dict):
        for name, messages in value.items():
            if not isinstance(messages, list) or (messages and category is not None and category != name):
                kept[name] = messages
            elif messages:
                drained[name] = messages
    return drained, kept or None


def merge(base: object, ours: object, theirs: object, log: Log) -> Any:
    """The `flash` value after our changes (`base` to `ours`) are made to `theirs`; None where nothing is left.

    What stands there beside the queue is merged as a whole, as any other key is.

    Args:
        log: what was done to the queue call by call.
    """
    log = log_between(base, ours, log)
    mine = _beside(ours)
    foreign = _beside(theirs) if alike(mine, _beside(base)) else mine
    queue = _apply(queue_of(theirs), log)
    if isinstance(foreign, dict):
        return {**foreign, **(queue or {})} or None
    return queue or foreign


def _beside(value: object) -> object:
    """What a `flash` value holds beside the queue: members that are no lists, or something else than a dict."""
    return (drain(value, None)[1] or {}) if isinstance(value, dict | None) else value


def claim(value: object, category: str | None, log: Log) -> tuple[Queue, dict[str, Any] | None]:
    """Take one category or (None) all from a stored `flash` value: what was taken, and the value that is left.

    Args:
        log: what this request drained already is not taken twice.
    """
    taken: Queue = {}
    for name, messages in drain(value, category)[0].items():
        fresh = list(messages)
        for message in log[name].taken if name in log else []:
            _take_out(message, fresh)
        if fresh:
            taken[name] = fresh
    return taken, removed(value, taken)


def removed(value: object, messages: Queue) -> dict[str, Any] | None:
    """A `flash` value without these messages; None where nothing is left."""
    log = {category: Change() for category in messages}
    for category, change in log.items():
        change.taken = messages[category]
    return _apply(value, log)


def _take_out(message: object, messages: list[Any]) -> bool:
    """Remove the first of these messages that is like this one; False where none is."""
    for index, other in enumerate(messages):
        if alike(other, message):
            del messages[index]
            return True
    return False


def missing(messages: Queue, value: object) -> Queue:
    """Those of these messages that a `flash` value does not hold."""
    return {category: change.taken for category, change in difference(messages, value).items() if change.taken}


def restored(value: object, claimed: Queue) -> dict[str, Any]:
    """A `flash` value with claimed messages back at the front of their categories."""
    queues = queue_of(value)
    kept = value if isinstance(value, dict) else {}
    return {**kept, **{category: [*messages, *queues.get(category, [])] for category, messages in claimed.items()}}


def _apply(value: object, log: Log) -> dict[str, Any] | None:
    stored, foreign = drain(value, None)
    queues = {category: list(messages) for category, messages in stored.items()}
    for category, change in log.items():
        messages = queues.setdefault(category, [])
        for message in change.taken:
            _take_out(message, messages)
        messages.extend(change.added)
    return {**(foreign or {}), **{category: messages for category, messages in queues.items() if messages}} or None


def log_between(base: object, ours: object, log: Log) -> Log:
    """What leads from one `flash` value to another: `log` if that does, else as told from the two values."""
    return log if alike(queue_of(_apply(base, log)), queue_of(ours)) else difference(base, ours)


def difference(base: object, ours: object) -> Log:
    """What leads from one `flash` value to another, by value."""
    log: dict[str, Change] = {}
    before, now = queue_of(base), queue_of(ours)
    for category in {**before, **now}:
        change = log[category] = Change()
        kept = list(now.get(category, []))
        for message in before.get(category, []):
            if not _take_out(message, kept):
                change.taken.append(message)
        change.added = kept
    return log
