"""The README and the pages: their Python examples run, their links lead somewhere, their tables tell the truth."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

import asgi_session
from asgi_session import Cookie, Record, SessionMiddleware, Store, StoreError
from asgi_session.__main__ import main
from asgi_session.doctor import SESSION_MEMBERS
from tests.servers.mongo import MongoServer
from tests.servers.process import Server

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
IDS = [path.relative_to(ROOT).as_posix() for path in PAGES]

Namespace = dict[str, Any]


class Block(NamedTuple):
    """One fenced block of a page."""

    language: str
    text: str
    line: int
    """Where its text begins, from 1."""


def blocks_of(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    lines = page.read_text(encoding="utf-8").split("\n")
    opening: int | None = None
    for number, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if opening is None:
            opening = number
        else:
            text = "\n".join(lines[opening + 1 : number]) + "\n"
            yield Block(lines[opening][3:].strip(), text, opening + 2)
            opening = None
    assert opening is None, f"{page.name}: a block that does not end"


def python_of(page: Path) -> list[Block]:
    """The Python examples of a page."""
    return [block for block in blocks_of(page) if block.language == "python"]


def at_home(text: str, request: pytest.FixtureRequest) -> str:
    """An example with the tests' own servers in place of those on localhost."""
    if "mongodb://localhost" in text:
        mongo: MongoServer = request.getfixturevalue("mongo_standalone")
        text = re.sub(r"mongodb://localhost(:27017)?", f"mongodb://127.0.0.1:{mongo.port}", text)
    if "redis://localhost" in text:
        redis: Server = request.getfixturevalue("valkey_server")
        text = re.sub(r"redis://localhost(:6379)?", f"redis://127.0.0.1:{redis.port}", text)
    return text


def run(page: Path, request: pytest.FixtureRequest) -> Namespace:
    """Run a page's examples in order, in one namespace, and return that."""
    request.getfixturevalue("environment")
    namespace: Namespace = {"__name__": f"docs.{page.stem}"}
    for block in python_of(page):
        # Blank lines in front, so that a traceback names the line of the page.
        text = "\n" * (block.line - 1) + at_home(block.text, request)
        exec(compile(text, str(page), "exec", dont_inherit=True), namespace)  # noqa: S102
    return namespace


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the examples expect of the environment."""
    monkeypatch.setenv("SESSION_SECRET", "a secret for the documentation's examples")
    monkeypatch.setenv("OLD_SESSION_SECRET", "an older secret for the documentation's examples")


# Examples


@pytest.mark.parametrize("page", [page for page in PAGES if python_of(page)], ids=lambda page: page.name)
async def test_the_examples_of_a_page_run(page: Path, request: pytest.FixtureRequest) -> None:
    assert len(run(page, request)) > 2


def test_there_are_examples_on_the_pages_that_show_how() -> None:
    with_examples = {page.name for page in PAGES if python_of(page)}
    assert with_examples >= {
        *("README.md", "index.md", "session.md", "flash.md", "stores.md", "security.md", "migrating-from-express.md")
    }


@asynccontextmanager
async def visitor(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client on this event loop, to which a database's client is bound."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver") as client:
        yield client


async def test_the_readmes_application_counts_and_flashes(request: pytest.FixtureRequest) -> None:
    readme = run(ROOT / "README.md", request)
    async with readme["store"] as store, visitor(readme["app"]) as client:
        assert (await client.get("/viewcount")).json() == {"views": 1, "messages": {}}
        assert (await client.get("/viewcount")).json() == {"views": 2, "messages": {}}
        await store.clear()


@pytest.fixture
def guide(request: pytest.FixtureRequest) -> Namespace:
    """What the guide's examples define."""
    return run(ROOT / "docs/index.md", request)


@pytest.mark.parametrize("app", ["app", "starlette_app"])
def test_the_guides_first_applications_count(guide: Namespace, app: str) -> None:
    with TestClient(guide[app]) as client:
        assert "1 times" in client.get("/viewcount").text
        assert "2 times" in client.get("/viewcount").text


