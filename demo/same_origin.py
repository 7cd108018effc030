"""Forms that other sites send here are refused.

Such a form comes without the visitor's cookie, as that is SameSite=Lax. But a session that it began would take the
place of the visitor's: whoever was signed in would be signed out, or signed in as somebody else.
"""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request


async def same_origin(request: Request) -> None:
    """A dependency of every page: 403 for a form that the browser says comes from elsewhere."""
    if request.method in ("GET", "HEAD"):
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        own = site in ("same-origin", "none")
    else:  # an old browser, or plain http to another machine; what is no browser sends neither
        own = origin is None or origin.endswith("://" + request.headers.get("host", ""))
    if not own:
        raise HTTPException(403, "This form was sent from another site.")
