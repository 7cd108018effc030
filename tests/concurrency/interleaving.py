"""Running short concurrent requests in every order of their store calls; what comes out is held against the model."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from starlette.requests import HTTPConnection
from starlette.types import Message, Receive, Scope, Send

from asgi_session import Cookie, Record, SessionDestroyed, SessionMiddleware
from asgi_session.signing import CookieSigner
from tests.clients import SECRET, http_scope
from tests.concurrency.model import OLD, Answer, Data, Event, Outcome, name_of, new_id, outcomes
from tests.concurrency.operations import OPERATIONS, Failure, Program
from tests.concurrency.scheduler import Gate, Orders, SteppedStore, stepped_loop, who

COOKIE = [(b"cookie", b"connect.sid=" + CookieSigner([SECRET.encode()]).sign(OLD).encode())]

AGE = 3600

MakeStore = Callable[[Gate, Callable[[int, str], None]], SteppedStore]

_task: ContextVar[_Task] = ContextVar("_task")


class _Task:
    """One request of a run.

    Attributes:
        phase: what it is at: 0 while it loads, one more for each claim, the last after its handler.
        moments: the first and the last moment at which it called the store, by phase.
    """

    def __init__(self, number: int, program: Program) -> None:
        self.number = number
        self.program = program
        self.phase = 0
        self.moments: dict[int, tuple[int, int]] = {}
        self.seen: list[Any] = []
        self.status = 0
        self.cookie: str | None = None

    def called(self, moment: int) -> None:
        first, _ = self.moments.get(self.phase, (moment, moment))
        self.moments[self.phase] = (first, moment)

    async def handle(self, scope: Scope) -> int:
        session, flash = scope["state"]["session"], scope["state"]["flash"]
        self.phase = 1
        try:
            for operation in self.program:
                await OPERATIONS[operation](session, flash, name_of(self.number), self.seen)
                if operation == "claim":
                    self.phase += 1
        except (Failure, SessionDestroyed):
            return 500
        finally:
            self.phase = self.program.count("claim") + 1
        return 200

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            assert self.status == 0
            self.status = message["status"]
            cookies = [value for name, value in message["headers"] if name == b"set-cookie"]
            assert len(cookies) <= 1
            if cookies:
                self.cookie = "delete" if b"Max-Age=0" in cookies[0] else "set"

    def events(self) -> dict[Event, tuple[int, int]]:
        """When they happened; what needed no store call, at the moment of the call before it."""
        for phase in range(1, self.phase + 1):
            if phase not in self.moments:
                _, last = self.moments[phase - 1]
                self.moments[phase] = (last, last)
        return {Event(self.number, phase): moments for phase, moments in self.moments.items()}


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    status = await _task.get().handle(scope)
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def _receive() -> Message:
    return {"type": "http.disconnect"}


def _genid(connection: HTTPConnection) -> str:
    return new_id(who.get())


class Laboratory:
    """Where requests run against each other.

    Args:
        processes: how many processes they are spread over; each has its own middleware, so that they know of each
            other by the store alone.
        make_store: another store than the correct one.

    Attributes:
        runs: in how many orders requests ran.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, gate: Gate, processes: int, make_store: MakeStore) -> None:
        self._loop = loop
        self._gate = gate
        self._processes = processes
        self._make_store = make_store
        self.runs = 0

    def try_all_orders(self, start: Data, programs: Sequence[Program]) -> None:
        """Run the requests in each order; every one must come out as the model allows."""
        orders = Orders()
        known: dict[Any, list[Outcome]] = {}
        for _ in orders:
            self._gate.restart(orders.choose)
            outcome, moments, story = self._loop.run_until_complete(self._run(start, programs))
            key = tuple(sorted(moments.items()))
            if outcome not in known.setdefault(key, []):
                allowed = outcomes(start, programs, moments)
                if not any(one == outcome for one in allowed):
                    raise AssertionError(_report(start, programs, story, outcome, outcomes(start, programs, moments)))
                known[key].append(outcome)
        self.runs += orders.count

    def run_in_order(self, start: Data, programs: Sequence[Program], order: str) -> Outcome:
        """Run the requests in one order.

        Args:
            order: the numbers of the requests as they call the store, while several wait; after that, the lowest first.
        """
        left = list(map(int, order))
        self._gate.restart(lambda waiting: waiting.index(left.pop(0)) if left and len(waiting) > 1 else 0)
        outcome, moments, _ = self._loop.run_until_complete(self._run(start, programs))
        assert not left, "the requests called the store less often than that"
        assert outcome in list(outcomes(start, programs, moments))
        return outcome

    async def _run(
        self, start: Data, programs: Sequence[Program]
    ) -> tuple[Outcome, dict[Event, tuple[int, int]], list[str]]:
        story: list[str] = []
        tasks = [_Task(number, program) for number, program in enumerate(programs)]

        def called(request: int, method: str) -> None:
            story.append(f"{request} {method}")
            tasks[request].called(len(story))

        store = self._make_store(self._gate, called)
        await store.inner.create(OLD, Record(_payload(start), time.time() + AGE))
        options: Any = {"secret": SECRET, "store": store, "store_timeout": None, "genid": _genid}
        apps = [SessionMiddleware(_app, cookie=Cookie(max_age=AGE), **options) for _ in range(self._processes)]

        async def request(task: _Task) -> None:
            who.set(task.number)
            _task.set(task)
            app = apps[task.number % self._processes]
            await app(http_scope(headers=COOKIE), _receive, task.send)

        async with asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(request(task))
        moments = {event: when for task in tasks for event, when in task.events().items()}
        answers = [Answer(task.status, task.cookie, task.seen) for task in tasks]
        stored = {sid: await _data(store, sid) async for sid in store.inner.ids()}
        return Outcome(stored, answers), moments, story


@contextmanager
def laboratory(*, processes: int = 1, make_store: MakeStore = SteppedStore) -> Iterator[Laboratory]:
    """A `Laboratory`, with an event loop of its own."""
    with stepped_loop() as (loop, gate):
        yield Laboratory(loop, gate, processes, make_store)


async def _data(store: SteppedStore, sid: str) -> Data:
    record = await store.inner.get(sid)
    assert record is not None
    data: Data = json.loads(record.payload)
    del data["cookie"]
    return data


def _payload(data: Data) -> str:
    cookie = {"originalMaxAge": 3600000, "expires": "2100-01-01T00:00:00.000Z", "httpOnly": True, "path": "/"}
    return json.dumps({"cookie": cookie, **data}, separators=(",", ":"))


def _report(
    start: Data, programs: Sequence[Program], story: list[str], outcome: Outcome, allowed: Iterable[Outcome]
) -> str:
    lines = [f"start {start}", *(f"request {number}: {program}" for number, program in enumerate(programs))]
    lines += [f"store calls: {', '.join(story)}", f"came out: {outcome}"]
    return "\n".join([*lines, *(f"allowed: {one}" for one in allowed)])
