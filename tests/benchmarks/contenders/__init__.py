"""One module for each session package that is measured, and for two yardsticks: no session at all, and the floor."""

from tests.benchmarks.contenders.bare import Bare
from tests.benchmarks.contenders.base import Contender
from tests.benchmarks.contenders.floor import Floor
from tests.benchmarks.contenders.litestar import LitestarServerSide
from tests.benchmarks.contenders.ours import Ours, OursUnloaded, OursWithAge
from tests.benchmarks.contenders.starlette import StarletteCookie
from tests.benchmarks.contenders.starsessions import Starsessions

OURS: list[type[Contender]] = [Ours, OursUnloaded, OursWithAge]
PEERS: list[type[Contender]] = [StarletteCookie, Starsessions, LitestarServerSide]
ALL: list[type[Contender]] = [Bare, Floor, *OURS, *PEERS]

__all__ = [
    "ALL",
    "OURS",
    "PEERS",
    "Bare",
    "Contender",
    "Floor",
    "LitestarServerSide",
    "Ours",
    "OursUnloaded",
    "OursWithAge",
    "StarletteCookie",
    "Starsessions",
]
