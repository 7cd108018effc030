"""The package's logger, and how failures of a store are told there: never with an id, a secret or data."""

from __future__ import annotations

import logging
from typing import Final

logger: Final = logging.getLogger("asgi_session")


def report(error: BaseException) -> None:
    """Log a failure of the store: its own words and the kind of its cause, whose words may quote ids or data."""
    text, cause = str(error), error.__cause__
    kind = "" if cause is None else type(cause).__name__
    logger.error("%s%s", text, "" if kind in text else f" ({kind})")
