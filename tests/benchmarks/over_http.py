"""Requests per second over HTTP: one uvicorn worker against one node process, wrk with 32 connections, in turn.

Beside the clock's answer stands the processor's: by requests per second of the server's own processor time, which says
the same on a quiet machine and more on a busy one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from statistics import median

from tests.benchmarks.http_apps import REDIS_URL
from tests.benchmarks.node import SCRIPTS, express_installed
from tests.benchmarks.redis_server import redis_server
from tests.benchmarks.request import OTHER_COOKIES
from tests.servers.process import Server

PAGES = ["nothing", "read", "write"]

BASELINES = {
    "asgi_session": "Starlette, bare",
    "asgi_session, max_age": "Starlette, bare",
    "Starlette": "Starlette, bare",
    "starsessions": "Starlette, bare",
    "Litestar": "Litestar, bare",
    "Express": "Express, bare",
    "asgi_session, Redis": "Starlette, bare",
    "starsessions, Redis": "Starlette, bare",
    "Litestar, Redis": "Litestar, bare",
    "Express, Redis": "Express, bare",
}
"""Who is measured against which bare app."""

_APPS = {
    "Starlette, bare": "bare",
    "asgi_session": "ours",
    "asgi_session, max_age": "ours_with_age",
    "Starlette": "starlette_cookie",
    "starsessions": "starsessions",
    "Litestar, bare": "litestar_bare",
    "Litestar": "litestar",
    "asgi_session, Redis": "ours_in_redis",
    "starsessions, Redis": "starsessions_in_redis",
    "Litestar, Redis": "litestar_in_redis",
}

_CONNECTIONS = 32
_VISITORS = 64

_SCRIPT = """
local requests = {}
local turn = 0
function init(args)
  for line in io.lines("%s") do requests[#requests + 1] = wrk.format("GET", "%s", {["Cookie"] = line}) end
end
function request()
  turn = turn %% #requests + 1
  return requests[turn]
end
"""

Rates = dict[tuple[str, str], float]
"""(page, contender) to a figure."""


@dataclass
class Found:
    """Medians over the rounds, by page and contender."""

    rates: Rates
    """Requests per second."""
    shares: Rates
    """That, as a share of what the contender's own bare app did just before or after it."""
    processor_shares: Rates
    """The same of requests per second of processor time."""


def measure(rounds: int) -> Found:
    """Measure every contender for every page, each beside its bare app, so that a machine's moods meet both.

    Raises:
        RuntimeError: wrk is missing, a server failed, or one answered with anything but 200.
        AssertionError: a contender did not count.
    """
    if not shutil.which("wrk"):
        raise RuntimeError("wrk is missing")
    rates: dict[tuple[str, str], list[float]] = {}
    shares: dict[tuple[str, str], list[float]] = {}
    processor_shares: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        redis_url = f"redis://127.0.0.1:{stack.enter_context(redis_server()).port}"
        servers = {name: stack.enter_context(Server(_uvicorn(app, redis_url), _serves)) for name, app in _APPS.items()}
        modules = stack.enter_context(express_installed())
        if modules is not None:
            servers["Express, bare"] = stack.enter_context(Server(_node(modules), _serves))
            servers["Express"] = stack.enter_context(Server(_node(modules, "memory"), _serves))
            servers["Express, Redis"] = stack.enter_context(Server(_node(modules, redis_url), _serves))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name, server in servers.items():
            if name in BASELINES:
                _prove(server.port, name)
            cookies = [OTHER_COOKIES + _visit(server.port, "/fill")[1] for _ in range(_VISITORS)]
            (folder / f"{server.port}").write_text("\n".join(cookies) + "\n")
            for page in PAGES:
                (folder / f"{server.port}{page}.lua").write_text(_SCRIPT % (folder / f"{server.port}", f"/{page}"))
                _load(server, folder / f"{server.port}{page}.lua")
        for number in range(rounds):
            for page in PAGES:
                for name in [name for name in servers if name in BASELINES]:
                    pair = [BASELINES[name], name]
                    loads = {
                        who: _load(servers[who], folder / f"{servers[who].port}{page}.lua")
                        for who in (pair if number % 2 else reversed(pair))
                    }
                    (bare, bare_processor), (own, own_processor) = [loads[who] for who in pair]
                    rates.setdefault((page, pair[0]), []).append(bare)
                    rates.setdefault((page, name), []).append(own)
                    shares.setdefault((page, name), []).append(own / bare)
                    processor_shares.setdefault((page, name), []).append(own_processor / bare_processor)
    return Found(_medians(rates), _medians(shares), _medians(processor_shares))


def _medians(samples: dict[tuple[str, str], list[float]]) -> Rates:
    return {key: median(values) for key, values in samples.items()}


def _uvicorn(app: str, redis_url: str) -> Callable[[int, Path], list[str]]:
    options = ["--factory", "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    return lambda port, _: [
        *("env", f"{REDIS_URL}={redis_url}", sys.executable, "-m", "uvicorn", f"tests.benchmarks.http_apps:{app}"),
        *("--port", str(port), *options),
    ]


def _node(modules: Path, *options: str) -> Callable[[int, Path], list[str]]:
    environment = ["env", f"BENCHMARK_MODULES={modules}", "NODE_ENV=test"]
    return lambda port, _: [*environment, "node", str(SCRIPTS / "server.js"), str(port), *options]


def _serves(port: int) -> bool:
    try:
        _visit(port, "/nothing")
    except OSError:
        return False
    return True


def _visit(port: int, page: str, cookie: str = "") -> tuple[str, str]:
    """One request; returns the body and the session cookie to send next."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", page, headers={"Cookie": OTHER_COOKIES + cookie} if cookie else {})
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    if response.status != 200:
        raise RuntimeError(f"{page} was answered with {response.status}")
    sent = response.getheader("Set-Cookie")
    return body, sent.split(";")[0] if sent else cookie


def _prove(port: int, name: str) -> None:
    _, cookie = _visit(port, "/fill")
    assert cookie, name
    counts = []
    for page in ("/read", "/write", "/write", "/read"):
        body, cookie = _visit(port, page, cookie)
        counts.append(int(body))
    start = counts[0]
    assert counts == [start, start + 1, start + 2, start + 2], (name, counts)


def _load(server: Server, script: Path) -> tuple[float, float]:
    url = f"http://127.0.0.1:{server.port}/"
    command = ["wrk", "-t1", f"-c{_CONNECTIONS}", "-d1s", "-s", str(script), url]
    before = _processor_seconds(server)
    report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = _processor_seconds(server) - before
    rate = re.search(r"Requests/sec:\s+([\d.]+)", report)
    requests = re.search(r"(\d+) requests in", report)
    if rate is None or requests is None or "Non-2xx" in report:
        raise RuntimeError(report)
    return float(rate[1]), int(requests[1]) / used


def _processor_seconds(server: Server) -> float:
    """What the server process has used so far (Linux)."""
    assert server._process is not None
    fields = Path(f"/proc/{server._process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
