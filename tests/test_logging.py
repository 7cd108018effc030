"""What is logged, how often, and what never is: ids, data, secrets, cookie values, what a backend said."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from asgi_session import Cookie, Record, SessionError, SessionMiddleware, SessionNotFound, SessionSerializationError
from tests.clients import SECRET, Browser, call, cookie_header, http_scope, put, session_app
from tests.spy_store import SpyStore

DATA = "private-data-of-ann"
MESSAGE = "private-flash-message"
KEYS = "private_key"
PASSWORD = "password-of-the-backend"
OLD_SECRET = "an older secret for tests, long enough too"


@pytest.fixture
def store() -> SpyStore:
    return SpyStore()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Everything that anybody logs."""
    caplog.set_level(logging.DEBUG)
    return caplog


def said(log: pytest.LogCaptureFixture) -> list[tuple[str, int]]:
    """Logger and level of what this package logged, and nobody else meanwhile did in its name."""
    return [(record.name, record.levelno) for record in log.records if record.name.startswith("asgi_session")]


async def signed_in(store: SpyStore, **options: Any) -> Browser:
    browser = Browser(store=store, **options)
    await browser.visit(put(a=1))
    store.calls.clear()
    return browser


# What is said


async def test_a_day_without_incident_is_not_worth_a_line(store: SpyStore, log: pytest.LogCaptureFixture) -> None:
    browser = await signed_in(store, rolling=True, touch_after=0, cookie=Cookie(max_age=60))
    await browser.visit(put(a=2))
    await browser.visit(lambda request: request.state.flash.info("hello"))
    await browser.visit(lambda request: request.state.flash())
    await browser.visit(lambda request: request.state.session.regenerate(keep=True))
    await browser.visit(lambda request: request.state.session.destroy())
    await browser.visit()
    assert said(log) == []


async def test_a_failing_store_is_an_error_each_time(store: SpyStore, log: pytest.LogCaptureFixture) -> None:
    browser = await signed_in(store)
    store.fail()
    for _ in range(3):
        await browser.visit()
    assert said(log) == [("asgi_session", logging.ERROR)] * 3


