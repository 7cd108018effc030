"""What this package sets out to reach, cell by cell, and whether a run reached it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.benchmarks import in_process, over_http, stores
from tests.benchmarks.contenders import PEERS, Floor, Ours, OursUnloaded, OursWithAge, Starsessions

_FLOOR_FACTORS = {"100 B": 1.6, "2 KB": 1.2, "20 KB": 1.0}
_WITH_DATA = ["read", "read nested", "write", "new", "flash pair"]
_NO_COOKIE_EXTRA = 2.0  # microseconds
_LEVEL = 1.03  # within what two runs of one program differ
_HTTP_SHARES = {"read": 0.65, "write": 0.60}
_STORE_FACTOR = 1.15
_BYTES = 365.0
_BYTES_LEFT = 4.0


@dataclass(frozen=True)
class Check:
    """One target: what was found has to be at most (or, the other way round, at least) the limit."""

    what: str
    found: float
    limit: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.found >= self.limit if self.at_least else self.found <= self.limit

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        return f"{'pass' if self.met else 'FAIL'}  {self.what}: {self.found:.4g} {sign} {self.limit:.4g}"


def check_in_process(added: in_process.Times) -> list[Check]:
    """Ahead of every peer in every cell, and close to the floor; `added` is on top of the bare app.

    Only the package as it comes is held against the floor, whose one header has no dates.
    """
    checks = []
    for (size, cell, who), found in added.items():
        floor = added[size, cell, Floor.name]
        if who in (Ours.name, OursWithAge.name):
            checks += [
                Check(f"{size}, {cell}: {who} against {peer.name}", found, added[size, cell, peer.name])
                for peer in PEERS
                if (cell, peer) != ("untouched", Starsessions)
            ]
        if who == OursUnloaded.name and cell == "untouched":
            level = added[size, cell, Starsessions.name] * _LEVEL
            checks.append(Check(f"{size}, {cell}: {who} against starsessions", found, level))
        if who == Ours.name and cell == "no cookie":
            checks.append(Check(f"{size}, {cell}: {who} against floor + 2 us", found, floor + _NO_COOKIE_EXTRA))
        elif who == Ours.name and (cell in _WITH_DATA or ("forged" in cell and size == "100 B")):
            factor = _FLOOR_FACTORS[size]
            checks.append(Check(f"{size}, {cell}: {who} against {factor} floor", found, floor * factor))
    return checks


def check_http(found: over_http.Found) -> list[Check]:
    """A share of bare Starlette's throughput, and a greater share than any peer's of its own bare app."""
    checks = []
    for page, limit in _HTTP_SHARES.items():
        checks += [
            Check(f"HTTP {page}: {who}, share of bare Starlette", found.shares[page, who], limit, at_least=True)
            for who in (Ours.name, OursWithAge.name)
        ]
        for (other_page, peer), share in found.shares.items():
            if other_page == page and not peer.startswith(Ours.name):
                mine = f"{Ours.name}, Redis" if peer.endswith(", Redis") else Ours.name
                what = f"HTTP {page}: share against {peer}'s of its own"
                checks.append(Check(what, found.shares[page, mine], share, at_least=True))
                what = f"HTTP {page}: requests per second against {peer}"
                checks.append(Check(what, found.rates[page, mine], found.rates[page, peer], at_least=True))
    return checks


def check_stores(found: stores.Found) -> list[Check]:
    """Close to the bare driver calls."""
    return [
        Check(f"{backend} {what}, {size}, {at_a_time} at a time: times the bare calls", factor, _STORE_FACTOR)
        for (backend, size, what, at_a_time, who), factor in found.factors.items()
        if who == stores.OURS
    ]


def check_memory(per_session: Mapping[str, float], left: float) -> list[Check]:
    """Small, smaller than any peer's, and given back."""
    mine = per_session[Ours.name]
    checks = [Check(f"bytes per session: {who}", per_session[who], _BYTES) for who in (Ours.name, OursWithAge.name)]
    checks.extend(
        Check(f"bytes per session against {who}", mine, held)
        for who, held in per_session.items()
        if not who.startswith(Ours.name)
    )
    return [*checks, Check("bytes per session left after expiry", left, _BYTES_LEFT)]


def check_flat(calls: Mapping[tuple[int, str], float]) -> list[Check]:
    """From the smallest store to the largest at most half as much again, apart from a plain dict's growth."""
    few, many = min(count for count, _ in calls), max(count for count, _ in calls)
    dict_growth = calls[many, "plain dict"] - calls[few, "plain dict"]
    return [
        Check(
            f"{what} at {many:,} sessions against {few:,}, microseconds",
            calls[many, what] - dict_growth,
            1.5 * calls[few, what],
        )
        for what in ("get", "replace")
    ]


def check_shapes(costs: Mapping[tuple[str, str, str], float]) -> list[Check]:
    """Ten times the text costs at most eleven times as much, and untouched keys nothing beyond the floor's decoding."""
    checks = []
    for cell in ("read", "write"):
        cost = [costs[f"one text of {size:,} B", cell, Ours.name] for size in (20_000, 200_000)]
        checks.append(Check(f"{cell}: 200 kB against 20 kB, microseconds", cost[1], 11 * cost[0]))
        beyond = [
            costs[f"{keys} keys, 20 kB", cell, Ours.name] / costs[f"{keys} keys, 20 kB", cell, Floor.name]
            for keys in (10, 1000)
        ]
        checks.append(Check(f"{cell}: 1000 keys against 10, times the floor", beyond[1], max(1.2, 1.1 * beyond[0])))
    return checks
