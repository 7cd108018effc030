"""Numbers, moments, ids and records as people read them."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime


def euros(cents: int) -> str:
    """An amount, such as ``€24.00``."""
    return f"€{cents // 100}.{cents % 100:02}"


def moment(when: float) -> str:
    """A Unix time in seconds, such as ``24 Dec 2030, 18:00:00 UTC``."""
    return datetime.fromtimestamp(when, UTC).strftime("%d %b %Y, %H:%M:%S UTC")


def duration(seconds: float) -> str:
    """A span in its two largest units, such as ``13 days 23 hours``; parts of a second count as a whole one."""
    rest = max(0, -int(-seconds // 1))
    parts = []
    for name, size in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number} {name}" if number == 1 else f"{number} {name}s")
        elif parts:
            break  # "1 day 5 seconds" would be exact where nobody asks
    return " ".join(parts[:2]) or "0 seconds"


def time_left(when: float) -> str:
    """The span from now to a Unix time in seconds."""
    return duration(when - time.time())


def pretty(text: str) -> str:
    """JSON text, one member a line."""
    return json.dumps(json.loads(text), indent=2, ensure_ascii=False)


def shortened(secret: str) -> str:
    """Enough of an id to tell it from another, too little to use it."""
    return f"{secret[:6]}…"