async def test_dropped_changes_are_a_warning_each_time(store: SpyStore, log: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        browser = await signed_in(store)

        async def endpoint(request: Request) -> None:
            request.session["a"] = 2
            await store.inner.clear()

        await browser.visit(endpoint)
    assert said(log) == [("asgi_session", logging.WARNING)] * 2


async def test_a_request_that_changed_nothing_of_an_ended_session_says_nothing(
    store: SpyStore, log: pytest.LogCaptureFixture
) -> None:
    browser = await signed_in(store, touch_after=0, rolling=True)

    async def endpoint(request: Request) -> None:
        await store.inner.clear()

    await browser.visit(endpoint)
    assert said(log) == []


async def test_a_session_first_written_too_late_is_an_error_each_time(
    store: SpyStore, log: pytest.LogCaptureFixture
) -> None:
    def endpoint(request: Request) -> Response:
        async def body() -> Any:
            yield "first"
            request.session["a"] = 1
            yield "last"

        return StreamingResponse(body())

    for _ in range(2):
        await Browser(store=store).visit(endpoint)
    assert said(log) == [("asgi_session", logging.ERROR)] * 2


async def test_a_problem_of_configuration_is_said_once_per_middleware(
    store: SpyStore, log: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        browser = await signed_in(store, cookie=Cookie(secure=True))
        for _ in range(3):
            await browser.visit(lambda request: request.session.get("a"))
    warnings = [level for _, level in said(log) if level == logging.WARNING]
    assert warnings == [logging.WARNING] * 2


async def test_a_store_error_names_the_kind_of_its_cause(store: SpyStore, log: pytest.LogCaptureFixture) -> None:
    browser = await signed_in(store)
    store.fail("get", error=ConnectionResetError(PASSWORD))
    await browser.visit()
    assert "ConnectionResetError" in log.text


async def test_what_the_package_logs_goes_to_one_logger(store: SpyStore, log: pytest.LogCaptureFixture) -> None:
    await run_through_everything(store)
    assert {name for name, _ in said(log)} == {"asgi_session"}


# What is never said


async def run_through_everything(store: SpyStore) -> tuple[set[str], list[BaseException]]:
    """Let everything that can happen happen; returns what must be in no log, and the errors that came out."""
    hidden = {DATA, MESSAGE, PASSWORD, SECRET, OLD_SECRET}
    raised: list[BaseException] = []
    browser = Browser(store=store, cookie=Cookie(max_age=600), secret=[SECRET, OLD_SECRET], touch_after=0)

    async def visit(handler: Callable[[Request], Any], *, through: Browser | None = None) -> None:
        try:
            await (through or browser).visit(handler)
        except Exception as error:  # whatever it is, its text is what matters
            raised.append(error)
        hidden.update(await store.sids())
        hidden.update(value for value in (through or browser).cookies.values() if value)

    def both(request: Request) -> None:
        request.session[KEYS] = DATA
        request.state.flash.info(MESSAGE)

    async def end_meanwhile(request: Request) -> None:
        request.session[KEYS] = DATA + "!"
        await store.inner.clear()

    async def end_and_save(request: Request) -> None:
        await end_meanwhile(request)
        await request.state.session.save()

    def write_after_destroy(request: Request) -> None:
        request.state.session.destroy()
        request.session[KEYS] = DATA

    def write_late(request: Request) -> Response:
        async def body() -> Any:
            yield "first"
            request.session[KEYS] = DATA
            yield "last"

        return StreamingResponse(body())

    await visit(both)
    await visit(lambda request: request.session[KEYS])
    await visit(lambda request: request.state.flash.claim())
    await visit(lambda request: request.state.session.regenerate(keep=True))
    await visit(lambda request: request.session.update(x={DATA}))
    await visit(lambda request: request.session.update(x=[float("nan"), DATA]))
    await visit(lambda request: request.state.session.__setitem__(7, DATA))
    await visit(lambda request: request.session.update(cookie=DATA))
    await visit(lambda request: request.state.session.increment(KEYS))
    await visit(lambda request: request.state.flash("info", "%d " + MESSAGE, DATA))
    await visit(lambda request: setattr(request.state, "session", DATA))
    await visit(end_meanwhile)
    await visit(both)
    await visit(end_and_save)
    await visit(both)
    await visit(write_after_destroy)
    await visit(write_late, through=Browser(store=store, secret=SECRET))
    await visit(both, through=Browser(store=store, cookie=Cookie(secure=True)))
    hidden.add("taken-session-id")
    for _ in range(2):
        await visit(both, through=Browser(store=store, genid=lambda connection: "taken-session-id"))
    await visit(both, through=Browser(store=store, genid=lambda connection: DATA + "\0"))
    # Each failure of the store
    for handling in ("unavailable", "raise", "anonymous"):
        failing = Browser(store=store, secret=SECRET, touch_after=0, on_store_error=handling)
        for method in ("get", "replace", "touch", "destroy", "create"):
            for endpoint in (both, lambda r: r.state.session.destroy(), lambda r: r.state.session.touch()):
                await visit(both, through=failing)
                store.fail(method, error=OSError(f"{PASSWORD} {DATA} {' '.join(await store.sids())}"))
                await visit(endpoint, through=failing)
                store.work()
    # Payloads that can't be read
    await store.inner.create("unreadable-session-id", Record('{"' + DATA, None))
    hidden.add("unreadable-session-id")
    odd = Browser(store=SpyStore(), genid=lambda connection: "unreadable-session-id")
    await odd.visit(both)
    odd.app = session_app(store=store)
    await visit(lambda request: dict(request.session), through=odd)
    return hidden, raised


def everything_logged(log: pytest.LogCaptureFixture) -> str:
    formatter = logging.Formatter("%(name)s %(message)s %(args)s %(exc_text)s")
    lines = []
    for record in log.records:
        if record.name.startswith(("asgi_session", "asyncio")):
            record.args = record.args or ()
            lines.append(f"{formatter.format(record)} {record.args!r} {record.__dict__!r}")
    return "\n".join(lines)


async def test_no_log_line_holds_an_id_data_a_secret_or_what_the_backend_said(
    store: SpyStore, log: pytest.LogCaptureFixture
) -> None:
    hidden, _ = await run_through_everything(store)
    text = everything_logged(log)
    assert len(said(log)) > 20
    assert [word for word in hidden if word in text] == []


async def test_no_exception_of_ours_holds_an_id_data_or_a_secret(store: SpyStore) -> None:
    hidden, raised = await run_through_everything(store)
    ours = [error for error in raised if type(error).__module__.startswith("asgi_session")]
    others = [error for error in raised if error not in ours]
    assert len({type(error) for error in ours}) >= 4
    for error in [*ours, *others]:
        text = f"{error} {error!r} {error.args!r}"
        assert [word for word in hidden if word in text] == [], type(error)


async def test_an_error_about_a_value_names_its_key_and_not_the_value() -> None:
    with pytest.raises(SessionSerializationError) as caught:
        await Browser().visit(lambda request: request.session.update({KEYS: {"inner": {DATA}}}))
    assert KEYS in str(caught.value)
    assert DATA not in str(caught.value)
    assert caught.value.__cause__ is None  # nor does what a traceback shows with it
    assert caught.value.__suppress_context__


async def test_no_repr_holds_an_id_data_or_a_secret(store: SpyStore) -> None:
    shown: list[str] = []

    def show(request: Request) -> None:
        session = request.state.session
        session[KEYS] = DATA
        request.state.flash.info(MESSAGE)
        things = [session, session.cookie, request.state.flash, request.scope["asgi_session"]]
        for thing in things:
            shown.extend([repr(thing), str(thing), f"{thing}", f"{thing!r:>10}"])

    await Browser(store=store).visit(show)
    record = await store.only()
    wrapped = SessionMiddleware(Browser.serve, secret=SECRET, store=store)
    shown += [repr(wrapped), str(wrapped), repr(record), repr(store.inner), repr(vars(wrapped))]
    text = "\n".join(shown)
    assert [word for word in (DATA, MESSAGE, SECRET, *await store.sids()) if word in text] == []


async def test_a_session_error_raised_by_the_app_shows_nothing_either(store: SpyStore) -> None:
    browser = await signed_in(store)
    (sid,) = await store.sids()

    async def endpoint(request: Request) -> None:
        await store.inner.clear()
        await request.state.session.reload()

    with pytest.raises(SessionError) as caught:
        await browser.visit(endpoint)
    assert sid not in f"{caught.value!r}"


async def test_a_debug_page_would_not_show_the_session(store: SpyStore) -> None:
    browser = await signed_in(store)
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["session"][KEYS] = DATA
        seen.append(repr({key: value for key, value in scope.items() if key != "headers"}))

    wrapped = SessionMiddleware(app, secret=SECRET, store=store)
    await call(wrapped, http_scope(headers=cookie_header(browser.cookies)))
    (sid,) = await store.sids()
    assert DATA not in seen[0]
    assert sid not in seen[0]


async def test_what_is_dropped_later_in_the_same_request_is_a_warning_of_its_own(
    store: SpyStore, log: pytest.LogCaptureFixture
) -> None:
    browser = Browser(store=store)
    await browser.visit(put(a=1))

    async def handler(request: Request) -> None:
        session = request.state.session
        await store.inner.destroy(session.id)
        for key, warnings in (("b", 1), (None, 1), ("c", 2)):
            if key is not None:
                session[key] = 1
            with pytest.raises(SessionNotFound):
                await session.save()
            assert log.text.count("dropped") == warnings

    assert (await browser.visit(handler)).status_code == 200
