"""Express with express-session, installed by npm into a temporary folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.payloads import shop_session

SCRIPTS = Path(__file__).parent / "express"


@contextmanager
def express_installed() -> Iterator[Path | None]:
    """The folder with the modules and the payload; None where there is no node or no npm."""
    if not shutil.which("node") or not shutil.which("npm"):
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="asgi-session-benchmark-") as name:
        folder = Path(name)
        shutil.copy(SCRIPTS / "package.json", folder)
        (folder / "payload.json").write_text(json.dumps(shop_session(100)))
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        yield folder
