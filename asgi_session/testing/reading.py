"""get(): a payload comes back as it went in, under its own id only."""

from __future__ import annotations

import pytest

from asgi_session.stores.base import Store
from asgi_session.testing.rules import LONG, Rules, payload, record, rule

ODD_IDS = {
    "one character": "a",
    "200 characters": "x" * 200,
    "dots": "..a.b..",
    "dollars": "$set.$$",
    "slashes": "/../a\\b",
    "colons": "sess:a::b",
    "braces": "{a}b{",
    "wildcards": "*?[a-z]_%",
    "quotes": "'\"`;--",
    "spaces": " a\tb\n ",
    "percent signs": "%00%2F%",
    "not ASCII": "zażółć-会话-🍪",
}


class Reading(Rules):
    async def test_the_store_is_a_store_with_a_positive_ttl(self, store: Store) -> None:
        rule(isinstance(store, Store), "a store inherits from asgi_session.Store")
        rule(store.ttl > 0, "ttl is the positive life in seconds of a record stored with expires=None")

    async def test_get_of_an_unknown_id_is_none(self, store: Store) -> None:
        rule(await store.get("unknown") is None, "get() of an unknown id returns None")

    async def test_get_gives_a_record_of_text_and_unix_seconds(self, store: Store) -> None:
        got = await self.given(store, "a", record(n=1))
        rule(type(got.payload) is str, "the payload that get() returns is a str")
        rule(type(got.expires) in (int, float), "the expiry that get() returns is a number, in Unix seconds")

    async def test_get_changes_nothing(self, store: Store) -> None:
        first = await self.given(store, "a", record(n=1))
        await self.unchanged(store, "a", first, "get() neither alters nor consumes a record")

    async def test_payloads_with_text_of_any_script_come_back_unaltered(self, store: Store) -> None:
        text = payload(name="Zażółć", 会话="🍪 עברית", zero="\u2028\u00a0", composed="\u00e9", apart="e\u0301")
        await self.kept_whole(store, text, "a payload comes back character by character, whatever script it is in")

    async def test_payloads_with_escaped_lone_surrogates_come_back_unaltered(self, store: Store) -> None:
        text = payload(n=1)[:-1] + ',"broken":"\\ud83d and \\udc00"}'
        await self.kept_whole(store, text, "a payload comes back character by character, escape sequences included")

    async def test_payloads_are_not_rewritten(self, store: Store) -> None:
        text = '{ "z" : 1.0, "a" : [1e2, 12345678901234567890], "b": "\\u0041\\/" }'
        why = "a store never interprets a payload: spaces, order and numbers come back as written"
        await self.kept_whole(store, text, why)

    async def test_a_payload_of_a_megabyte_comes_back_unaltered(self, store: Store) -> None:
        text = payload(big="0123456789abcdef" * 65536)
        await self.kept_whole(store, text, "a payload of a megabyte comes back unaltered")

    @pytest.mark.parametrize("sid", ODD_IDS.values(), ids=ODD_IDS.keys())
    async def test_any_text_is_an_id(self, store: Store, sid: str) -> None:
        first = await self.given(store, sid, record(n=1))
        rule(
            await store.replace(sid, record(n=2), expected=first) is True,
            "every operation takes any text as an id: replace()",
        )
        rule(await store.touch(sid, None) is True, "every operation takes any text as an id: touch()")
        rule((await self.found(store, sid)).payload == payload(n=2), "every operation takes any text as an id: get()")
        rule(await store.destroy(sid) is True, "every operation takes any text as an id: destroy()")
        await self.absent(store, sid, "every operation takes any text as an id: destroy()")

    async def test_similar_ids_do_not_mix(self, store: Store) -> None:
        start = "0123456789abcdef" * 8
        ids = ["abc", "ABC", "abc ", " abc", "ab", "abcd", "a.bc", "ábc", f"{start}x", f"{start}y"]
        ids += [start[:length] for length in (8, 16, 31, 32, 64, 128)]
        for sid in ids:
            rule(await store.create(sid, record(sid=sid)) is True, "ids that differ in anything are different ids")
        for sid in ids:
            rule((await self.found(store, sid)).payload == payload(sid=sid), "each id has a record of its own")

    async def test_writing_one_id_leaves_the_others_alone(self, store: Store) -> None:
        first = await self.given(store, "a", record(n=1))
        other = await self.given(store, "b", record(n=1))
        await store.replace("a", record(n=2, life=2 * LONG), expected=first)
        await self.unchanged(store, "b", other, "replace() writes no other id")
        await store.touch("a", None)
        await self.unchanged(store, "b", other, "touch() writes no other id")
        await store.destroy("a")
        await self.unchanged(store, "b", other, "destroy() deletes no other id")
