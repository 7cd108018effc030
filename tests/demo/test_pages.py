"""What holds for every page of the tour."""

from __future__ import annotations

from html.parser import HTMLParser

import httpx
import pytest

from demo.tour import STEPS

PATHS = [step.path for step in STEPS]


class Addresses(HTMLParser):
    """Everything that a page links to, loads or sends forms to; and whether it holds a script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.scripts = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.found += [value for name, value in attrs if name in {"href", "src", "action", "formaction"} and value]


@pytest.mark.parametrize("path", PATHS)
async def test_a_page_needs_nothing_from_elsewhere_and_no_script(visitor: httpx.AsyncClient, path: str) -> None:
    page = Addresses((await visitor.get(path)).text)
    assert [address for address in page.found if not address.startswith(("/", "#", "data:"))] == []
    assert [address for address in page.found if address.startswith("//")] == []
    assert page.scripts == 0


@pytest.mark.parametrize("path", PATHS)
async def test_the_browser_is_told_to_refuse_scripts_and_foreign_assets(visitor: httpx.AsyncClient, path: str) -> None:
    policy = (await visitor.get(path)).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", PATHS)
async def test_every_link_of_a_page_leads_somewhere(visitor: httpx.AsyncClient, path: str) -> None:
    page = Addresses((await visitor.get(path)).text)
    targets = {address for address in page.found if address.startswith("/")}
    assert targets
    for address in targets:
        assert (await visitor.head(address)).status_code in {200, 405}


@pytest.mark.parametrize("path", PATHS)
async def test_the_page_marks_itself_in_the_navigation(visitor: httpx.AsyncClient, path: str) -> None:
    assert f'<a href="{path}" aria-current="page">' in (await visitor.get(path)).text


@pytest.mark.parametrize("path", PATHS)
async def test_a_page_shows_the_code_that_answers_it(visitor: httpx.AsyncClient, path: str) -> None:
    page = (await visitor.get(path)).text
    assert '<span class="keyword">async</span> <span class="keyword">def</span>' in page


async def test_looking_around_stores_nothing_until_the_counter_is_visited(visitor: httpx.AsyncClient) -> None:
    for path in PATHS[1:]:
        assert "set-cookie" not in (await visitor.get(path)).headers
    assert "set-cookie" in (await visitor.get("/")).headers


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
async def test_fastapis_own_pages_are_off_as_they_load_scripts_from_elsewhere(
    visitor: httpx.AsyncClient, path: str
) -> None:
    assert (await visitor.get(path)).status_code == 404
