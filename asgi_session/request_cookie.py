"""Which cookies of our name a request carries, and whether its path is one that they are for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def cookie_values(header: bytes, name: bytes) -> list[bytes]:
    """The values of one cookie in a Cookie header, in their order.

    Names are compared to the letter. Blanks around name and value go, quotes stay: the value is taken as it is
    (RFC 6265, 5.4 sends back what it got).
    """
    occurrences = header.count(name)
    if occurrences == 0:
        return []
    before, found, after = header.partition(name + b"=")
    if occurrences == 1 and found and (not before or before.endswith(b"; ")):  # as browsers have it
        return [after.partition(b";")[0].strip(b" \t")]
    pairs = [pair.partition(b"=") for pair in header.split(b";")]
    return [value.strip(b" \t") for key, separator, value in pairs if separator and key.strip(b" \t") == name]


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
