"""Markdown tables, and the line that says on what machine the numbers were taken."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ["starlette", "itsdangerous", "msgspec", "starsessions", "litestar", "uvicorn", "redis", "pymongo"]


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; the first column is text, the others are numbers."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine() -> str:
    """Processor, cores, and versions of everything that takes part."""
    models = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    parts = [
        models[0] if models else platform.processor(),
        f"{os.cpu_count()} cores",
        f"Python {platform.python_version()}",
    ]
    parts.extend(f"{name} {installed}" for name in _PACKAGES if (installed := _version(name)))
    if node := shutil.which("node"):
        parts.append(
            "node " + subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
        )
    return ", ".join(parts)


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text().splitlines() if file.exists() else []


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
