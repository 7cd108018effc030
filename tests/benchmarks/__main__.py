"""Run the benchmark: ``python -m tests.benchmarks [in-process|http|stores|memory|all] [--quick] [--check]``.

Prints Markdown. With --check the exit code is 1 where a target was missed.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

from tests.benchmarks import in_process, memory, over_http, stores, targets
from tests.benchmarks.cells import CELLS
from tests.benchmarks.contenders import ALL, Floor
from tests.benchmarks.payloads import SIZES
from tests.benchmarks.table import machine, markdown


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("what", nargs="?", default="all", choices=["in-process", "http", "stores", "memory", "all"])
    parser.add_argument("--quick", action="store_true", help="a look rather than a measurement")
    parser.add_argument("--check", action="store_true", help="compare with the targets")
    options = parser.parse_args()
    parts = {"in-process": _in_process, "http": _http, "stores": _stores, "memory": _memory}
    _say(f"{machine()}, {time.strftime('%Y-%m-%d')}")
    checks: list[targets.Check] = []
    for name, part in parts.items():
        if options.what in (name, "all"):
            checks += part(options.quick)
    if not options.check:
        return 0
    missed = sum(not check.met for check in checks)
    _say("## Targets", "\n".join(map(str, checks)), f"{missed} of {len(checks)} missed")
    return int(missed > 0)


def _in_process(quick: bool) -> list[targets.Check]:
    times = asyncio.run(in_process.time_cells(ALL, rounds=7 if quick else 41))
    added = in_process.on_top_of_bare(times)
    names = [kind.name for kind in ALL[1:]]
    rows = []
    for size in SIZES:
        for cell in CELLS:
            floor = added[size, cell, Floor.name]
            cells = [f"{added[size, cell, name]:.1f} ({added[size, cell, name] / floor:.2f})" for name in names]
            rows.append([f"{cell}, {size}", f"{times[size, cell, 'bare app']:.1f}", f"{floor:.1f}", *cells[1:]])
    _say(
        "## In process, memory store",
        "Microseconds per request on top of the bare app (and times the floor). A flash pair is two requests.",
        markdown(["cell", "bare app", *names], rows),
    )
    return targets.check_in_process(added)


def _http(quick: bool) -> list[targets.Check]:
    found = over_http.measure(rounds=2 if quick else 7)
    rows = []
    for name in dict.fromkeys(name for _, name in found.rates):
        cells = [f"{found.rates[page, name]:,.0f}{_shares(found, page, name)}" for page in over_http.PAGES]
        rows.append([name, *cells])
    _say(
        "## Over HTTP, 100 B",
        "Requests per second (and the share of the same framework's bare app, measured beside it: by the clock, by the "
        "server's processor time). wrk, 32 connections, 64 sessions.",
        markdown(["", *over_http.PAGES], rows),
    )
    return targets.check_http(found)


def _shares(found: over_http.Found, page: str, name: str) -> str:
    if (page, name) not in found.shares:
        return ""
    return f" ({found.shares[page, name]:.0%}, {found.processor_shares[page, name]:.0%})"


def _stores(quick: bool) -> list[targets.Check]:
    sizes = ["100 B", "2 KB"]
    found = asyncio.run(stores.time_stores(rounds=8 if quick else 48, requests=80 if quick else 160, sizes=sizes))
    rows = []
    for backend, size, what, at_a_time in dict.fromkeys(key[:4] for key in found.times):
        group = {key[4]: taken for key, taken in found.times.items() if key[:4] == (backend, size, what, at_a_time)}
        bare = group[stores.BARE]
        others = ", ".join(
            f"{who} {taken:.0f} ({found.factors[backend, size, what, at_a_time, who]:.2f})"
            for who, taken in group.items()
            if who != stores.BARE
        )
        rows.append([f"{backend}, {what}, {size}, {at_a_time} at a time", f"{bare:.0f}", others])
    _say(
        "## Redis and MongoDB",
        "Microseconds per request (and times the bare driver calls): one call for a read, two for a write.",
        markdown(["", stores.BARE, "contenders"], rows),
    )
    return targets.check_stores(found)


def _memory(quick: bool) -> list[targets.Check]:
    many = 20_000 if quick else 100_000
    per_session = asyncio.run(memory.bytes_per_session(many))
    if express := memory.express_bytes_per_session(many):
        per_session["Express"] = express
    left = asyncio.run(memory.left_after_expiry(many))
    counts = [1_000, 100_000] if quick else [1_000, 10_000, 100_000, 1_000_000]
    calls = asyncio.run(memory.store_calls_by_size(counts, rounds=15 if quick else 51))
    costs = asyncio.run(memory.cost_by_shape(rounds=5 if quick else 21))
    _say(
        "## Memory",
        f"Bytes per session of 100 B, {many:,} sessions; {left:.1f} left of ours after they expired.",
        markdown(["", "bytes"], [[name, f"{held:.0f}"] for name, held in per_session.items()]),
        "Microseconds per call of the memory store, by how many sessions it holds.",
        markdown(
            ["sessions", "get", "replace", "plain dict"],
            [[f"{n:,}", *[f"{calls[n, what]:.2f}" for what in ("get", "replace", "plain dict")]] for n in counts],
        ),
        "Microseconds per request on top of the bare app (and times the floor), by the shape of the data.",
        markdown(
            ["", "read", "write"],
            [
                [shape, *[_with_ratio(costs, shape, cell) for cell in ("read", "write")]]
                for shape in dict.fromkeys(shape for shape, _, _ in costs)
            ],
        ),
    )
    return targets.check_memory(per_session, left) + targets.check_flat(calls) + targets.check_shapes(costs)


def _with_ratio(costs: dict[tuple[str, str, str], float], shape: str, cell: str) -> str:
    ours, floor = costs[shape, cell, "asgi_session"], costs[shape, cell, Floor.name]
    return f"{ours:.1f} ({ours / floor:.2f})"


def _say(*paragraphs: str) -> None:
    for paragraph in paragraphs:
        sys.stdout.write(f"{paragraph}\n\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
