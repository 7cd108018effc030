"""``python -m asgi_session doctor``: what it finds in a payload, and the command line on real servers."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from pymongo import MongoClient

from asgi_session import Record
from asgi_session.__main__ import main
from asgi_session.doctor import (
    SESSION_MEMBERS,
    Finding,
    examine,
    examine_for_connect_mongo,
    examine_for_document,
    examine_for_update,
    look_through,
)
from asgi_session.signing import CookieSigner
from tests.interop.node import installed
from tests.servers.mongo import MongoServer
from tests.servers.process import Server, free_port
from tests.spy_store import SpyStore
from tests.test_json_text import nested

VECTORS = Path(__file__).parent / "vectors"
COOKIE = {"originalMaxAge": None, "expires": None, "httpOnly": True, "path": "/"}


def text(cookie: Any = COOKIE, **data: Any) -> str:
    """A payload."""
    return json.dumps({"cookie": cookie, **data}, separators=(",", ":"))


def kinds(payload: str) -> set[str]:
    """The kinds of what is found in a payload."""
    return {finding.kind for finding in examine(payload)}


# What is found


def express_payloads() -> list[str]:
    rows = json.loads((VECTORS / "mongo.json").read_text(encoding="utf-8"))["documents"]
    return [row["payload"] for row in rows]


@pytest.mark.parametrize("payload", express_payloads())
def test_nothing_is_found_in_what_express_stored(payload: str) -> None:
    assert list(examine(payload)) == []


@pytest.mark.parametrize(
    "payload",
    [
        text(),
        text(a=[1, 2.5, -0.0, 1e21, 2**53, True, None, "é🍵", {"cookie": {}, "id": 1}]),
        text({"originalMaxAge": 60000, "expires": "2030-01-02T03:05:05.678Z"}),
        text({"originalMaxAge": False, "expires": False}),
        text({}),
        text(flash={}),
        text(flash={"info": ["hi", {"n": 1}], "error": []}),
        text(passport={"user": 7}),
    ],
)
def test_nothing_is_found_in_an_ordinary_session(payload: str) -> None:
    assert list(examine(payload)) == []


TOO_DEEP = f'{{"cookie":{{}},"a":{"[" * 300}{"]" * 300}}}'


@pytest.mark.parametrize("payload", ["", "[]", '"text"', "{", '{"cookie":{},"a":NaN}', "[" * 100_000, TOO_DEEP])
def test_what_is_no_json_object_is_found(payload: str) -> None:
    assert [kind.partition(",")[0] for kind in kinds(payload)] == ["no JSON object"]


@pytest.mark.parametrize("key", ["id", "req", "save", "touch", "regenerate", "toString", "constructor", "__proto__"])
def test_a_key_that_express_drops_is_found(key: str) -> None:
    assert list(examine(text(**{key: 1}))) == [Finding("Express drops the key when it loads the session", key)]


@pytest.mark.parametrize("number", [2**53 + 1, -(2**53) - 1, 2**60, 1288834974657 << 22, 10**20 + 2**16, 2**80 + 1])
def test_an_integer_that_express_rounds_is_found_at_any_depth(number: int) -> None:
    findings = list(examine(text(order={"ids": [1, number]})))
    assert findings == [Finding("holds an integer beyond 2**53, which Express rounds", "order")]


@pytest.mark.parametrize("number", [10**20, -(2**53), 1152921504606847000, 10**21, 2**80, 10**22])
def test_an_integer_that_javascript_writes_with_its_own_digits_is_no_finding(number: int) -> None:
    assert list(examine(text(a=number))) == []


@pytest.mark.parametrize("number", [10**400, -(10**400), 10**4200])
def test_an_integer_too_large_for_javascript_is_found(number: int) -> None:
    findings = list(examine(text(order={"ids": [1, number]})))
    assert findings == [Finding("holds an integer too large for JavaScript, which becomes null there", "order")]


def test_of_several_integers_each_kind_is_found_once() -> None:
    assert len(list(examine(text(a=[2**53 + 1, 10**400, 2**60, 10**401])))) == 2


@pytest.mark.parametrize("digits", ["1e999", "-1e999", "9" * 5000])
def test_a_number_that_nobody_can_read_is_found(digits: str) -> None:
    findings = list(examine(f'{{"cookie":{{}},"n":{digits}}}'))
    assert findings == [Finding("holds a number too large to be read, which becomes null on both sides", "n")]


def test_a_nested_proto_is_found() -> None:
    (finding,) = examine(text(a=[{"b": {"__proto__": {}}}]))
    assert finding.key == "a"
    assert "__proto__" in finding.kind


@pytest.mark.parametrize(
    ("cookie", "kind"),
    [
        (None, "the cookie is no object"),
        ("text", "the cookie is no object"),
        ({"originalMaxAge": 1000, "expires": "soon"}, "the cookie's expires is no date"),
        ({"originalMaxAge": "1000", "expires": None}, "the cookie's originalMaxAge is no age in milliseconds"),
        ({"originalMaxAge": -1, "expires": None}, "the cookie's originalMaxAge is no age in milliseconds"),
        ({"expires": "2030-01-02T03:05:05.678Z"}, "the cookie has expires but no originalMaxAge"),
        ({"originalMaxAge": 1000, "expires": None}, "the cookie has originalMaxAge but no expires"),
    ],
)
def test_a_cookie_that_is_not_understood_is_found(cookie: Any, kind: str) -> None:
    assert [found.partition(":")[0] for found in kinds(text(cookie))] == [kind]


def test_a_session_without_a_cookie_is_found() -> None:
    assert [kind.partition(":")[0] for kind in kinds('{"a":1}')] == ["no cookie"]


@pytest.mark.parametrize("flash", ["text", ["list"], {"info": "text"}, 7])
def test_a_flash_that_is_no_queue_is_found(flash: Any) -> None:
    (finding,) = examine(text(flash=flash))
    assert finding.key == "flash"
    assert finding.kind.startswith("is no queue of flash messages")


def test_a_flash_category_that_breaks_connect_flash_is_found() -> None:
    assert kinds(text(flash={"constructor": ["hi"]})) == {"has a category that connect-flash stumbles over"}


def test_the_key_that_connect_mongo_removes_is_found() -> None:
    assert [finding.key for finding in examine_for_connect_mongo(text(lastModified=1))] == ["lastModified"]
    assert list(examine_for_connect_mongo(text(a=1))) == []


def test_what_is_too_large_for_an_update_in_mongodb_is_found() -> None:
    assert list(examine_for_update(text(a="x" * 8_300_000))) == []
    assert len(list(examine_for_update(text(a="x" * 8_400_000)))) == 1


@pytest.mark.parametrize("data", [{"a": "\ud800"}, {"a": 2**64 + 1}, {"a\0b": 1}, {"a": nested(160)}])
def test_what_a_document_can_not_hold_is_found(data: dict[str, Any]) -> None:
    assert len(list(examine_for_document(text(**data)))) == 1
    assert list(examine_for_document(text(a={"$x.y": "é"}))) == []


ROUND_TRIP = """
const { Store } = require("express-session");
const payloads = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const answers = payloads.map((text) => {
  const req = { sessionID: "x" };
  try {
    new Store().createSession(req, JSON.parse(text));
    return JSON.stringify(req.session);
  } catch {
    return null;
  }
});
process.stdout.write(JSON.stringify(answers));
"""

MEETS_EXPRESS = [
    text(a=1),
    text(a=[1.0, 0.1, 1e21, 2**53, 2**53 + 2, -0.0], b={"10": 1, "2": {"id": 1, "save": 2, "cookie": 3}}),
    text(a="\ud800", **{"": None, "é🍵": True, "flash": {"info": ["hi"]}, "prototype": 1, "__proto": 2, "on": 3}),
    *(text(a=number) for number in (2**53 + 1, [-(2**53) - 1], {"b": 10**400}, 12345678901234567890)),
    *(text(a=number) for number in (2**60, 1152921504606847000, 10**20, 10**20 + 2**16, 10**21, 2**80, -(2**63))),
    *(text(**{key: {"a": 1}}) for key in sorted(SESSION_MEMBERS)),
    '{"a":1}',
    '{"cookie":null,"a":1}',
]


def test_what_is_said_of_express_is_what_express_does() -> None:
    node = installed()
    done = subprocess.run(
        [node.node, "-e", ROUND_TRIP],
        input=json.dumps(MEETS_EXPRESS),
        capture_output=True,
        text=True,
        check=True,
        env={"NODE_PATH": str(node.modules), "NODE_ENV": "production"},
    )
    for before, after in zip(MEETS_EXPRESS, json.loads(done.stdout), strict=True):
        data = {key: value for key, value in json.loads(before).items() if key != "cookie"}
        survives = after is not None and {key: json.loads(after).get(key) for key in data} == data
        assert survives == (not list(examine(before))), before


# The command line


@pytest.fixture
def mongo(mongo_standalone: MongoServer) -> Iterator[Any]:
    """An empty database of this test's."""
    with MongoClient[dict[str, Any]](mongo_standalone.url) as client:
        database = client["doctor_" + uuid.uuid4().hex]
        yield database
        client.drop_database(database)


