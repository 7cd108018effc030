"""What concurrent requests in one session may come to, said without the package's help.

A request is a few events, each of which happens at one moment: it loads; it may claim messages; it commits; and if it
fails it gives back what it claimed. Between them it works on what it loaded, and notes what it wants changed. A commit
makes these changes to whatever is stored at its moment, in the order in which commits come; where the record is gone by
then, it makes none, unless the request asked for a new session of its own.

The package's calls to the store give each event a first and a last moment at which it can have happened. `outcomes`
tries all orders of the events that fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tests.concurrency.operations import Program

Data = dict[str, Any]

OLD = "old"
"""The id of the session that all requests come with."""

GONE: Any = object()


def new_id(request: int) -> str:
    """The id that a request draws."""
    return f"new-{request}"


def name_of(request: int) -> str:
    """What a request writes."""
    return f"request {request}"


class Answer(NamedTuple):
    """What a client gets."""

    status: int
    cookie: str | None  # "set" or "delete"
    seen: list[Any]


class Outcome(NamedTuple):
    """What is stored in the end, by id, and what the clients got."""

    stored: dict[str, Data]
    answers: list[Answer]


class Event(NamedTuple):
    """One moment of a request: the `number`th of it."""

    request: int
    number: int


class Destroyed(Exception):
    """A write to a session that this request destroyed."""


class Request:
    """One request on its way: what it sees, and what it wants changed.

    Args:
        sid: the id in its cookie.
    """

    def __init__(self, number: int, program: Program, sid: str = OLD) -> None:
        self.number = number
        self.sid = sid
        self.name = name_of(number)
        self.program = list(program)
        self.phases = _phases(program)
        self.answer: Answer | None = None
        self.seen: list[Any] = []
        self.is_new = False
        self.view: Data = {}
        self.claimed: list[Any] = []
        self.was_empty = False
        self.emptied = False
        self.renewal: str | None = None
        self.destroyed = False
        self.touched = False
        self.failed = False
        self._want_nothing()

    def _want_nothing(self) -> None:
        self.puts: Data = {}
        self.adds = 0
        self.taken: list[Any] = []
        self.queued: list[Any] = []
        self.touched = False

    def work(self) -> None:
        """Go on with the program up to the next claim."""
        try:
            while self.program and self.program[0] != "claim":
                self._do(self.program.pop(0))
        except Destroyed:
            self.failed = True

    def _do(self, operation: str) -> None:
        writes = operation in ("put", "nested", "delete", "increment", "add", "touch", "regenerate", "keep")
        if self.destroyed and writes:
            raise Destroyed
        match operation:
            case "put":
                self.view["a"] = self.puts["a"] = self.name
            case "nested":
                self.view["list"] = self.puts["list"] = [*self.view.get("list", []), self.name]
            case "delete":
                if self.view.pop("b", None) is not None:
                    self.puts["b"] = GONE
            case "increment":
                self.adds += 1
                self.view["n"] = self.view.get("n", 0) + 1
                self.seen.append(self.view["n"])
            case "add":
                self.queued.append(self.name)
            case "drain":
                stored = queue_of(self.view)
                self.seen.append(stored + self.queued)
                self.taken += stored
                self.queued = []
                put_queue(self.view, [])
            case "touch":
                self.touched = True
            case "regenerate" | "destroy":
                self.view = {}
                self._want_nothing()
                self.renewal = "fresh"
                self.destroyed = operation == "destroy"
            case "keep":
                self.renewal = self.renewal or "keep"
            case "fail":
                self.failed = True
            case _:
                assert operation == "read"

    # Events

    def load(self, stored: dict[str, Data]) -> None:
        self.is_new = self.sid not in stored
        self.view = dict(stored.get(self.sid, {}))
        self.was_empty = not self.view
        self.work()

    def claim(self, stored: dict[str, Data]) -> None:
        self.program.pop(0)
        got: list[Any] = []
        if not self.is_new and self.renewal != "fresh" and self.sid in stored:
            if queue_of(self.view):  # else there is nothing to ask the store for
                self.was_empty = not stored[self.sid]
            got = queue_of(stored[self.sid])
            for message in self.taken:
                if message in got:
                    got.remove(message)
            if got:
                put_queue(stored[self.sid], without(queue_of(stored[self.sid]), got))
                self.emptied = not stored[self.sid]
            self.claimed += got
            self.view = self._changed(stored[self.sid], queued=False)
        self.seen.append(got + self.queued)
        self.queued = []
        self.work()

    def commit(self, stored: dict[str, Data]) -> None:
        if self.failed:
            self.answer = Answer(500, None, self.seen)
        else:
            self.answer = Answer(200, self._commit(stored), self.seen)

    def give_back(self, stored: dict[str, Data]) -> None:
        if self.failed and self.claimed and self.sid in stored:
            put_queue(stored[self.sid], self.claimed + queue_of(stored[self.sid]))

    def _commit(self, stored: dict[str, Data]) -> str | None:
        """Change what is stored, and say what becomes of the cookie."""
        if self.is_new:
            if self.destroyed:
                return "delete"
            return self._store_anew(stored)
        if self.destroyed:
            return "delete" if stored.pop(self.sid, None) is not None else None
        if self.renewal == "fresh":
            there = stored.pop(self.sid, None) is not None
            if self.was_empty and not self.emptied:
                stored[new_id(self.number)] = self._changed({})
                return "set"
            return self._store_anew(stored) or ("delete" if there else None)
        if self.sid not in stored:
            return None
        now = stored[self.sid]
        changed = self._changed(now)
        if self.renewal == "keep":
            del stored[self.sid]
            if not changed and (now or self.emptied):
                return "delete"
            stored[new_id(self.number)] = changed
            return "set"
        if not changed and (now or self.emptied):
            del stored[self.sid]
            return "delete"
        stored[self.sid] = changed
        return "set" if self.touched or changed != now else None

    def _store_anew(self, stored: dict[str, Data]) -> str | None:
        data = self._changed({})
        if not data:
            return None
        stored[new_id(self.number)] = data
        return "set"

    def _changed(self, data: Data, *, queued: bool = True) -> Data:
        """Data with this request's changes made to it."""
        changed = {key: value for key, value in {**data, **self.puts}.items() if value is not GONE}
        if self.adds:
            changed["n"] = changed.get("n", 0) + self.adds
        put_queue(changed, without(queue_of(changed), self.taken) + (self.queued if queued else []))
        return changed


