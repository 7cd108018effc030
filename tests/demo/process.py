"""The demo as its users start it: a process of its own, with real uvicorn."""

from __future__ import annotations

import signal
import socket
import sys

from tests.servers.process import Server


class Demo(Server):
    """``python -m demo`` on a free port; a context manager. `options`: more of its command line."""

    def __init__(self, *options: str) -> None:
        super().__init__(lambda port, _: [sys.executable, "-m", "demo", "--port", str(port), *options], _listens)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        """All that it printed so far."""
        return (self.folder / "log").read_text()

    def end(self) -> int:
        """What Ctrl-C does; returns the exit code."""
        self.signal(signal.SIGINT)
        assert self._process is not None
        return self._process.wait(timeout=10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
