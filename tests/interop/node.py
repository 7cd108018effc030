"""Express apps in a process of Node: their packages from npm, installed once for each lock file, and their start."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

from tests.interop.options import Options
from tests.servers.need import missing
from tests.servers.process import Server

HERE = Path(__file__).parent / "express"
OLDEST_NODE = 20


class Installed(NamedTuple):
    """What the apps run with."""

    node: str  # the executable
    modules: Path  # a node_modules folder


def installed() -> Installed:
    """Find Node, and have npm install the packages if that was not done yet for this lock file.

    Skips the test (fails it under CI) where one of them can't be had.
    """
    return Installed(_node(), _packages())


def express(installed: Installed) -> Server:
    """The process that `start_app` starts apps in; not started yet."""

    def command(port: int, _: Path) -> list[str]:
        # The app stands in the repository, its packages in a cache: only `require` can be told where to look.
        variables = [f"NODE_PATH={installed.modules}", "NODE_ENV=production"]
        return ["env", *variables, installed.node, str(HERE / "app.js"), str(port)]

    return Server(command, _serves)


def start_app(server: Server, options: Options) -> str:
    """Start an app in the process; returns its URL."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/apps",
        json.dumps(options.for_express()).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
        return f"http://127.0.0.1:{json.load(response)}"


def _serves(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _node() -> str:
    node = shutil.which("node")
    if node is None:
        missing("node")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.lstrip("v").split(".")[0]) < OLDEST_NODE:
        missing(f"node {OLDEST_NODE} or newer")
    return node


def _packages() -> Path:
    """The `node_modules` folder for the lock file as it is now."""
    lock = (HERE / "package-lock.json").read_bytes()
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "asgi-session-tests"
    folder = caches / f"express-{hashlib.sha256(lock).hexdigest()[:16]}"
    if not folder.exists():
        _install(folder)
    return folder / "node_modules"


def _install(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        missing("npm")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Installed aside and renamed when complete: neither an interrupted run nor one beside it leaves half of it.
    aside = Path(tempfile.mkdtemp(prefix="installing-", dir=folder.parent))
    try:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, aside)
        done = subprocess.run(
            [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=aside, capture_output=True, text=True
        )
        if done.returncode != 0:
            missing(f"what `npm ci` installs ({done.stderr[-500:]})")
        if not folder.exists():
            aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