def test_the_guides_pages_send_visitors_to_the_form_with_a_message(guide: Namespace) -> None:
    with TestClient(guide["app"], follow_redirects=False) as client:
        answer = client.get("/orders")
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        assert client.get("/profile").json() == {"messages": [{"category": "info", "text": "Please sign in first"}]}
        client.post("/sign-in", json={"name": "Ada", "password": "correct horse battery staple"})
        assert client.get("/orders").json() == {"user_id": 7}


async def test_the_guides_own_page_stands_in_for_a_503(guide: Namespace) -> None:
    async def endpoint(request: Request) -> None:
        raise StoreError("it hangs")

    guide["patient_app"].add_route("/", endpoint)
    async with visitor(guide["patient_app"]) as client:
        answer = await client.get("/")
        assert (answer.status_code, answer.text, answer.headers["retry-after"]) == (503, "Back in a moment.", "5")


def test_the_guides_cart_fills_and_its_counter_counts(guide: Namespace) -> None:
    with TestClient(guide["app"]) as client:
        client.post("/cart/tea")
        assert client.post("/cart/tea").json() == {"tea": 2}
        assert [client.post("/like").json()["likes"] for _ in range(2)] == [1, 2]


def test_the_guide_remembers_for_a_month(guide: Namespace) -> None:
    with TestClient(guide["app"]) as client:
        client.post("/like")
        remembered = client.post("/remember-me", params={"remember": True})
        assert remembered.json() == {"seconds": 30 * 86400}
        assert f"Max-Age={30 * 86400}" in remembered.headers["set-cookie"]


def test_the_guides_message_survives_the_redirect_once(guide: Namespace) -> None:
    with TestClient(guide["app"]) as client:
        assert client.post("/profile").json() == {"messages": [{"category": "success", "text": "Profile saved"}]}
        assert client.get("/profile").json() == {"messages": []}


def test_the_guides_template_shows_session_and_flash(guide: Namespace, tmp_path: Path) -> None:
    shown = next(block.text for block in blocks_of(ROOT / "docs/index.md") if block.language == "html")
    (tmp_path / "page.html").write_text(shown, encoding="utf-8")
    app, templates = guide["app"], guide["templates"]
    templates.env.loader.searchpath[:] = [str(tmp_path)]

    def page(request: Request) -> Response:
        response: Response = templates.TemplateResponse(request, "page.html")
        return response

    app.add_route("/page", page)
    with TestClient(app) as client:
        client.post("/sign-in", json={"name": "<Ada>", "password": "correct horse battery staple"})
        assert '<p class="success">Welcome, &lt;Ada&gt;</p>' in client.get("/page").text
        assert "Sign out" in client.get("/page").text


def test_the_guides_session_on_demand_is_read_where_it_is_asked_for(guide: Namespace) -> None:
    with TestClient(guide["lazy_app"]) as client:
        assert client.get("/greet").text == "Hello"
        assert client.get("/logo").text == "no session was read for this"


def test_the_guides_websocket_serves_users_until_they_sign_out(guide: Namespace) -> None:
    with TestClient(guide["app"]) as client:
        client.post("/sign-in", json={"name": "Ada", "password": "correct horse battery staple"})
        with client.websocket_connect("/chat") as socket:
            socket.send_text("hello")
            assert socket.receive_text() == "hello"
            client.post("/sign-out")
            socket.send_text("still there?")
            assert socket.receive()["type"] == "websocket.close"


def everything(request: Request) -> Response:
    """The session's data."""
    return JSONResponse(dict(request.session))


def test_the_guides_late_changes_are_saved(guide: Namespace) -> None:
    guide["app"].add_route("/everything", everything)
    with TestClient(guide["app"]) as client:
        client.post("/report")
        client.get("/rows")
        assert client.get("/everything").json() == {"report": "ready", "rows_read": 3}


def test_the_guides_application_that_closes_its_store_starts_and_stops(guide: Namespace) -> None:
    guide["closing_app"].add_route("/everything", everything)
    with TestClient(guide["closing_app"]) as client:
        assert client.get("/everything").json() == {}


