"""A server of the tests' own: started on a free port of 127.0.0.1, stopped, killed, paused, started again."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self


def free_port(below: int = 55535) -> int:
    """A port nobody listens on now, below `below` (a Redis cluster's bus takes the port 10000 above)."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < below:
            return port


class Server:
    """One server process with a data folder of its own.

    Args:
        command: `(port, data folder)` to the command line.
        ready: `(port)` to whether the server serves; polled after the start.
        patience: seconds to wait for that.
    """

    def __init__(
        self, command: Callable[[int, Path], list[str]], ready: Callable[[int], bool], *, patience: float = 30
    ) -> None:
        self._command = command
        self._ready = ready
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="asgi-session-test-"))

    def start(self) -> None:
        """Start (again, on the same port and data) and wait until it serves."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command(self.port, self.folder), stdout=log, stderr=log)
        deadline = time.monotonic() + self._patience
        while not self._ready(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    "server did not start:\n" + (self.folder / "log").read_text(errors="replace")[-2000:]
                )
            time.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal: SIGSTOP and SIGCONT pause and resume it."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it as a crash would: SIGKILL, no clean-up."""
        self.signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def stop(self) -> None:
        """End it for good and remove its data."""
        if self._process is not None and self._process.poll() is None:
            self.signal(signal.SIGCONT)
            self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
