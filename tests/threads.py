"""Threads that get in each other's way as often as can be."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable


async def at_once(*functions: Callable[[], object]) -> None:
    """Run each in a thread, all at the same time."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        await asyncio.gather(*map(asyncio.to_thread, functions))
    finally:
        sys.setswitchinterval(interval)