def _phases(program: Program) -> list[str]:
    return ["load", *(["claim"] * program.count("claim")), "commit"]


def queue_of(data: Data) -> list[Any]:
    """The flash messages in a session's data."""
    return list(data.get("flash", {}).get("info", []))


def put_queue(data: Data, messages: list[Any]) -> None:
    """Let these be the flash messages."""
    data.pop("flash", None)
    if messages:
        data["flash"] = {"info": messages}


def without(messages: list[Any], taken: list[Any]) -> list[Any]:
    """Messages less those, one by one."""
    left = list(messages)
    for message in taken:
        if message in left:
            left.remove(message)
    return left


def outcomes(start: Data, programs: Sequence[Program], moments: Mapping[Event, tuple[int, int]]) -> Iterator[Outcome]:
    """What may come out.

    Args:
        start: what is stored at first under `OLD`.
        moments: the first and the last moment of each event: of a request's load, of each claim, and of what it does
            once its handler has returned.
    """
    for order in _orders(dict(moments)):
        stored = {OLD: dict(start)}
        requests = [Request(number, program) for number, program in enumerate(programs)]
        for event in order:
            request = requests[event.request]
            match request.phases[event.number] if event.number < len(request.phases) else None:
                case "load":
                    request.load(stored)
                case "claim" if not request.failed:
                    request.claim(stored)
                case "commit":
                    request.commit(stored)
                    request.give_back(stored)
        yield Outcome(stored, [request.answer for request in requests if request.answer is not None])


def _orders(moments: dict[Event, tuple[int, int]]) -> Iterator[list[Event]]:
    """All orders of events in which none comes before another that was over when it began."""
    if not moments:
        yield []
    for event, (first, _) in moments.items():
        others = {other: when for other, when in moments.items() if other != event}
        if all(first <= last and not _is_earlier_in_request(other, event) for other, (_, last) in others.items()):
            for rest in _orders(others):
                yield [event, *rest]


def _is_earlier_in_request(one: Event, other: Event) -> bool:
    return one.request == other.request and one.number < other.number
