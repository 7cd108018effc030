"""The whole tour in a real browser, with scripts switched off."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright, expect

from demo.tour import STEPS
from tests.demo.process import Demo
from tests.servers.need import missing

OPTIONS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
PHONE = 360


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """The demo, for all tours."""
    with Demo() as demo:
        yield demo


@pytest.fixture
async def page(demo: Demo) -> AsyncIterator[Page]:
    """A browser window of phone size on the demo's first page, with no cookies yet."""
    chromium = shutil.which("chromium") or missing("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=OPTIONS)
        window = await browser.new_page(java_script_enabled=False, viewport={"width": PHONE, "height": 800})
        await window.goto(demo.address + "/")
        yield window
        await browser.close()


@pytest.mark.parametrize(
    ("path", "fields"),
    [("/sign-in", {"name": "Mallory"}), ("/messages", {"text": "You have won"})],
    ids=lambda v: str(v),
)
async def test_a_form_of_another_site_does_not_take_the_visitors_session(
    page: Page, demo: Demo, path: str, fields: dict[str, str]
) -> None:
    await page.goto(demo.address + "/sign-in")
    await page.get_by_label("Your name").fill("Ada")
    await page.get_by_role("button", name="Sign in").click()
    before = await cookie(page)

    inputs = "".join(f'<input name="{name}" value="{value}">' for name, value in fields.items())
    form = f'<form method="post" action="{demo.address}{path}">{inputs}<button>Win</button></form>'
    await page.route("http://elsewhere.test/", lambda route: route.fulfill(content_type="text/html", body=form))
    await page.goto("http://elsewhere.test/")
    await page.get_by_role("button", name="Win").click()
    await expect(page.get_by_text("This form was sent from another site.")).to_be_visible()

    await page.goto(demo.address + "/sign-in")
    await expect(page.get_by_text("Hello, Ada.")).to_be_visible()
    assert (await cookie(page))["value"] == before["value"]


async def test_a_visitor_takes_the_tour(page: Page) -> None:
    foreign: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: foreign.append(request.url) if "//127.0.0.1:" not in request.url else None)
    page.on("console", lambda message: complaints.append(message.text))
    status = page.get_by_role("status")

    await page.get_by_role("link", name="View it again").click()
    await expect(page.get_by_text("You have viewed this page 2 times")).to_be_visible()

    await page.get_by_role("link", name="Next: Cart").click()
    await page.get_by_role("button", name="Add Fountain pen").click()
    await page.get_by_role("button", name="Add Bottle of ink").click()
    await expect(status).to_contain_text("Bottle of ink added to your cart.")
    await page.get_by_role("button", name="Remove one Fountain pen").click()
    await expect(page.get_by_text("Total")).to_be_visible()

    await page.get_by_role("link", name="Next: Sign in").click()
    before = await cookie(page)
    await page.get_by_label("Your name").fill("Ada")
    await page.get_by_label("Remember me").check()
    await page.get_by_role("button", name="Sign in").click()
    await expect(status).to_contain_text("Welcome, Ada.")
    after = await cookie(page)
    assert after["value"] != before["value"]
    assert (before["expires"], after["expires"] > 0) == (-1, True)
    assert (after["httpOnly"], after["sameSite"]) == (True, "Lax")

    await page.get_by_role("link", name="Next: Messages").click()
    await page.get_by_role("textbox", name="Message").fill("Hello from the browser")
    await page.get_by_label("Category").select_option("warning")
    await page.get_by_role("button", name="Queue it and inspect").click()
    await expect(status).to_contain_text("Hello from the browser")

    record = page.get_by_role("region", name="Stored record as JSON")
    await expect(record).to_contain_text('"user": "Ada"')
    await expect(record).to_contain_text('"ink"')
    await page.get_by_role("button", name="Destroy this session").click()
    await expect(page.get_by_text("You have no session.")).to_be_visible()

    await page.get_by_role("link", name="Next: Counter").click()
    await expect(page.get_by_text("You have viewed this page 1 time")).to_be_visible()
    assert foreign == []
    assert complaints == []


async def test_no_page_is_wider_than_a_phone(page: Page) -> None:
    for step in STEPS:
        await page.get_by_role("navigation").get_by_role("link", name=step.name).click()
        await expect(page.get_by_role("navigation").locator("[aria-current=page]")).to_have_text(step.name)
        assert await page.evaluate("document.documentElement.scrollWidth") == PHONE


async def cookie(page: Page) -> dict[str, Any]:
    """The session cookie as the browser keeps it."""
    return next(dict(kept) for kept in await page.context.cookies() if kept["name"] == "connect.sid")
