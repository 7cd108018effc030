"""Which short requests run against each other, and what is stored before they do."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from tests.concurrency.model import Data
from tests.concurrency.operations import OPERATIONS, Program

START: dict[str, Data] = {
    "much": {"a": "start", "list": [], "b": 1, "n": 10, "flash": {"info": ["first"]}},
    "a message alone": {"flash": {"info": ["first"]}},
    "one key": {"b": 1},
}
"""What is stored at first. All but the first are emptied by a single operation."""

ONE: list[Program] = [(name,) for name in OPERATIONS]
"""Requests of one operation."""

_INDEPENDENT = ["put", "nested", "delete", "increment", "add", "drain", "touch"]
_ONCE = {"put", "delete", "touch", "regenerate", "keep", "destroy", "fail"}  # doing it twice is doing it once


def _two() -> Iterator[Program]:
    for one, other in product(OPERATIONS, repeat=2):
        pointless = "read" in (one, other) or one == "fail" or (one == other and one in _ONCE)
        swapped = one in _INDEPENDENT and other in _INDEPENDENT and one > other and {one, other} != {"add", "drain"}
        if not pointless and not swapped:
            yield one, other


TWO: list[Program] = list(_two())
"""Requests of two operations: all that differ from each other and from one operation."""

_SIMPLE = {"nested", "delete"}  # to others they are a `put` of another key

TWO_BRIEFLY: list[Program] = [program for program in TWO if not _SIMPLE & set(program)]
"""Those of them that differ in what they mean to others."""