def test_what_the_page_on_the_session_calls_no_json_is_a_500(request: pytest.FixtureRequest) -> None:
    with TestClient(run(ROOT / "docs/session.md", request)["app"], raise_server_exceptions=False) as client:
        assert client.get("/").status_code == 500


def test_the_page_on_flash_claims_each_message_once(request: pytest.FixtureRequest) -> None:
    with TestClient(run(ROOT / "docs/flash.md", request)["app"]) as client:
        assert client.post("/say", params={"text": "hello"}).json() == 1
        assert client.get("/once").json() == ["hello"]
        assert client.get("/once").json() == []


ORIGINS: list[tuple[dict[str, str], int]] = [
    # what a browser says of where a request comes from, and the answer
    ({}, 200),
    ({"origin": "http://testserver"}, 200),
    ({"origin": "http://elsewhere"}, 403),
    ({"sec-fetch-site": "same-origin"}, 200),
    ({"sec-fetch-site": "none"}, 200),
    ({"sec-fetch-site": "same-site"}, 403),
    ({"sec-fetch-site": "cross-site"}, 403),
]


@pytest.mark.parametrize(("headers", "status"), ORIGINS)
def test_the_page_on_security_refuses_what_other_origins_send(
    headers: dict[str, str], status: int, request: pytest.FixtureRequest
) -> None:
    app: FastAPI = run(ROOT / "docs/security.md", request)["guarded_app"]

    @app.post("/")
    async def endpoint() -> None: ...

    @app.websocket("/")
    async def socket(websocket: WebSocket) -> None:
        await websocket.close()

    with TestClient(app) as client:
        assert client.post("/", headers=headers).status_code == status
        assert client.get("/", headers=headers).status_code == 405
        with pytest.raises(WebSocketDisconnect if status == 200 else WebSocketDenialResponse):  # noqa: SIM117
            with client.websocket_connect("/", headers=headers):
                pass


async def test_the_page_on_security_ends_all_sessions_of_a_user(request: pytest.FixtureRequest) -> None:
    page = run(ROOT / "docs/security.md", request)
    session = asgi_session.Session({"user_id": 7, "generation": 1})
    assert await page["signed_in_user"](session) == 7
    session["generation"] = 0
    with pytest.raises(HTTPException):
        await page["signed_in_user"](session)
    assert not session


async def keeps_a_record(store: Store) -> bool:
    """Whether a record comes back from a store, which is left as it was."""
    record = Record('{"cookie":{},"page":"stores"}', time.time() + 60)
    assert await store.create("of-the-documentation", record)
    found = await store.get("of-the-documentation")
    await store.destroy("of-the-documentation")
    return found is not None and found.payload == record.payload


async def test_the_stores_of_the_page_keep_sessions(request: pytest.FixtureRequest) -> None:
    page = run(ROOT / "docs/stores.md", request)
    async with page["client"], page["store"], page["redis_client"], page["redis_store"]:
        assert await keeps_a_record(page["store"])
        assert await keeps_a_record(page["redis_store"])


async def test_the_application_that_moves_over_serves(request: pytest.FixtureRequest) -> None:
    page = run(ROOT / "docs/migrating-from-express.md", request)
    page["app"].add_route("/everything", everything)
    async with page["store"], visitor(page["app"]) as client:
        assert (await client.get("/everything")).json() == {}


def test_the_store_that_the_page_writes_keeps_the_contract(tmp_path: Path) -> None:
    blocks = [block.text for block in python_of(ROOT / "docs/stores.md") if "SqliteStore" in block.text]
    assert len(blocks) == 2
    (tmp_path / "test_sqlite_store.py").write_text("\n".join(blocks), encoding="utf-8")
    options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stdout
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > 40


# Links


