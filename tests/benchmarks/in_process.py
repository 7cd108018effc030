"""The cost of a session without a network: the ASGI app called directly, all contenders in turn, round after round."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Sequence
from statistics import median

from tests.benchmarks.cells import CELLS, Cell, prepare
from tests.benchmarks.contenders.base import Contender
from tests.benchmarks.payloads import SIZES, shop_session

Times = dict[tuple[str, str, str], float]
"""(size, cell, contender) to microseconds of processor time per turn, on top of the bare app unless said otherwise."""


async def time_cells(
    contenders: Sequence[type[Contender]],
    *,
    rounds: int,
    batch: float = 0.003,
    sizes: Sequence[str] = tuple(SIZES),
    cells: Sequence[str] = tuple(CELLS),
) -> Times:
    """Median microseconds of a turn (one request; two for a pair) of every contender, the bare app among them.

    Processor time of this thread is counted, not the clock on the wall, so that other processes on the machine disturb
    less. Garbage collection stays on, since whoever leaves cycles behind shall pay for it, but does not look at what
    the benchmark itself holds.

    Args:
        contenders: what to compare.
        rounds: how often each is timed, in another order each time: what one leaves in memory and caches is not always
            the same one's to find.
        batch: seconds that one timing should take.
        sizes: names out of `SIZES`.
        cells: names out of `CELLS`.
    """
    prepared: dict[tuple[str, str], list[tuple[str, Cell, int]]] = {}
    for size in sizes:
        for name in cells:
            prepared[size, name] = []
            for kind in contenders:
                cell = await prepare(kind, name, shop_session(SIZES[size]))
                prepared[size, name].append((kind.name, cell, await _turns(cell, batch)))
    samples: dict[tuple[str, str, str], list[float]] = {}
    gc.collect()
    gc.freeze()
    order = random.Random(5)  # noqa: S311
    for _ in range(rounds):
        for (size, name), group in prepared.items():
            for contender, cell, turns in order.sample(group, len(group)):
                samples.setdefault((size, name, contender), []).append(await _time(cell, turns))
    gc.unfreeze()
    return {key: median(values) for key, values in samples.items()}


async def _time(cell: Cell, turns: int) -> float:
    if cell.grows:
        await cell.contender.forget()
    start = time.thread_time_ns()
    await cell.run(turns)
    return (time.thread_time_ns() - start) / turns / 1000


async def _turns(cell: Cell, batch: float) -> int:
    await cell.run(20)  # caches, specialised bytecode
    return max(5, int(batch * 1e6 / min([await _time(cell, 20) for _ in range(3)])))


def on_top_of_bare(times: Times) -> Times:
    """The same without the bare app's own share."""
    bare = "bare app"
    return {
        (size, cell, who): value - times[size, cell, bare] for (size, cell, who), value in times.items() if who != bare
    }