@pytest.fixture
def mongo_store(mongo: Any, mongo_standalone: MongoServer) -> str:
    """The URL of that database."""
    return mongo_standalone.database_url(mongo.name)


@pytest.fixture
def keys(valkey_server: Server) -> Iterator[redis.Redis]:
    """A Redis database that nobody else uses, empty."""
    with redis.Redis(port=valkey_server.port, db=11) as client:
        client.flushdb()
        yield client
        client.flushdb()


@pytest.fixture
def redis_store(keys: redis.Redis, valkey_server: Server) -> str:
    """The URL of that database."""
    return f"redis://127.0.0.1:{valkey_server.port}/11"


def put(collection: Any, sid: str, session: Any, seconds: float = 3600) -> None:
    """Store a session as connect-mongo does."""
    expires = datetime.now(UTC) + timedelta(seconds=seconds)
    collection.insert_one({"_id": sid, "expires": expires, "session": session})


def doctor(*arguments: str) -> int:
    """Run the command line in this process."""
    return main(["doctor", *arguments])


def as_module(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "asgi_session", "doctor", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])


def test_it_finds_nothing_in_a_healthy_collection(
    mongo: Any, mongo_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    put(mongo.sessions, "one", text(a=1))
    put(mongo.documents, "two", {"cookie": COOKIE, "document": True, "since": datetime.now(UTC)})
    assert doctor("--store", mongo_store) == 0
    assert doctor("--store", mongo_store, "--collection", "documents", "--no-stringify") == 0
    assert capsys.readouterr().out.count("Sessions read: 1.") == 2


@pytest.mark.parametrize(
    ("option", "found"),
    [
        ("--stringify", "is kept as a sub-document, which connect-mongo can't read"),
        ("--no-stringify", "is kept as text, which connect-mongo can't read"),
    ],
)
def test_it_finds_sessions_that_are_kept_in_the_other_form(
    option: str, found: str, mongo: Any, mongo_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    put(mongo.sessions, "one", text(a=1))
    put(mongo.sessions, "two", {"cookie": COOKIE, "a": 1})
    assert doctor("--store", mongo_store, option) == 1
    out = capsys.readouterr().out
    assert "Sessions that would not survive unharmed: 1." in out
    assert f"1  {found} with the option given here ({option})" in out


def test_it_finds_nothing_in_healthy_redis_keys(
    keys: redis.Redis, redis_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    keys.set("sess:one", text(a=1), ex=60)
    keys.set("other:two", "no session")
    assert doctor("--store", redis_store) == 0
    assert "Sessions read: 1." in capsys.readouterr().out


def test_it_names_keys_and_counts_but_neither_values_nor_ids(
    mongo: Any, mongo_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    put(mongo.sessions, "first-sid", text(save="private", id=1))
    put(mongo.sessions, "second-sid", text(save="private"))
    assert doctor("--store", mongo_store) == 1
    out = capsys.readouterr().out
    assert "Sessions that would not survive unharmed: 2." in out
    assert "3  Express drops the key when it loads the session\n          'save' (2), 'id' (1)" in out
    assert "private" not in out
    assert "-sid" not in out


def test_a_session_key_can_not_play_tricks_on_a_terminal(
    keys: redis.Redis, redis_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    keys.set("sess:one", text(**{"\x1b[2J\u202e": 2**60 + 1, "x" * 500: 2**60 + 1}), ex=60)
    assert doctor("--store", redis_store) == 1
    out = capsys.readouterr().out
    assert out.isascii()
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) < 120


def mongo_dump(client: Any, database: str) -> Any:
    """Everything in a database: documents, indexes, options."""
    return {
        name: (list(client[database][name].find().sort("_id")), client[database][name].index_information())
        for name in sorted(client[database].list_collection_names())
    }


@pytest.mark.parametrize("options", [[], ["--no-stringify"]])
def test_it_writes_nothing_into_mongodb_not_even_the_index(mongo: Any, mongo_store: str, options: list[str]) -> None:
    put(mongo.sessions, "live", text(id=1))
    put(mongo.sessions, "document", {"cookie": COOKIE, "save": 1})
    put(mongo.sessions, "expired", text(a=1), seconds=-3600)
    mongo.sessions.insert_one({"_id": "immortal", "session": "no JSON"})
    before = mongo_dump(mongo.client, mongo.name)
    assert doctor("--store", mongo_store, *options) == 1
    assert mongo_dump(mongo.client, mongo.name) == before
    assert list(before) == ["sessions"]
    assert list(before["sessions"][1]) == ["_id_"]


def test_it_makes_no_collection_where_there_is_none(
    mongo: Any, mongo_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor("--store", mongo_store, "--collection", "nowhere") == 2
    assert "no live session was found" in capsys.readouterr().err
    assert mongo.list_collection_names() == []


def test_it_writes_nothing_into_redis(keys: redis.Redis, redis_store: str) -> None:
    keys.set("sess:live", text(id=1), ex=1000)
    keys.set("sess:immortal", text(a=1))
    keys.set("sess:broken", "no JSON", ex=1000)
    keys.rpush("sess:list", "a", "b")
    keys.set("other", "x")

    def dump() -> Any:
        found: Any = sorted(keys.scan_iter())
        return [(key, keys.dump(key), keys.pexpiretime(key)) for key in found]

    before = dump()
    assert len(before) == 5
    assert doctor("--store", redis_store) == 1
    assert dump() == before


def test_it_passes_over_what_has_expired(mongo: Any, mongo_store: str, capsys: pytest.CaptureFixture[str]) -> None:
    put(mongo.sessions, "live", text(a=1))
    put(mongo.sessions, "expired", "no JSON", seconds=-3600)
    assert doctor("--store", mongo_store) == 0
    assert "Sessions read: 1." in capsys.readouterr().out


class Cursors(SpyStore):
    """A store whose list of ids is open on a server until it is closed."""

    async def ids(self) -> AsyncIterator[str]:
        self.calls.append("open")
        try:
            for sid in await self.sids():
                yield sid
        finally:
            await asyncio.sleep(0)
            self.calls.append("close")


async def test_the_list_of_ids_is_closed_when_the_sample_is_read() -> None:
    store = Cursors()
    for sid in ("a", "b", "c"):
        await store.inner.create(sid, Record(text(), None))
    report = await look_through(store, 2)
    assert report.read == 2
    assert store.calls == ["open", "get", "get", "close"]


@pytest.mark.parametrize(("sample", "read"), [("1", 1), ("3", 3), ("1000", 5)])
def test_it_reads_no_more_than_the_sample(
    keys: redis.Redis, redis_store: str, sample: str, read: int, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(5):
        keys.set(f"sess:{number}", text(a=number), ex=60)
    assert doctor("--store", redis_store, "--sample", sample) == 0
    assert f"Sessions read: {read}." in capsys.readouterr().out


def test_it_looks_where_collection_and_prefix_say(
    mongo: Any, mongo_store: str, keys: redis.Redis, redis_store: str
) -> None:
    put(mongo.visitors, "one", text(a=1))
    keys.set("visitor:one", text(a=1), ex=60)
    assert doctor("--store", mongo_store, "--collection", "visitors") == 0
    assert doctor("--store", redis_store, "--prefix", "visitor:") == 0
    assert doctor("--store", redis_store) == 2


def test_without_stringify_it_reports_what_a_document_can_not_hold(mongo: Any, mongo_store: str) -> None:
    put(mongo.sessions, "one", text(a="\ud800"))
    assert doctor("--store", mongo_store) == 0
    assert doctor("--store", mongo_store, "--no-stringify") == 1


def test_a_key_that_holds_no_string_is_found(
    keys: redis.Redis, redis_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    keys.rpush("sess:one", "a")
    keys.set("sess:two", text(a=1), ex=60)
    assert doctor("--store", redis_store) == 1
    assert "1  can't be read: the store fails on it" in capsys.readouterr().out


def test_a_value_that_is_no_text_is_found(
    keys: redis.Redis, redis_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    keys.set("sess:one", b"\xff\xfe", ex=60)
    keys.set("sess:two", text(a=1), ex=60)
    assert doctor("--store", redis_store) == 1
    assert "1  is no UTF-8, or a document that can't be decoded" in capsys.readouterr().out


async def test_a_session_that_ended_meanwhile_is_counted_apart() -> None:
    store = SpyStore()
    for sid in ("a", "b"):
        await store.inner.create(sid, Record(text(), None))

    async def end_it() -> None:
        await store.inner.destroy("a")

    store.before["get"] = end_it
    report = await look_through(store, 10)
    assert (report.read, report.harmed, report.missed) == (1, 0, 1)


# What it can't answer


@pytest.mark.parametrize(
    "url",
    ["mongodb://user:hidden@127.0.0.1:{port}/db?serverSelectionTimeoutMS=100", "redis://:hidden@127.0.0.1:{port}"],
)
def test_a_server_that_is_not_there_is_no_answer_and_no_leak(url: str) -> None:
    # In a process of its own: PyMongo forgets a socket when it is closed while it tries to connect.
    done = as_module("--store", url.format(port=free_port()))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("asgi_session doctor: ")
    assert len(done.stderr.splitlines()) == 1
    assert "hidden" not in done.stderr


@pytest.mark.parametrize("url", ["mongodb://user:hidden@", "redis://:hidden@host:port", "http://hidden", "hidden"])
def test_a_url_that_no_store_takes_is_no_answer_and_no_leak(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor("--store", url) == 2
    assert "hidden" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--store", "redis://x", "--cookie", "s%3Ahidden.signature"],
        ["--store", "redis://x", "--cookie=s%3Ahidden.signature"],
        ["--store", "redis://x", "redis://:hidden@host"],
        ["redis://:hidden@host"],
        ["--st=redis://:hidden@host"],
        ["--store", "redis://x", "a\nhidden"],
    ],
)
def test_what_strayed_into_the_command_line_is_not_repeated(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        doctor(*arguments)
    assert ended.value.code == 2
    assert "hidden" not in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["hidden", *arguments])
    assert "hidden" not in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--store"], ["--store", "redis://x", "--sample", "0"], ["--what"]])
def test_a_wrong_command_line_is_no_answer(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        doctor(*arguments)
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("url", "extra", "drivers"),
    [
        ("mongodb://127.0.0.1", "mongo", ["pymongo", "asgi_session.stores.mongo"]),
        ("redis://127.0.0.1", "redis", ["redis.asyncio", "valkey.asyncio"]),
    ],
)
def test_a_missing_driver_is_named_by_its_extra(
    url: str, extra: str, drivers: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for driver in drivers:
        monkeypatch.setitem(sys.modules, driver, None)
    assert doctor("--store", url) == 2
    assert f"asgi-session[{extra}]" in capsys.readouterr().err


# The cookie

SECRET = "a secret of the doctor's tests, long enough"


@pytest.fixture
def one_session(keys: redis.Redis, redis_store: str) -> str:
    """A store with one healthy session, "known"."""
    keys.set("sess:known", text(a=1), ex=60)
    return redis_store


def paste(monkeypatch: pytest.MonkeyPatch, cookie: str | bytes, secret: str | None = SECRET) -> None:
    """Put a cookie on standard input and a secret into the environment."""
    line = (cookie if isinstance(cookie, bytes) else cookie.encode()) + b"\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(line), "utf-8"))
    if secret is None:
        monkeypatch.delenv("SESSION_SECRET", raising=False)
    else:
        monkeypatch.setenv("SESSION_SECRET", secret)


PASTED = [
    "{}",
    "connect.sid={}",
    '"{}"',
    "Cookie: connect.sid={}; theme=dark",
    "Cookie: theme=dark; connect.sid={}",
    "Set-Cookie: connect.sid={}; Path=/; HttpOnly",
]


@pytest.mark.parametrize("pasted", PASTED)
def test_a_cookie_of_a_live_session_is_recognised(
    one_session: str, pasted: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paste(monkeypatch, pasted.format(CookieSigner([SECRET.encode()]).sign("known")))
    assert doctor("--store", one_session, "--cookie") == 0
    out = capsys.readouterr().out
    assert "is signed with SESSION_SECRET" in out
    assert "is live" in out
    assert "known" not in out


def test_a_cookie_of_another_secret_is_recognised(
    one_session: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paste(monkeypatch, CookieSigner([b"another"]).sign("known"))
    assert doctor("--store", one_session, "--cookie") == 1
    assert "is not signed with SESSION_SECRET" in capsys.readouterr().out


@pytest.mark.parametrize("secret", [SECRET, "\udcff"])
def test_what_is_no_text_at_all_is_a_cookie_that_is_not_signed(
    one_session: str, secret: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paste(monkeypatch, b"connect.sid=s%3Aknown.\xff", secret)
    assert doctor("--store", one_session, "--cookie") == 1
    assert "is not signed with SESSION_SECRET" in capsys.readouterr().out


def test_a_cookie_of_a_session_that_is_not_in_the_store_is_recognised(
    one_session: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paste(monkeypatch, CookieSigner([SECRET.encode()]).sign("unknown"))
    assert doctor("--store", one_session, "--cookie") == 1
    assert "is not in this store" in capsys.readouterr().out


@pytest.mark.parametrize("pasted", ["", "known", "theme=dark"])
def test_what_is_no_signed_cookie_is_called_so(
    one_session: str, pasted: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paste(monkeypatch, pasted)
    assert doctor("--store", one_session, "--cookie") == 1
    assert "no signed cookie" in capsys.readouterr().out


@pytest.mark.parametrize(
    "how", [">&-", "--cookie <&-", ">/dev/full", "| true", "| head -c 0"], ids=lambda how: how.strip("|")
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_report_that_can_not_be_written_is_no_answer(one_session: str, how: str, unbuffered: str) -> None:
    command = f"{sys.executable} -m asgi_session doctor --store {one_session} {how}; exit ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered, "SESSION_SECRET": SECRET}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, env=environment)
    # A reader that has not gone yet when the report is written is told everything.
    assert done.returncode == 2 or (how.startswith("|") and done.returncode == 0)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_cookie_without_a_secret_is_no_answer(
    one_session: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paste(monkeypatch, "s%3Aknown.x", secret=None)
    assert doctor("--store", one_session, "--cookie") == 2
    assert "SESSION_SECRET" in capsys.readouterr().err


WAITING = """
import signal, sys
from asgi_session import Record
from asgi_session.__main__ import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background inherit that it is ignored

class Stdin:
    def readline(self):
        print("waiting", flush=True)
        return sys.__stdin__.buffer.readline()

sys.stdin = Stdin()
sys.stdin.buffer = sys.stdin
sys.exit(main())
"""
"""Says when it waits for the cookie."""


def test_ctrl_c_while_it_waits_for_the_cookie_ends_it_at_once_and_quietly(redis_store: str) -> None:
    command = [sys.executable, "-c", WAITING, "doctor", "--store", redis_store, "--cookie"]
    environment = {**os.environ, "SESSION_SECRET": SECRET}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, cwd=Path(__file__).parents[1]
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"waiting\n"
        process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=10)
        finally:
            process.kill()
    assert (process.returncode, out, err) == (130, b"", b"")


def test_it_runs_as_a_module(one_session: str) -> None:
    done = as_module("--store", one_session)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Sessions read: 1. Nothing was written." in done.stdout
