"""How a page is answered: a template around the visitor's session, or a redirect after a form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import Request, Response
from starlette.responses import RedirectResponse
from starlette.templating import Jinja2Templates

from asgi_session.templating import session_context
from demo.listing import listing
from demo.sent_cookie import NAME
from demo.tour import STEPS, next_step
from demo.wording import duration, euros, moment, pretty, shortened, time_left

templates = Jinja2Templates(Path(__file__).parent / "templates", context_processors=[session_context])
templates.env.globals.update(cookie_name=NAME, listing=listing, steps=STEPS, next_step=next_step)
templates.env.filters.update(
    {words.__name__: words for words in (duration, euros, moment, pretty, shortened, time_left)}
)

# The browser itself refuses whatever would come from elsewhere, and every script.
POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def show(request: Request, page: str, **context: Any) -> Response:
    """The page `page`.html, with `session` and `flash` at hand in the template."""
    return templates.TemplateResponse(request, f"{page}.html", context, headers={"Content-Security-Policy": POLICY})


def see_other(path: str) -> Response:
    """303: after a form the browser fetches `path`, so that a reload does not send the form again."""
    return RedirectResponse(path, status_code=303)
