"""Long histories of overlapping requests, drawn by Hypothesis: at every moment the store is what the model says."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from starlette.requests import HTTPConnection
from starlette.types import Message, Receive, Scope, Send

from asgi_session import Cookie, MemoryStore, Record, SessionDestroyed, SessionMiddleware
from asgi_session.signing import CookieSigner
from tests.clients import SECRET, http_scope
from tests.concurrency.model import OLD, Answer, Data, Request, name_of, new_id, queue_of, without
from tests.concurrency.operations import OPERATIONS, Failure
from tests.concurrency.programs import START
from tests.concurrency.scheduler import who

AGE = 3600


ENDING = ["regenerate", "keep", "destroy"]
MERGING = sorted(set(OPERATIONS) - {"fail", *ENDING})


class OpenRequest:
    """A request whose handler does one operation at a time, when told, and what the model knows of it."""

    def __init__(self, number: int, sid: str) -> None:
        self.number = number
        self.sid = sid
        self.model = Request(number, (), sid)
        self.orders: asyncio.Queue[str | None] = asyncio.Queue()
        self.done: asyncio.Queue[None] = asyncio.Queue()
        self.seen: list[Any] = []
        self.answer: Answer | None = None
        self.claimed = False

    def can_claim(self) -> bool:
        """Whether it knows of messages that it could ask the store for."""
        return not self.claimed and bool(without(queue_of(self.at_load), self.model.taken))

    at_load: Data


class Histories(RuleBasedStateMachine):
    """One session, its successors, and any number of requests under way."""

    requests: Bundle[OpenRequest] = Bundle("requests")
    sids: Bundle[str] = Bundle("sids")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.store = MemoryStore()
        self.app = SessionMiddleware(
            self.serve, secret=SECRET, store=self.store, cookie=Cookie(max_age=AGE), genid=self.genid
        )
        self.count = 0
        self.model: dict[str, Data] = {}
        self.tasks: set[asyncio.Task[None]] = set()

    # The app

    def genid(self, connection: HTTPConnection) -> str:
        return new_id(who.get())

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, state = scope["request"], scope["state"]
        status = 200
        request.done.put_nowait(None)
        try:
            while order := await request.orders.get():
                await OPERATIONS[order](state["session"], state["flash"], name_of(request.number), request.seen)
                request.done.put_nowait(None)
        except (Failure, SessionDestroyed):
            status = 500
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def run(self, request: OpenRequest) -> None:
        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                cookies = [value for name, value in message["headers"] if name == b"set-cookie"]
                kind = ("delete" if b"Max-Age=0" in cookies[0] else "set") if cookies else None
                request.answer = Answer(message["status"], kind, request.seen)

        async def receive() -> Message:
            return {"type": "http.disconnect"}

        who.set(request.number)
        cookie = CookieSigner([SECRET.encode()]).sign(request.sid).encode()
        scope = http_scope(headers=[(b"cookie", b"connect.sid=" + cookie)], request=request)
        try:
            await self.app(scope, receive, send)
        finally:
            request.done.put_nowait(None)

    def wait_for(self, request: OpenRequest) -> None:
        self.loop.run_until_complete(request.done.get())

    # What happens

    @initialize(target=sids, start=st.sampled_from(sorted(START)))
    def begin(self, start: str) -> str:
        cookie = {"originalMaxAge": AGE * 1000, "expires": "2100-01-01T00:00:00.000Z"}
        record = Record(json.dumps({"cookie": cookie, **START[start]}, separators=(",", ":")), time.time() + AGE)
        self.loop.run_until_complete(self.store.create(OLD, record))
        self.model[OLD] = json.loads(json.dumps(START[start]))
        return OLD

    @rule(target=requests, sid=sids)
    def open(self, sid: str) -> OpenRequest:
        request = OpenRequest(self.count, sid)
        self.count += 1
        task = self.loop.create_task(self.run(request))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        self.wait_for(request)
        request.model.load(self.model)
        request.at_load = json.loads(json.dumps(request.model.view))
        return request

    @rule(request=requests, operation=st.sampled_from([*MERGING, *MERGING, *ENDING]))
    def operate(self, request: OpenRequest, operation: str) -> None:
        if request.answer is not None:
            return
        request.orders.put_nowait(operation)
        self.wait_for(request)
        model = request.model
        model.program.append(operation)
        if operation == "claim":
            if request.can_claim():
                model.claim(self.model)
            else:
                model.claim({})
            request.claimed = True
        else:
            model.work()
        if model.failed:
            self.compare_answers(request)
        else:
            assert request.seen == model.seen

    @rule(target=sids, request=consumes(requests), how=st.sampled_from(["return", "return", "return", "fail"]))
    def close(self, request: OpenRequest, how: str) -> Any:
        if request.answer is not None:
            return multiple()
        request.orders.put_nowait("fail" if how == "fail" else None)
        self.wait_for(request)
        request.model.failed |= how == "fail"
        self.compare_answers(request)
        made = new_id(request.number)
        return made if made in self.model else multiple()

    def compare_answers(self, request: OpenRequest) -> None:
        request.model.commit(self.model)
        request.model.give_back(self.model)
        assert request.answer == request.model.answer

    @invariant()
    def the_store_holds_what_the_model_says(self) -> None:
        async def stored() -> dict[str, Data]:
            found = {sid: await self.store.get(sid) async for sid in self.store.ids()}
            return {sid: json.loads(record.payload) for sid, record in found.items() if record is not None}

        held = self.loop.run_until_complete(stored())
        for data in held.values():
            data.pop("cookie")
        assert held == self.model

    def teardown(self) -> None:
        async def hang_up() -> None:
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

        self.loop.run_until_complete(hang_up())
        self.loop.close()


logging.getLogger("asgi_session").addHandler(logging.NullHandler())

TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
