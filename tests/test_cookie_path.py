"""Whether the request's path is one that the cookie is for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_session.cookie_path import path_matches


def scope(path: str, root_path: str = "") -> dict[str, Any]:
    return {"path": path, "root_path": root_path}


@pytest.mark.parametrize(
    ("cookie_path", "path", "matches"),
    [
        ("/", "/", True),
        ("/", "/anything/at/all", True),
        ("/", "", True),
        ("/app", "/app", True),
        ("/app", "/app/", True),
        ("/app", "/app/page", True),
        ("/app", "/apple", False),
        ("/app", "/ap", False),
        ("/app", "/", False),
        ("/app", "", False),
        ("/app", "/APP", False),
        ("/app", "/other/app", False),
        ("/app/", "/app/page", True),
        ("/app/", "/app/", True),
        ("/app/", "/app", False),
        ("/app/sub", "/app", False),
        ("/app/sub", "/app/sub/page", True),
    ],
)
def test_a_cookie_is_for_its_path_and_what_lies_below(cookie_path: str, path: str, matches: bool) -> None:
    assert path_matches(scope(path), cookie_path) is matches


@pytest.mark.parametrize(
    ("cookie_path", "path", "root_path", "matches"),
    [
        ("/api", "/api/page", "/api", True),
        ("/api", "/page", "/api", True),
        ("/api", "/apix", "/api", True),
        ("/page", "/page", "/api", False),
        ("/page", "/api/page", "/api", False),
        ("/api/page", "/page", "/api", True),
        ("/api/page", "/page", "/api/", True),
        ("/api", "", "/api", True),
        ("/api", "/api", "/api", True),
    ],
)
def test_the_root_path_stands_in_front_where_the_server_left_it_out(
    cookie_path: str, path: str, root_path: str, matches: bool
) -> None:
    assert path_matches(scope(path, root_path), cookie_path) is matches


def test_a_scope_without_a_root_path_has_none() -> None:
    assert path_matches({"path": "/app/page"}, "/app")


def model_of_path_match(request: str, cookie: str) -> bool:
    """Path-match as RFC 6265, 5.1.4 lists its three conditions."""
    if request == cookie:
        return True
    if not request.startswith(cookie):
        return False
    return cookie.endswith("/") or request[len(cookie)] == "/"


PATHS = st.lists(st.sampled_from(["/", "a", "b", "ab"]), max_size=6).map(lambda parts: "/" + "".join(parts))


@settings(deadline=None)
@given(PATHS, PATHS)
def test_paths_match_as_browsers_match_them(request: str, cookie: str) -> None:
    assert path_matches(scope(request), cookie) is model_of_path_match(request, cookie)
