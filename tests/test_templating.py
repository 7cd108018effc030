"""Sessions and flash messages in Jinja templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.templating import Jinja2Templates

from asgi_session import Cookie
from asgi_session.templating import session_context
from tests.clients import Browser, put, set_cookie
from tests.spy_store import SpyStore

PAGE = (
    """{% for category, message in flash %}<p class="{{ category }}">{{ message }}</p>{% endfor %}{{ session.user }}"""
)


@pytest.fixture
def render(tmp_path: Path) -> Any:
    """A function of a template text that gives an endpoint rendering it."""
    templates = Jinja2Templates(directory=tmp_path, context_processors=[session_context])

    def endpoint_of(text: str) -> Any:
        (tmp_path / "page.html").write_text(text)

        def endpoint(request: Request) -> Response:
            return templates.TemplateResponse(request, "page.html")

        return endpoint

    return endpoint_of


async def test_a_template_sees_the_session(render: Any) -> None:
    browser = Browser()
    await browser.visit(put(user="ann"))
    assert (await browser.visit(render("{{ session.user }} {{ session['user'] }}"))).text == "ann ann"


async def test_a_template_drains_the_flash_queue_in_order(render: Any) -> None:
    def queue(request: Request) -> None:
        request.state.flash.success("Saved")
        request.state.flash.error("But <b>not</b> sent")

    browser = Browser()
    await browser.visit(queue)
    assert (await browser.visit(render(PAGE))).text == (
        '<p class="success">Saved</p><p class="error">But &lt;b&gt;not&lt;/b&gt; sent</p>'
    )
    assert (await browser.visit(render(PAGE))).text == ""


async def test_a_template_that_only_peeks_leaves_the_queue(render: Any) -> None:
    browser = Browser()
    await browser.visit(lambda request: request.state.flash.info("hello"))
    for _ in range(2):
        assert (await browser.visit(render("{{ flash.peek('info')|length }}{% if flash %}!{% endif %}"))).text == "1!"


async def test_a_template_that_does_not_look_drains_nothing_and_varies_not(render: Any) -> None:
    browser = Browser()
    await browser.visit(lambda request: request.state.flash.info("hello"))
    response = await browser.visit(render("static"))
    assert "vary" not in response.headers
    assert (await browser.visit(lambda request: request.state.flash("info"))).json() == ["hello"]


async def test_looking_at_an_empty_queue_in_a_template_writes_nothing(render: Any) -> None:
    store = SpyStore()
    response = await Browser(store=store).visit(render(PAGE))
    assert store.calls == []
    assert set_cookie(response) is None


async def test_messages_drained_by_a_page_that_failed_stay(render: Any) -> None:
    browser = Browser()
    await browser.visit(lambda request: request.state.flash.info("hello"))
    browser.raise_errors = False
    assert (await browser.visit(render(PAGE + "{{ nothing.there.at.all }}"))).status_code == 500
    assert "hello" in (await browser.visit(render(PAGE))).text


async def test_where_there_is_no_session_templates_render_all_the_same(render: Any) -> None:
    browser = Browser(cookie=Cookie(path="/shop"))
    assert (await browser.visit(render("{{ session is defined }}"), "/blog")).text == "False"
    lazy = Browser(autoload=False)
    assert (await lazy.visit(render("{{ flash is defined }}"))).text == "False"
