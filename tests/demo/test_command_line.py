"""``python -m demo`` as a process: what it says, how it ends, and that sessions outlive it."""

from __future__ import annotations

import re
import subprocess
import sys

import httpx
import pytest

from demo.__main__ import arguments, main
from tests.demo.process import Demo
from tests.servers.mongo import MongoServer
from tests.servers.process import Server, free_port

SECRET = "a secret that only these tests know"


def views(client: httpx.Client) -> int:
    """The number that the first page shows."""
    found = re.search(r"You have viewed this page (\d+) time", client.get("/").raise_for_status().text)
    assert found is not None
    return int(found[1])


@pytest.fixture
def store_url(request: pytest.FixtureRequest, mongo_replica_set: MongoServer, valkey_server: Server) -> str:
    """A database of each kind, by the scheme that the test names."""
    if request.param == "mongodb":
        return mongo_replica_set.url.replace("/?", "/demo-test?")
    return f"redis://127.0.0.1:{valkey_server.port}/1"


@pytest.mark.parametrize("store_url", ["mongodb", "redis"], indirect=True)
def test_the_counter_goes_on_after_a_restart(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSION_SECRET", SECRET)
    with Demo("--store", store_url) as demo, httpx.Client(base_url=demo.address) as client:
        assert [views(client), views(client)] == [1, 2]
        demo.end()
        demo.start()
        assert views(client) == 3


def test_in_memory_it_counts_and_ends_cleanly_at_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SESSION_SECRET", raising=False)
    with Demo() as demo:
        with httpx.Client(base_url=demo.address) as client:
            assert [views(client), views(client), views(client)] == [1, 2, 3]
        assert demo.end() == 0
        assert demo.output.splitlines() == [
            f"asgi_session demo   {demo.address}/   (Ctrl-C stops it)",
            "  store   memory of this process: gone when it stops",
            "  secret  random for this run",
            "Stopped.",
        ]


def test_it_tells_the_store_without_its_password_and_never_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSION_SECRET", SECRET)
    with Demo("--store", f"redis://ada:s3cret@127.0.0.1:{free_port()}/0") as demo:
        said = demo.output
    assert re.search(r"store   Redis at 127\.0\.0\.1:\d+$", said, re.MULTILINE)
    assert "secret  from SESSION_SECRET" in said
    assert "s3cret" not in said
    assert SECRET not in said


def test_a_store_that_it_does_not_know_ends_it_with_a_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["demo", "--store", "mysql://ada:s3cret@db/"])
    with pytest.raises(SystemExit) as caught:
        main()
    said = capsys.readouterr().err
    assert caught.value.code == 2
    assert "use memory://, mongodb://..., redis://... or valkey://..." in said
    assert "s3cret" not in said


@pytest.mark.parametrize("port", ["70000", "-1", "http"])
def test_what_is_no_port_ends_it_with_a_hint(port: str) -> None:
    with pytest.raises(SystemExit) as caught:
        arguments().parse_args(["--port", port])
    assert caught.value.code == 2


def test_a_port_in_use_ends_it_without_a_greeting() -> None:
    with Demo() as first:
        command = [sys.executable, "-m", "demo", "--port", str(first.port)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ended.returncode != 0
    assert "address already in use" in ended.stderr
    assert ended.stdout == ""
