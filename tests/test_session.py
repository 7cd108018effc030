"""The session as a mapping: a real dict, so that what was written for other sessions works on it."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from starlette.requests import Request

from asgi_session import Cookie, MemoryStore, Record, Session, SessionSerializationError

from .clients import Browser, attributes, put, set_cookie
from .clock import START, Clock
from .spy_store import SpyStore

DATA: dict[str, Any] = {"user": "ada", "cart": [1, {"n": 2}], "flag": None}


def session() -> Session:
    return Session(copy.deepcopy(DATA))


# A dict


def test_it_is_a_dict() -> None:
    assert isinstance(session(), dict)
    assert isinstance(session(), MutableMapping)


@pytest.mark.parametrize(
    "read",
    [
        dict,
        lambda s: {**s},
        lambda s: s.copy(),
        lambda s: dict(s.items()),
        lambda s: dict(zip(s.keys(), s.values(), strict=True)),
        lambda s: {key: s[key] for key in s},
        lambda s: json.loads(json.dumps(s)),
        lambda s: {} | s,
        lambda s: s | {},
        lambda s: dict(reversed(list(reversed(s.items())))),
        copy.copy,
        copy.deepcopy,
        lambda s: pickle.loads(pickle.dumps(s)),  # noqa: S301
    ],
    ids=[
        *("dict()", "** unpacking", "copy()", "items()", "keys() and values()", "iteration", "json", "{} |", "| {}"),
        *("reversed()", "copy.copy", "copy.deepcopy", "pickle"),
    ],
)
def test_every_way_of_reading_gives_the_data_and_counts_as_access(read: Callable[[Session], Any]) -> None:
    one = session()
    assert not one.accessed
    assert read(one) == DATA
    assert one.accessed


LOOKS: dict[str, Callable[[Session], Any]] = {
    "[]": lambda s: s["user"],
    "get": lambda s: s.get("user"),
    "get of nothing": lambda s: s.get("nothing"),
    "in": lambda s: "user" in s,
    "len": len,
    "bool": bool,
    "list": list,
    "reversed": lambda s: list(reversed(s)),
    "keys": lambda s: s.keys(),
    "values": lambda s: s.values(),
    "items": lambda s: s.items(),
    "==": lambda s: s == {},
    "!=": lambda s: s != {},
    "id": lambda s: s.id,
    "cookie": lambda s: s.cookie,
    "is_new": lambda s: s.is_new,
    "mark_accessed": lambda s: s.mark_accessed(),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_any_look_counts_as_access_and_as_no_change(look: Callable[[Session], Any]) -> None:
    one = session()
    look(one)
    assert one.accessed
    assert not one.modified


@pytest.mark.parametrize("look", [repr, str, lambda s: s.accessed, lambda s: s.modified])
def test_looking_at_the_object_alone_is_no_access(look: Callable[[Session], Any]) -> None:
    one = session()
    look(one)
    assert not one.accessed


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: s.__setitem__("user", "bob"), {**DATA, "user": "bob"}),
        (lambda s: s.__delitem__("user"), {"cart": DATA["cart"], "flag": None}),
        (lambda s: s.pop("user"), {"cart": DATA["cart"], "flag": None}),
        (lambda s: s.popitem(), {"user": "ada", "cart": DATA["cart"]}),
        (lambda s: s.clear(), {}),
        (lambda s: s.setdefault("new", 5), {**DATA, "new": 5}),
        (lambda s: s.update({"user": "bob"}), {**DATA, "user": "bob"}),
        (lambda s: s.update([("user", "bob"), ("n", 1)]), {**DATA, "user": "bob", "n": 1}),
        (lambda s: s.update(user="bob"), {**DATA, "user": "bob"}),
        (lambda s: s.update({"n": 1}, user="bob"), {**DATA, "user": "bob", "n": 1}),
        (lambda s: s.__ior__({"user": "bob"}), {**DATA, "user": "bob"}),
        (lambda s: s.__ior__([("user", "bob")]), {**DATA, "user": "bob"}),
        (lambda s: s["cart"].append(3), {**DATA, "cart": [1, {"n": 2}, 3]}),
    ],
    ids=[
        *("[]=", "del", "pop", "popitem", "clear", "setdefault", "update(dict)", "update(pairs)", "update(kw)"),
        *("update(dict, kw)", "|= dict", "|= pairs", "in place"),
    ],
)
def test_every_way_of_writing_works_and_counts_as_a_change(
    change: Callable[[Session], Any], expected: dict[str, Any]
) -> None:
    one = session()
    change(one)
    assert one == expected
    assert (one.modified, one.accessed) == (True, True)


def test_get_gives_the_default_only_for_a_missing_key() -> None:
    one = session()
    assert (one.get("nothing"), one.get("nothing", 5), one.get("flag", 5)) == (None, 5, None)


def test_a_missing_key_is_a_key_error() -> None:
    one = session()
    for look in (lambda: one["nothing"], lambda: one.pop("nothing"), lambda: one.__delitem__("nothing")):
        with pytest.raises(KeyError):
            look()
    assert not one.modified


def test_pop_gives_the_value_or_the_default() -> None:
    one = session()
    assert (one.pop("user"), one.pop("user", None), one.pop("user", 5)) == ("ada", None, 5)


def test_popitem_takes_the_newest_and_fails_on_an_empty_session() -> None:
    one = session()
    assert [one.popitem()[0] for _ in range(3)] == ["flag", "cart", "user"]
    with pytest.raises(KeyError):
        one.popitem()


def test_setdefault_gives_what_is_there_or_what_it_put_there() -> None:
    one = session()
    assert (one.setdefault("user", "bob"), one.setdefault("n", 5), one.setdefault("x")) == ("ada", 5, None)


def test_what_setdefault_put_there_may_be_changed_in_place() -> None:
    one = session()
    one.setdefault("list", []).append(1)
    assert one["list"] == [1]


def test_a_union_is_a_plain_dict_and_leaves_the_session_as_it_was() -> None:
    one = session()
    right, left = one | {"n": 1}, {"n": 1} | one
    assert (type(right), type(left)) == (dict, dict)
    assert (right, left) == ({**DATA, "n": 1}, {"n": 1, **DATA})
    assert not one.modified


def test_a_union_in_place_keeps_the_object() -> None:
    one = same = session()
    one |= {"n": 1}
    assert one is same
    assert isinstance(one, Session)


def test_a_copy_is_a_plain_dict() -> None:
    assert type(session().copy()) is dict


def test_it_compares_as_a_dict_and_has_no_hash() -> None:
    assert session() == DATA
    assert session() == DATA
    assert session() != {}
    with pytest.raises(TypeError):
        hash(session())


def test_it_is_true_when_it_holds_something() -> None:
    assert session()
    assert not Session()


def test_keys_keep_their_order() -> None:
    one = session()
    one["user"] = "bob"
    one["new"] = 1
    assert list(one) == ["user", "cart", "flag", "new"]
    assert list(reversed(one)) == ["new", "flag", "cart", "user"]


def test_changing_it_while_looping_over_it_fails_as_for_a_dict() -> None:
    one = session()
    with pytest.raises(RuntimeError, match="changed size"):  # noqa: PT012
        for key in one:
            one[key + "2"] = 1


def test_looping_and_assigning_known_keys_works() -> None:
    one = session()
    for key, value in one.items():
        one[key] = [value]
    assert one == {key: [value] for key, value in DATA.items()}


# Members beside the keys


def test_keys_named_like_members_are_data() -> None:
    names = ["id", "save", "touch", "destroy", "is_new", "modified", "accessed", "flash_", "__class__", "items"]
    one = Session()
    for name in names:
        one[name] = name
    assert [one[name] for name in names] == names
    assert callable(one.save)
    assert one.is_new is True


def test_an_unknown_attribute_can_not_be_set_by_mistake() -> None:
    with pytest.raises(AttributeError):
        Session().user_id = 5  # type: ignore[attr-defined]


def test_mark_modified_forces_a_write() -> None:
    one = session()
    one.mark_modified()
    assert (one.modified, one.accessed) == (True, True)


def test_modified_can_be_assigned_as_on_other_sessions() -> None:
    one = Session({"a": 1})
    one.modified = False
    assert (one.modified, one.accessed) == (False, False)
    one.modified = True
    assert (one.modified, one.accessed) == (True, True)


def test_assigning_false_forgets_no_change() -> None:
    one = Session({"a": 1})
    one["a"] = 2
    one.modified = False
    assert one.modified


async def test_mark_modified_writes_an_unchanged_session() -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    store.calls.clear()
    await browser.visit(lambda request: request.state.session.mark_modified())
    assert store.calls == ["get", "replace"]


async def test_all_roads_lead_to_one_object() -> None:
    def handler(request: Request) -> bool:
        state, scope = request.state.session, request.scope["session"]
        return request.session is state is scope

    assert (await Browser().visit(handler)).json() is True


async def test_a_session_is_new_until_it_was_saved() -> None:
    seen = []

    async def handler(request: Request) -> None:
        seen.append(request.state.session.is_new)
        request.session["a"] = 1
        await request.state.session.save()
        seen.append(request.state.session.is_new)

    browser = Browser()
    await browser.visit(handler)
    await browser.visit(handler)
    assert seen == [True, False, False, False]


async def test_the_id_is_32_characters_of_base64url_and_the_key_in_the_store() -> None:
    store = SpyStore()
    ids: list[str] = []

    def handler(request: Request) -> None:
        request.session["a"] = 1
        ids.append(request.state.session.id)

    await Browser(store=store).visit(handler)
    (sid,) = await store.sids()
    assert ids == [sid]
    assert len(sid) == 32
    assert set(sid) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


async def test_the_id_stays_the_same_over_requests() -> None:
    ids: list[str] = []
    browser = Browser()
    await browser.visit(put(a=1))
    for _ in range(2):
        await browser.visit(lambda request: ids.append(request.state.session.id))
    assert len(set(ids)) == 1


# touch


async def test_a_touch_starts_the_full_age_anew_and_sends_the_cookie_whatever_touch_after_says(clock: Clock) -> None:
    store = SpyStore()
    browser = Browser(store=store, cookie=Cookie(max_age=600), touch_after=3600)
    await browser.visit(put(a=1))
    clock.advance(5)
    store.calls.clear()
    response = await browser.visit(lambda request: request.state.session.touch())
    assert store.calls == ["get", "touch"]
    assert attributes(set_cookie(response))["max-age"] == "600"
    assert (await store.only()).expires == START + 605


async def test_a_touch_of_a_browser_session_extends_its_life_in_the_store(clock: Clock) -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    clock.advance(5)
    response = await browser.visit(lambda request: request.state.session.touch())
    assert "max-age" not in attributes(set_cookie(response))
    assert (await store.only()).expires == START + 5 + store.ttl


async def test_a_touch_of_a_new_session_that_is_empty_does_nothing() -> None:
    store = SpyStore()
    assert set_cookie(await Browser(store=store).visit(lambda request: request.state.session.touch())) is None
    assert store.calls == []


async def test_a_touch_of_a_session_that_is_written_anyway_needs_no_call_of_its_own() -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    store.calls.clear()

    def handler(request: Request) -> None:
        request.state.session.touch()
        request.session["a"] = 2

    assert set_cookie(await browser.visit(handler)) is not None
    assert store.calls == ["get", "replace"]


# Keys and values


@pytest.mark.parametrize("key", [5, None, b"user", ("a",), True])
@pytest.mark.parametrize(
    "write",
    [
        lambda s, key: s.__setitem__(key, 1),
        lambda s, key: s.setdefault(key, 1),
        lambda s, key: s.update({key: 1}),
        lambda s, key: s.__ior__({key: 1}),
        lambda s, key: s.increment(key),
    ],
    ids=["[]=", "setdefault", "update", "|=", "increment"],
)
def test_a_key_that_is_no_str_is_refused(write: Callable[[Session, Any], Any], key: object) -> None:
    one = session()
    with pytest.raises(TypeError):
        write(one, key)
    assert one == DATA
    assert not one.modified


@pytest.mark.parametrize(
    "write",
    [
        lambda s: s.__setitem__("cookie", 1),
        lambda s: s.setdefault("cookie", 1),
        lambda s: s.update(cookie=1),
        lambda s: s.__ior__({"cookie": 1}),
        lambda s: s.increment("cookie"),
    ],
    ids=["[]=", "setdefault", "update", "|=", "increment"],
)
def test_the_key_cookie_is_reserved(write: Callable[[Session], Any]) -> None:
    one = session()
    with pytest.raises(ValueError, match="cookie"):
        write(one)
    assert one == DATA


@pytest.mark.parametrize(("key", "error"), [("cookie", ValueError), (5, TypeError)])
def test_one_that_is_made_by_hand_takes_no_bad_key_either(key: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Session({key: 1})


def test_it_can_be_made_of_whatever_makes_a_dict() -> None:
    one = Session((key, 1) for key in "ab")
    assert one == {"a": 1, "b": 1}
    assert not one.modified
    one["a"] = 1
    assert not one.modified


@pytest.mark.parametrize(("key", "error"), [("cookie", ValueError), (5, TypeError)])
def test_removing_what_is_not_there_makes_no_bad_key_good(key: Any, error: type[Exception]) -> None:
    one = session()
    assert one.pop(key, None) is None
    with pytest.raises(KeyError):
        del one[key]
    for write in (lambda: one.__setitem__(key, 1), lambda: one.update({key: 1}), lambda: one.increment(key)):
        with pytest.raises(error):
            write()
    assert one == DATA
    assert not one.modified


def test_a_nested_key_named_cookie_is_free() -> None:
    one = Session()
    one["a"] = {"cookie": 1}
    assert one == {"a": {"cookie": 1}}


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1.5,
        "",
        "é会😀",
        [],
        {},
        [[1], {"a": [None]}],
        2**60,
        "\ud800",
        {"deep": {"er": [1]}},
        [2**70],
        [None, -(2**63) - 1],
    ],
    ids=ascii,
)
async def test_any_json_value_comes_back_with_the_next_request(value: object) -> None:
    browser = Browser()
    await browser.visit(put(value=value))
    seen: list[Any] = []
    await browser.visit(lambda request: seen.append(request.session["value"]))
    assert seen == [value]
    assert type(seen[0]) is type(value)


async def test_a_tuple_comes_back_as_a_list_and_nested_keys_as_strings() -> None:
    browser = Browser()
    await browser.visit(put(value={2: (1, 2), None: True, True: 1.5}))
    assert await browser.read() == {"value": json.loads(json.dumps({2: (1, 2), None: True, True: 1.5}))}


@pytest.mark.parametrize(
    "value", [{1}, float("nan"), float("inf"), b"x", object(), [[{2}]], {"a": {"b": float("nan")}}, {"a": {(1, 2): 3}}]
)
async def test_what_json_can_not_hold_fails_with_its_key_before_anything_is_sent_or_saved(value: object) -> None:
    store = SpyStore()
    browser = Browser(store=store)
    with pytest.raises(SessionSerializationError, match="'bad'"):
        await browser.visit(put(good=1, bad=value))
    assert await store.sids() == []
    browser.raise_errors = False
    response = await browser.visit(put(good=1, bad=value))
    assert (response.status_code, set_cookie(response)) == (500, None)


@dataclass(frozen=True)
class Size:
    width: int


LOOKALIKES: dict[str, tuple[Any, Any]] = {
    "a set": ([1], {1}),
    "a frozenset": ([1], frozenset({1})),
    "a Decimal": (["1.5"], [Decimal("1.5")]),
    "a date": (["2030-01-02"], [date(2030, 1, 2)]),
    "a moment": (["2030-01-02T03:04:05Z"], [datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)]),
    "a UUID": (["00000000-0000-0000-0000-000000000001"], [UUID(int=1)]),
    "bytes": (["YQ=="], [b"a"]),
    "a key of some class": ({"a": 1}, {Size(1): 1}),
}


@pytest.mark.parametrize(("stored", "assigned"), LOOKALIKES.values(), ids=LOOKALIKES)
async def test_what_json_can_not_hold_fails_even_where_json_of_the_same_look_is_stored(
    stored: Any, assigned: Any
) -> None:
    browser = Browser()
    await browser.visit(put(bad=stored))
    with pytest.raises(SessionSerializationError, match="'bad'"):
        await browser.visit(put(bad=assigned))
    assert await browser.read() == {"bad": stored}


@pytest.mark.parametrize("mark", [False, True], ids=["nothing else changed", "something else changed"])
@pytest.mark.parametrize(
    ("stored", "put_there"), [LOOKALIKES[name] for name in ("a set", "a Decimal", "a date", "a UUID")]
)
async def test_put_inside_of_what_was_loaded_it_is_no_change(stored: Any, put_there: Any, mark: bool) -> None:
    browser = Browser()
    await browser.visit(put(outer={"inner": stored}))

    def handler(request: Request) -> None:
        request.session["outer"]["inner"] = put_there
        if mark:
            request.session["other"] = 1

    await browser.visit(handler)
    assert await browser.read() == {"outer": {"inner": stored}} | ({"other": 1} if mark else {})


async def test_a_value_that_fails_leaves_the_stored_session_as_it_was() -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    before = await store.only()
    with pytest.raises(SessionSerializationError):
        await browser.visit(put(a=2, bad={1}))
    assert await store.only() == before


async def test_a_value_put_in_place_that_json_can_not_hold_fails_likewise() -> None:
    browser = Browser()
    await browser.visit(put(cart=[]))
    with pytest.raises(SessionSerializationError, match="'cart'"):
        await browser.visit(lambda request: request.session["cart"].append({1}))
    assert await browser.read() == {"cart": []}


async def test_a_key_that_json_can_not_hold_put_in_place_fails_likewise() -> None:
    browser = Browser()
    await browser.visit(put(stock={}))
    with pytest.raises(SessionSerializationError, match="'stock'"):
        await browser.visit(lambda request: request.session["stock"].update({Size(1): 2}))
    assert await browser.read() == {"stock": {}}


async def test_the_error_does_not_tell_the_value() -> None:
    with pytest.raises(SessionSerializationError) as caught:
        await Browser().visit(put(bad=[{"s3cret"}]))
    assert "s3cret" not in str(caught.value)


async def test_a_session_put_into_itself_fails_with_its_key() -> None:
    with pytest.raises(SessionSerializationError, match="'me'"):
        await Browser().visit(lambda request: request.session.update(me=request.session))


@pytest.mark.parametrize("depth", [10, 200, 255, 256, 257, 300, 900, 100_000])
async def test_a_session_that_another_program_stored_can_be_read_or_counts_as_missing(depth: int) -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    (sid,) = await store.sids()
    await store.inner.destroy(sid)
    await store.inner.create(sid, Record(f'{{"cookie":{{}},"deep":{"[" * depth}{"]" * depth}}}', None))
    response = await browser.visit(lambda request: request.session.get("deep") and None)
    assert (response.status_code, set_cookie(response)) == (200, None)
    response = await browser.visit(put(b=2))
    assert response.status_code == 200


async def test_an_unserialisable_value_taken_out_again_does_no_harm() -> None:
    def handler(request: Request) -> None:
        request.session["bad"] = {1}
        del request.session["bad"]
        request.session["good"] = 1

    browser = Browser()
    await browser.visit(handler)
    assert await browser.read() == {"good": 1}


# A session made empty


async def test_a_session_that_a_request_made_empty_is_deleted_with_its_cookie() -> None:
    store = SpyStore()
    browser = Browser(store=store)
    await browser.visit(put(a=1))
    header = set_cookie(await browser.visit(lambda request: request.session.clear()))
    assert header is not None
    assert "Max-Age=0" in header
    assert await store.sids() == []


async def test_with_save_uninitialized_it_is_kept_empty() -> None:
    store = SpyStore()
    browser = Browser(store=store, save_uninitialized=True)
    await browser.visit(put(a=1))
    assert set_cookie(await browser.visit(lambda request: request.session.clear())) is None
    assert await store.data() == {}


async def test_merely_reading_an_empty_stored_session_changes_nothing() -> None:
    store = SpyStore()
    browser = Browser(store=store, save_uninitialized=True)
    await browser.visit()
    plain = Browser(store=store)
    plain.cookies = browser.cookies
    store.calls.clear()
    assert set_cookie(await plain.visit(lambda request: dict(request.session))) is None
    assert store.calls == ["get"]


async def test_a_session_emptied_and_filled_again_is_kept() -> None:
    def handler(request: Request) -> None:
        request.session.clear()
        request.session["b"] = 2

    browser = Browser()
    await browser.visit(put(a=1))
    await browser.visit(handler)
    assert await browser.read() == {"b": 2}


# What it shows and what leaves the process


def test_repr_shows_neither_data_nor_id() -> None:
    one = Session({"s3cret-key": "s3cret-value"})
    shown = repr(one) + str(one) + f"{one} {one!r} {one!s}" + repr(one.cookie)
    assert "s3cret" not in shown
    assert one.id not in shown


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, lambda s: pickle.loads(pickle.dumps(s))])  # noqa: S301
async def test_copying_in_a_request_takes_the_data_not_the_store(copied: Callable[[Any], Any]) -> None:
    copies: list[dict[str, Any]] = []
    browser = Browser(store=MemoryStore())
    await browser.visit(put(a=[1]))
    await browser.visit(lambda request: copies.append(copied(request.session)))
    assert copies == [{"a": [1]}]
    assert type(copies[0]) is dict


async def test_changing_a_deep_copy_does_not_change_the_session() -> None:
    browser = Browser()
    await browser.visit(put(a=[1]))
    await browser.visit(lambda request: copy.deepcopy(request.session)["a"].append(2))
    assert await browser.read() == {"a": [1]}


async def test_every_protocol_of_pickle_works() -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(session(), protocol)) == DATA  # noqa: S301


def test_update_takes_any_keyword() -> None:
    one = Session()
    one.update(self=1, key=2, args=3)
    assert one == {"self": 1, "key": 2, "args": 3}
