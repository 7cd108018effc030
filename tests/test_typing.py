"""What type checkers make of the public names: right uses pass `mypy --strict`, wrong ones don't.

The lines below are checked, not run: mypy is given them as a file. A line that ends in ``# E: text`` has to be refused
with that text; every other line has to pass.
"""

from __future__ import annotations

import re
from pathlib import Path

from mypy import api

ROOT = Path(__file__).parent.parent

CHECKED = """
from datetime import timedelta
from typing import Any, assert_type

from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.datastructures import Secret
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request

from asgi_session import Cookie, Flash, MemoryStore, Record, Session, SessionMiddleware, Store, load_session
from asgi_session.fastapi import FlashDep, RequiredSession, SessionDep
from asgi_session.templating import session_context

SECRET = "x" * 32

Middleware(SessionMiddleware, secret=SECRET)
Middleware(SessionMiddleware, secret=[SECRET, b"y" * 32, Secret(SECRET)], store=MemoryStore(ttl=60))
Middleware(SessionMiddleware, secret=SECRET, on_store_error="raise", unset="destroy", store_timeout=None)
Middleware(SessionMiddleware)  # E: Missing named argument "secret"
Middleware(SessionMiddleware, SECRET)  # E: Too many positional arguments
Middleware(SessionMiddleware, secret=SECRET, touch_after="never")  # E: incompatible type "str"
Middleware(SessionMiddleware, secret=SECRET, unset="maybe")  # E: incompatible type
Middleware(SessionMiddleware, secret=SECRET, max_age=60)  # E: Unexpected keyword argument "max_age"

app = FastAPI()
app.add_middleware(SessionMiddleware, secret=SECRET, cookie=Cookie(max_age=60, secure="auto", samesite="strict"))
app.add_middleware(SessionMiddleware, secret=SECRET, genid=lambda connection: connection.headers["x-id"])
app.add_middleware(SessionMiddleware, secret=SECRET, store="memory")  # E: incompatible type "str"
Starlette(middleware=[Middleware(SessionMiddleware, secret=SECRET, cookie=lambda connection: Cookie())])

Cookie(max_age=timedelta(days=1))
Cookie(samesite="bogus")  # E: incompatible type
Cookie(max_age="60")  # E: incompatible type "str"


@app.get("/")
async def page(session: SessionDep, flash: FlashDep) -> None:
    assert_type(session, Session)
    assert_type(flash, Flash)
    assert_type(session["user"], Any)
    assert_type(session.get("user"), Any)
    assert_type(session.id, str)
    assert_type(session.is_new, bool)
    assert_type(session.cookie.max_age, int | None)
    session.cookie.max_age = 60
    session.cookie.max_age = timedelta(days=1)
    session.cookie.max_age = "60"  # E: Incompatible types in assignment
    session.id = "mine"  # E: read-only
    session[5] = 1  # E: Invalid index type
    session.regenerate(keep=True)
    session.regenerate(True)  # E: Too many positional arguments
    await session.save()
    await session.reload()
    assert_type(flash("info", "Saved %s", "it"), int)
    assert_type(flash("info", ["a", "b"]), int)
    assert_type(flash("info", None), int)
    assert_type(flash("info"), list[Any])
    assert_type(flash(), dict[str, list[Any]])
    assert_type(flash.peek(), dict[str, list[Any]])
    assert_type(flash.peek("info"), list[Any])
    assert_type(await flash.claim(), dict[str, list[Any]])
    assert_type(await flash.claim("info"), list[Any])
    assert_type(flash.success("done"), int)
    for category, message in flash:
        assert_type(category, str)
    flash(5, "x")  # E: No overload variant


@app.get("/account")
async def account(session: Session = Depends(RequiredSession("user"))) -> None: ...


async def elsewhere(connection: HTTPConnection, request: Request) -> None:
    assert_type(await load_session(connection), Session)
    assert_type(session_context(request), dict[str, Any])


class Half(Store):
    async def get(self, sid: str) -> Record | None:
        return Record("{}", None)


Half()  # E: Cannot instantiate abstract class
"""


def test_right_uses_pass_the_type_checker_and_wrong_ones_do_not(tmp_path: Path) -> None:
    lines = CHECKED.splitlines()
    (tmp_path / "uses.py").write_text(CHECKED, encoding="utf-8")
    report, trouble, _ = api.run(
        [
            "--strict",
            "--no-pretty",
            "--no-error-summary",
            "--show-error-codes",
            f"--config-file={ROOT / 'pyproject.toml'}",
            f"--cache-dir={tmp_path / 'cache'}",
            str(tmp_path / "uses.py"),
        ]
    )
    assert trouble == ""
    told = {int(m[1]): m[2] for m in re.finditer(r"uses\.py:(\d+): error: (.*)", report)}
    wanted = {number: line.split("# E: ")[1] for number, line in enumerate(lines, 1) if "# E: " in line}
    assert {number: text for number, text in told.items() if number not in wanted} == {}
    missed = [(lines[number - 1], told.get(number)) for number in wanted if wanted[number] not in told.get(number, "")]
    assert missed == []
