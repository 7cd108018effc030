"""Sessions in templates: a context processor for Starlette's ``Jinja2Templates``."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request


def session_context(request: Request) -> dict[str, Any]:
    """Give templates `session` and `flash`, where the session is loaded.

    ``Jinja2Templates(directory="templates", context_processors=[session_context])``
    """
    state = request.state
    return {name: getattr(state, name) for name in ("session", "flash") if hasattr(state, name)}
