"""What a test does when the machine lacks something: skip it for a developer, fail it under CI."""

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Report that `what` is not on this machine."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and under CI nothing may be skipped", pytrace=False)
    pytest.skip(f"{what} is missing")
