"""``python -m demo``: the command line, the greeting on the console, and the server."""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import socket
import sys

import uvicorn

from demo.app import create_app
from demo.store_url import StoreURLError, describe, open_store


class GreetingServer(uvicorn.Server):
    """Says where it can be reached once it really listens, so that the address holds for ``--port 0`` too.

    Args:
        config: uvicorn's own settings.
        notes: lines to print below the address.
    """

    def __init__(self, config: uvicorn.Config, notes: list[str]) -> None:
        super().__init__(config)
        self._notes = notes

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.config.host, self.config.host)  # noqa: S104
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        chosen = self.servers[0].sockets[0].getsockname()[1]
        say(f"asgi_session demo   http://{host}:{chosen}/   (Ctrl-C stops it)", *self._notes)


def say(*lines: str) -> None:
    """Print for whoever started the demo, at once even into a pipe."""
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def arguments() -> argparse.ArgumentParser:
    """The command line that the demo understands."""
    parser = argparse.ArgumentParser(prog="python -m demo", description="Sessions and flash messages, page by page.")
    parser.add_argument(
        "--store",
        metavar="URL",
        default="memory://",
        help="where sessions live: memory:// (default), mongodb://..., redis://... or valkey://...",
    )
    parser.add_argument("--host", metavar="H", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", metavar="N", type=port, default=8000, help="port to listen on (default %(default)s)")
    return parser


def port(text: str) -> int:
    """A port number from the command line; 0 lets the system choose.

    Raises:
        argparse.ArgumentTypeError: no number from 0 to 65535.
    """
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError("not a number from 0 to 65535")
    return int(text)


def main() -> None:
    """Serve the demo until Ctrl-C."""
    parser = arguments()
    options = parser.parse_args()
    try:
        store = open_store(options.store)
    except StoreURLError as error:
        parser.error(f"--store: {error}")
    secret = os.environ.get("SESSION_SECRET")
    source = "from SESSION_SECRET" if secret else "random for this run"
    if not secret and not options.store.startswith("memory:"):
        source += "; set SESSION_SECRET and sessions outlive a restart"
    notes = [f"  store   {describe(options.store)}", f"  secret  {source}"]
    app = create_app(store, secret or secrets.token_urlsafe(32))
    server = GreetingServer(uvicorn.Config(app, options.host, options.port, log_level="warning"), notes)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    say("Stopped.")


if __name__ == "__main__":
    main()