def anchors_of(page: Path) -> set[str]:
    """The anchors that a page's headings get."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_relative_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.is_file(), link
        assert not anchor or anchor in anchors_of(target), link


def test_every_page_is_in_the_navigation() -> None:
    navigation = re.findall(r": (\S+\.md)$", (ROOT / ".mkdocs.yml").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sorted(navigation) == sorted(page.name for page in PAGES if page.parent.name == "docs")


# Tables


class Row(NamedTuple):
    """A row of a table of options."""

    name: str
    default: str


def rows_under(heading: str, page: Path) -> list[Row]:
    """The rows of the first table under a heading whose first column is code."""
    text = page.read_text(encoding="utf-8").split(f"\n{heading}\n", 1)[1].lstrip("\n")
    table = text[text.index("\n|---") : text.index("\n\n", text.index("\n|---"))]
    return [Row(*row) for row in re.findall(r"^\| `(\w+)` \| (.+?) \|", table, flags=re.MULTILINE)]


def shown(default: Any) -> str:
    """A default as the tables show it."""
    return f'`"{default}"`' if isinstance(default, str) else f"`{default!r}`"


def test_the_readmes_option_table_has_the_middlewares_options_and_defaults() -> None:
    in_words = {"secret": "required", "store": "`MemoryStore()`", "cookie": "`Cookie()`", "genid": "24 random bytes"}
    options = [
        parameter
        for parameter in inspect.signature(SessionMiddleware).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    assert rows_under("## Options", ROOT / "README.md") == [
        Row(option.name, in_words.get(option.name, shown(option.default))) for option in options
    ]
    assert all(option.default in (None, inspect.Parameter.empty) for option in options if option.name in in_words)


def test_the_guide_explains_every_option_in_the_same_order() -> None:
    explained = (ROOT / "docs/index.md").read_text(encoding="utf-8").split("\n## Options\n", 1)[1]
    parameters = list(inspect.signature(SessionMiddleware).parameters)[1:]
    assert re.findall(r"^- `(\w+)`: ", explained, flags=re.MULTILINE) == parameters


def test_the_cookies_table_has_its_arguments_and_defaults() -> None:
    assert rows_under("## The cookie", ROOT / "docs/session.md") == [
        Row(name, shown(parameter.default)) for name, parameter in inspect.signature(Cookie).parameters.items()
    ]


def test_the_readmes_cookie_has_its_arguments_and_defaults() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    call = ast.parse(re.findall(r"`(Cookie\(\w[^`]+\))`", text)[0], mode="eval").body
    assert isinstance(call, ast.Call)
    given = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    assert given == {name: each.default for name, each in inspect.signature(Cookie).parameters.items()}


def test_the_table_of_errors_has_every_exception_with_its_base() -> None:
    table = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", (ROOT / "docs/session.md").read_text(), flags=re.MULTILINE)
    names = [name for name in asgi_session.__all__ if isinstance(getattr(asgi_session, name), type)]
    errors = {name for name in names if issubclass(getattr(asgi_session, name), Exception)}
    assert {name: base for name, base in table if name in errors} == {
        name: getattr(asgi_session, name).__base__.__name__ for name in errors
    }


@pytest.mark.parametrize("member", ["increment", "touch", "regenerate", "destroy", "save", "reload"])
def test_the_page_on_the_session_shows_each_methods_arguments(member: str) -> None:
    signature = inspect.signature(getattr(asgi_session.Session, member))
    arguments = [
        re.sub(r": [^=]+?( = |$)", lambda m: m[1].replace(" ", ""), str(each))
        for each in list(signature.parameters.values())[1:]
    ]
    star = ["*"] if any(p.kind is inspect.Parameter.KEYWORD_ONLY for p in signature.parameters.values()) else []
    call = f"session.{member}({', '.join([*star, *arguments])})"
    assert re.search(rf"^### `(await )?{re.escape(call)}`$", (ROOT / "docs/session.md").read_text(), re.MULTILINE), call


def test_the_page_on_moving_over_lists_the_keys_that_express_drops() -> None:
    page = (ROOT / "docs/migrating-from-express.md").read_text(encoding="utf-8")
    section = page.split("### Keys that Express drops\n")[1].split("\n\n")
    assert set(re.findall(r"`(\w+)`", section[1])) == SESSION_MEMBERS


def test_the_page_on_moving_over_lists_the_doctors_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["doctor", "--help"])
    offered = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out)) - {"--help", "--stringify"}
    page = (ROOT / "docs/migrating-from-express.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(--[a-z-]+)", page, flags=re.MULTILINE)) == offered
