"""The flash queue: messages wait for whoever reads them next, and are read once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from asgi_session import Cookie, Flash, Session

from .clients import Browser, put, set_cookie
from .clock import Clock
from .spy_store import SpyStore


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def flash(session: Session) -> Flash:
    return Flash(session)


# Queueing


def test_queueing_returns_how_many_messages_the_category_has(flash: Flash) -> None:
    assert [flash("info", "a"), flash("info", "b"), flash("error", "c")] == [1, 2, 1]


def test_a_list_queues_each_of_its_items(flash: Flash) -> None:
    assert flash("info", ["a", "b"]) == 2
    assert flash("info") == ["a", "b"]


def test_an_empty_list_queues_nothing(flash: Flash, session: Session) -> None:
    assert flash("info", []) == 0
    flash("info", "a")
    assert flash("info", []) == 1
    assert session == {"flash": {"info": ["a"]}}


def test_an_empty_list_on_an_empty_queue_is_no_change(flash: Flash, session: Session) -> None:
    flash("info", [])
    assert (session.modified, session) == (False, {})


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("Saved %s", "it"), "Saved it"),
        (("%d of %d", 1, 2), "1 of 2"),
        (("%s", None), "None"),
        (("%s", ["a"]), "['a']"),
        (("%(who)s said %(what)s", {"who": "Ada", "what": "hello"}), "Ada said hello"),
        (("%s", {"a": 1}), "{'a': 1}"),
        (("%5.2f%%", 12.345), "12.35%"),
        (("100%",), "100%"),
        (("%s",), "%s"),
        (("%(name)s",), "%(name)s"),
    ],
)
def test_a_message_is_formatted_as_logging_does_it(flash: Flash, args: tuple[Any, ...], expected: str) -> None:
    flash("info", *args)
    assert flash("info") == [expected]


@pytest.mark.parametrize(
    "args",
    [
        ("no placeholder", 1),
        ("%s %s", 1),
        ("%s", 1, 2),
        ("%d", "text"),
        ("%", 1),
        ("%z", 1),
        ("%(who)s", {"what": 1}),
        ("%(who)s", 1),
        (["%s"], 1),
        (5, 1),
        (None, 1),
        ("", 1),
    ],
    ids=ascii,
)
def test_a_message_that_does_not_fit_its_arguments_is_refused(
    flash: Flash, session: Session, args: tuple[Any, ...]
) -> None:
    with pytest.raises(TypeError):
        flash("info", *args)
    assert session == {}


@pytest.mark.parametrize("args", [("%c", 0x110000), ("%d", float("inf"))], ids=ascii)
def test_a_number_that_its_placeholder_can_not_show_is_a_mismatch_too(flash: Flash, args: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        flash("info", *args)


@pytest.mark.parametrize("message", [None, "", 0, False, 5, 1.5, {"a": 1}, {}, [[]], [["a"]], "%s", "é😀"], ids=ascii)
def test_any_json_value_is_a_message(flash: Flash, message: Any) -> None:
    assert flash("info", message) == 1
    assert flash("info") == (message if isinstance(message, list) else [message])


@pytest.mark.parametrize("category", [None, 5, True, ("a",), b"info"])
def test_a_category_that_is_no_str_is_refused(flash: Flash, session: Session, category: Any) -> None:
    with pytest.raises(TypeError):
        flash(category, "x")
    assert session == {}


@pytest.mark.parametrize("category", ["", "constructor", "toString", "__proto__", "cookie", "flash", "é", "5"])
def test_any_str_is_a_category(flash: Flash, category: str) -> None:
    assert flash(category, "x") == 1
    assert flash() == {category: ["x"]}


@pytest.mark.parametrize("category", ["success", "info", "warning", "error", "debug"])
def test_usual_categories_have_a_method(flash: Flash, category: str) -> None:
    assert getattr(flash, category)("Saved %s", "it") == 1
    assert getattr(flash, category)(["a", "b"]) == 3
    assert flash() == {category: ["Saved it", "a", "b"]}


async def test_a_message_that_is_no_json_fails_before_anything_is_sent() -> None:
    browser = Browser()
    browser.raise_errors = False
    response = await browser.visit(lambda request: request.state.flash("info", {1}))
    assert (response.status_code, set_cookie(response)) == (500, None)


# Draining


def test_draining_a_category_takes_its_messages_in_order_and_leaves_the_others(flash: Flash) -> None:
    flash("info", "a")
    flash("error", "x")
    flash("info", "b")
    assert flash("info") == ["a", "b"]
    assert flash("info") == []
    assert flash() == {"error": ["x"]}


def test_draining_all_takes_everything_in_the_order_of_its_categories(flash: Flash) -> None:
    flash("error", "x")
    flash("info", "a")
    flash("error", "y")
    drained = flash()
    assert list(drained.items()) == [("error", ["x", "y"]), ("info", ["a"])]
    assert flash() == {}


def test_a_loop_drains_everything_in_order(flash: Flash) -> None:
    flash("error", "x")
    flash("info", "a")
    flash("error", "y")
    assert list(flash) == [("error", "x"), ("error", "y"), ("info", "a")]
    assert list(flash) == []


def test_a_loop_drains_when_it_starts(flash: Flash) -> None:
    flash("info", ["a", "b"])
    for _, message in flash:
        assert len(flash) == 0
        if message == "a":
            flash("info", "new")
            break
    assert flash() == {"info": ["new"]}


def test_looks_leave_the_messages_where_they_are(flash: Flash) -> None:
    flash("info", ["a", "b"])
    flash("error", "x")
    assert flash.peek("info") == ["a", "b"]
    assert flash.peek("nothing") == []
    assert flash.peek() == {"info": ["a", "b"], "error": ["x"]}
    assert (len(flash), bool(flash)) == (3, True)
    assert flash() == {"info": ["a", "b"], "error": ["x"]}
    assert (len(flash), bool(flash)) == (0, False)


def test_what_peek_gives_can_be_changed_without_changing_the_queue(flash: Flash) -> None:
    flash("info", "a")
    flash.peek("info").append("b")
    flash.peek()["info"].append("b")
    assert flash("info") == ["a"]


def test_what_a_drain_gives_can_be_changed_without_changing_the_queue(flash: Flash) -> None:
    flash("info", "a")
    drained = flash("info")
    drained.append("b")
    flash("info", "c")
    assert flash("info") == ["c"]


def test_a_list_that_was_queued_can_be_changed_without_changing_the_queue(flash: Flash) -> None:
    messages = ["a"]
    flash("info", messages)
    messages.append("b")
    assert flash("info") == ["a"]


def test_a_drained_queue_leaves_no_member(flash: Flash, session: Session) -> None:
    flash("info", "a")
    flash("error", "x")
    flash("info")
    assert session == {"flash": {"error": ["x"]}}
    flash()
    assert session == {}


LOOKS: dict[str, Callable[[Flash], Any]] = {
    "drain": lambda flash: flash(),
    "drain a category": lambda flash: flash("info"),
    "loop": list,
    "peek": lambda flash: flash.peek(),
    "len": len,
    "bool": bool,
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
async def test_looking_at_an_empty_queue_writes_nothing_and_sends_no_cookie(
    look: Callable[[Flash], Any], clock: Clock
) -> None:
    store = SpyStore()
    browser = Browser(store=store, cookie=Cookie(max_age=600))
    assert set_cookie(await browser.visit(lambda request: look(request.state.flash) and None)) is None
    assert store.calls == []
    await browser.visit(put(a=1))
    store.calls.clear()
    assert set_cookie(await browser.visit(lambda request: look(request.state.flash) and None)) is None
    assert store.calls == ["get"]


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
async def test_looking_makes_the_response_vary_by_cookie(look: Callable[[Flash], Any]) -> None:
    response = await Browser().visit(lambda request: look(request.state.flash) and None)
    assert response.headers["vary"] == "Cookie"


@pytest.mark.parametrize("foreign", ["text", 5, None, True, ["a"], {"info": "text"}, {"info": {"a": 1}}, {"info": []}])
@pytest.mark.parametrize("look", [*LOOKS.values(), lambda flash: flash.peek("info")], ids=[*LOOKS, "peek a category"])
def test_what_is_no_queue_counts_as_empty_and_stays_as_it_is(look: Callable[[Flash], Any], foreign: object) -> None:
    session = Session({"flash": foreign})
    assert not look(Flash(session))
    assert session == {"flash": foreign}
    assert not session.modified


def test_a_message_drained_and_queued_again_is_a_change() -> None:
    session = Session({"flash": {"info": ["a"]}})
    flash = Flash(session)
    flash("info", flash("info"))
    assert session == {"flash": {"info": ["a"]}}
    assert session.modified


def test_a_queue_beside_foreign_data_works_and_the_data_stays() -> None:
    session = Session({"flash": {"info": ["a"], "settings": {"x": 1}}})
    flash = Flash(session)
    assert flash("info", "b") == 2
    assert flash() == {"info": ["a", "b"]}
    assert session == {"flash": {"settings": {"x": 1}}}


def test_a_message_takes_the_place_of_data_that_is_no_queue_at_all() -> None:
    session = Session({"flash": "text"})
    assert Flash(session)("info", "a") == 1
    assert session == {"flash": {"info": ["a"]}}


# Across requests


async def test_a_message_is_read_once_by_the_next_request_that_reads() -> None:
    browser = Browser()
    await browser.visit(lambda request: request.state.flash.info("Saved"))
    await browser.visit()
    assert (await browser.visit(lambda request: request.state.flash("info"))).json() == ["Saved"]
    assert (await browser.visit(lambda request: request.state.flash("info"))).json() == []


async def test_a_message_read_by_the_request_that_queued_it_leaves_nothing() -> None:
    store = SpyStore()

    def handler(request: Request) -> Any:
        request.state.flash.info("Saved")
        return request.state.flash()

    response = await Browser(store=store).visit(handler)
    assert response.json() == {"info": ["Saved"]}
    assert (store.calls, set_cookie(response)) == ([], None)


async def test_messages_stand_in_the_payload_as_connect_flash_puts_them() -> None:
    store = SpyStore()

    def handler(request: Request) -> None:
        request.state.flash("info", ["a", None])
        request.state.flash.error("x")

    await Browser(store=store).visit(handler)
    assert json.loads((await store.only()).payload)["flash"] == {"info": ["a", None], "error": ["x"]}


async def test_a_session_that_held_messages_only_is_deleted_when_they_are_read() -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(lambda request: request.state.flash.info("Saved"))
    header = set_cookie(await browser.visit(lambda request: request.state.flash("info")))
    assert header is not None
    assert "Max-Age=0" in header
    assert await store.sids() == []


def fail(status: int) -> Any:
    def handler(request: Request) -> Response:
        request.state.flash()
        return Response(status_code=status)

    return handler


async def test_messages_drained_by_a_response_that_fails_stay_queued() -> None:
    browser = Browser()
    await browser.visit(lambda request: request.state.flash.info("Saved"))
    await browser.visit(fail(500))
    assert (await browser.visit(lambda request: request.state.flash("info"))).json() == ["Saved"]


async def test_messages_drained_by_a_handler_that_raises_stay_queued() -> None:
    browser = Browser()
    browser.raise_errors = False
    await browser.visit(lambda request: request.state.flash.info("Saved"))
    response = await browser.visit(lambda request: [*request.state.flash, 1 / 0])
    assert response.status_code == 500
    assert (await browser.visit(lambda request: request.state.flash("info"))).json() == ["Saved"]


async def test_messages_drained_by_a_response_whose_commit_failed_stay_queued() -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    await browser.visit(lambda request: request.state.flash.info("Saved"))
    store.fail("replace")
    assert (await browser.visit(lambda request: request.state.flash("info"))).status_code == 503
    store.work()
    assert (await browser.visit(lambda request: request.state.flash("info"))).json() == ["Saved"]


async def test_messages_drained_from_a_session_that_was_then_let_go_stay_queued() -> None:
    def handler(request: Request) -> None:
        request.state.flash()
        request.state.session = None

    browser = Browser()
    await browser.visit(lambda request: request.state.flash.info("Saved"))
    await browser.visit(handler)
    assert (await browser.visit(lambda request: request.state.flash("info"))).json() == ["Saved"]


async def test_messages_drained_with_a_client_error_are_drained() -> None:
    browser = Browser()
    await browser.visit(lambda request: request.state.flash.info("Saved"))
    await browser.visit(fail(404))
    assert (await browser.visit(lambda request: request.state.flash("info"))).json() == []


async def test_the_queue_is_the_sessions_own_key() -> None:
    def handler(request: Request) -> Any:
        request.state.flash.info("a")
        request.session["flash"]["info"].append("b")
        return request.state.flash("info")

    assert (await Browser().visit(handler)).json() == ["a", "b"]


async def test_a_message_appended_by_hand_reaches_the_next_request() -> None:
    def handler(request: Request) -> None:
        request.state.flash.info("a")
        request.session["flash"]["info"].append("b")

    browser = Browser()
    await browser.visit(handler)
    assert (await browser.visit(lambda request: request.state.flash("info"))).json() == ["a", "b"]


def test_repr_shows_no_messages(flash: Flash) -> None:
    flash("info", "s3cret")
    assert "s3cret" not in repr(flash) + str(flash)


async def test_what_is_done_to_a_peeked_message_is_not_done_to_the_queue() -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(flash={"info": [{"m": 1}]}))

    def handler(request: Request) -> None:
        flash = request.state.flash
        for message in (flash.peek("info")[0], flash.peek()["info"][0]):
            message["x"] = float("nan")
        request.session["a"] = 1

    await browser.visit(handler)
    assert await store.data() == {"flash": {"info": [{"m": 1}]}, "a": 1}


@pytest.mark.parametrize("category", [[], {}, 5])
def test_under_what_can_be_no_category_nothing_is_found(flash: Flash, category: Any) -> None:
    flash.info("x")
    assert (flash(category), flash.peek(category)) == ([], [])
    assert flash.peek() == {"info": ["x"]}
