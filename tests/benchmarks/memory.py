"""What sessions in memory take, whether they give it back, and whether a call's cost depends on what it should not."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import subprocess
import time
import tracemalloc
from collections.abc import Sequence
from statistics import median
from typing import Any
from unittest.mock import patch

from asgi_session import MemoryStore, Record
from tests.benchmarks.cells import prepare
from tests.benchmarks.contenders import Bare, Contender, Floor, LitestarServerSide, Ours, OursWithAge, Starsessions
from tests.benchmarks.node import SCRIPTS, express_installed
from tests.benchmarks.payloads import shop_session


async def bytes_per_session(many: int) -> dict[str, float]:
    """Bytes that each of `many` sessions of 100 B takes, the index and the id included, by contender."""
    found = {}
    for kind in (Ours, OursWithAge, Starsessions, LitestarServerSide):
        found[kind.name] = (await _grown(kind, many)) / many
    return found


def express_bytes_per_session(many: int) -> float | None:
    """The same for express-session's memory store; None where there is no node."""
    with express_installed() as modules:
        if modules is None:
            return None
        command = ["node", "--expose-gc", str(SCRIPTS / "memory.js"), str(many)]
        environment = os.environ | {"BENCHMARK_MODULES": str(modules), "NODE_ENV": "test"}
        return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


async def _grown(kind: type[Contender], many: int) -> int:
    cell = await prepare(kind, "new", shop_session(100))
    await cell.contender.forget()
    with _Traced() as traced:
        await cell.run(many)
        return traced.grown()


async def left_after_expiry(many: int) -> float:
    """Bytes per session that remain of `many` once they have expired and one other request has come."""
    cell = await prepare(Ours, "new", shop_session(100))
    await cell.contender.forget()
    with _Traced() as traced:
        await cell.run(many)
        later = time.time() + 15 * 86400
        with patch("time.time", lambda: later):
            await cell.run(1)
            await asyncio.sleep(0)
        return traced.grown() / many


class _Traced:
    def __enter__(self) -> _Traced:
        gc.collect()
        tracemalloc.start()
        self._before = tracemalloc.get_traced_memory()[0]
        return self

    def grown(self) -> int:
        """Bytes allocated since, and still held."""
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - self._before

    def __exit__(self, *_: object) -> None:
        tracemalloc.stop()


async def store_calls_by_size(counts: Sequence[int], *, rounds: int) -> dict[tuple[int, str], float]:
    """Microseconds of `get` and of `replace`, and of reading a plain dict, in a store of so many sessions.

    The ids that are looked up are scattered over the whole store, so that the processor's caches help no size unduly.
    """
    found: dict[tuple[int, str], float] = {}
    text = '{"cookie":{"originalMaxAge":null,"expires":null,"path":"/"},"user":"u-48213","count":1000}'
    for count in counts:
        store, plain = MemoryStore(), {}
        expires = time.time() + 14 * 86400
        for number in range(count):
            await store.create(f"{number:032}", Record(text, expires))
            plain[f"{number:032}"] = text + str(number)
        gc.freeze()
        samples: dict[str, list[float]] = {"get": [], "replace": [], "plain dict": []}
        for _ in range(rounds):
            sids = [f"{random.randrange(count):032}" for _ in range(1000)]  # noqa: S311
            records = [Record(text, expires) for _ in sids]
            start = time.thread_time_ns()
            for sid in sids:
                await store.get(sid)
            samples["get"].append(time.thread_time_ns() - start)
            random.shuffle(sids)
            start = time.thread_time_ns()
            for sid, record in zip(sids, records, strict=True):
                await store.replace(sid, record, expected=record)
            samples["replace"].append(time.thread_time_ns() - start)
            random.shuffle(sids)
            start = time.thread_time_ns()
            for sid in sids:
                plain.get(sid)
            samples["plain dict"].append(time.thread_time_ns() - start)
        gc.unfreeze()
        found |= {(count, what): median(values) / 1e6 for what, values in samples.items()}
    return found


async def cost_by_shape(*, rounds: int) -> dict[tuple[str, str, str], float]:
    """Microseconds on top of the bare app by (shape of the data, cell, contender): longer texts, then more keys."""
    shapes: dict[str, dict[str, Any]] = {}
    for size in (2_000, 20_000, 200_000):
        shapes[f"one text of {size:,} B"] = {"count": 1, "cart": {"currency": "EUR"}, "text": "x" * size}
    for keys in (10, 100, 1000):
        padding = "x" * (20_000 // keys - 13)
        shapes[f"{keys} keys, 20 kB"] = {"count": 1, "cart": {"currency": "EUR"}} | {
            f"key-{number:05}": padding for number in range(keys)
        }
    found: dict[tuple[str, str, str], float] = {}
    for shape, data in shapes.items():
        for name in ("read", "write"):
            cells = [await prepare(kind, name, data) for kind in (Bare, Floor, Ours)]
            samples: list[list[float]] = [[] for _ in cells]
            for _ in range(rounds):
                for cell, taken in zip(cells, samples, strict=True):
                    start = time.thread_time_ns()
                    await cell.run(50)
                    taken.append((time.thread_time_ns() - start) / 50_000)
            bare, floor, ours = map(median, samples)
            found[shape, name, Floor.name] = floor - bare
            found[shape, name, Ours.name] = ours - bare
    return found
