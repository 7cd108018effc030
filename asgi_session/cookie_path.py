"""Whether a request's path is one that a cookie is for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def path_matches(scope: Mapping[str, Any], cookie_path: str) -> bool:
    """Whether a browser would send a cookie of this path with this request (path-match of RFC 6265, 5.1.4)."""
    if cookie_path == "/":
        return True
    path: str = scope.get("path") or "/"
    root: str = scope.get("root_path") or ""
    if root and not _is_under(path, root):  # servers differ in whether the path includes the root path
        path = root.rstrip("/") + path
    return _is_under(path, cookie_path)


def _is_under(path: str, prefix: str) -> bool:
    return path.startswith(prefix) and (prefix.endswith("/") or len(path) == len(prefix) or path[len(prefix)] == "/")
