"""Tests of what other packages do for us only from some version on; the gate runs many of them with the oldest, too."""

from __future__ import annotations

from importlib.metadata import version

import pytest


def needs(package: str, oldest: str) -> pytest.MarkDecorator:
    """Leave a test to newer versions of a package."""
    return pytest.mark.skipif(_numbers(version(package)) < _numbers(oldest), reason=f"{package} before {oldest}")


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(".")[:2]]
