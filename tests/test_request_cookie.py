"""Which cookies of our name came, and whether the request's path is one that the cookie is for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_session.request_cookie import cookie_values, path_matches


def values(header: bytes, name: bytes = b"connect.sid") -> list[bytes]:
    return cookie_values(header, name)


def test_the_value_is_taken_from_among_other_cookies() -> None:
    assert values(b"a=b; connect.sid=x; c=d") == [b"x"]


def test_all_cookies_of_the_name_count_in_their_order() -> None:
    assert values(b"connect.sid=1; connect.sid=2") == [b"1", b"2"]


def test_no_blank_is_needed_after_the_semicolon() -> None:
    assert values(b"a=b;connect.sid=x") == [b"x"]


def test_blanks_around_name_and_value_go() -> None:
    assert values(b" \tconnect.sid \t=\t x \t; a=b") == [b"x"]


def test_quotes_are_part_of_the_value() -> None:
    assert values(b'connect.sid="x"') == [b'"x"']


def test_a_semicolon_ends_the_value_even_within_quotes() -> None:
    assert values(b'a="b; connect.sid=x; c="') == [b"x"]


def test_equals_signs_after_the_first_are_part_of_the_value() -> None:
    assert values(b"connect.sid=x==") == [b"x=="]


@pytest.mark.parametrize("header", [b"Connect.Sid=x", b"connect.sid2=x", b"xconnect.sid=x", b"$connect.sid=x"])
def test_a_cookie_of_another_name_is_not_ours(header: bytes) -> None:
    assert values(header) == []


def test_a_name_without_an_equals_sign_is_no_cookie() -> None:
    assert values(b"connect.sid; connect.sid") == []


def test_an_empty_value_is_a_value() -> None:
    assert values(b"connect.sid=") == [b""]


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_no_cookie_header_whatever_upsets_the_search(header: bytes) -> None:
    for value in values(header, name=b"a"):
        assert b";" not in value


def taken_pair_by_pair(header: bytes, name: bytes) -> list[bytes]:
    found = []
    for pair in header.split(b";"):
        key, equals, value = pair.partition(b"=")
        if equals and key.strip(b" \t") == name:
            found.append(value.strip(b" \t"))
    return found


@settings(deadline=None, max_examples=500)
@given(st.lists(st.sampled_from([b"sid", b"=", b";", b"; ", b" ", b"\t", b"x", b"si", b"d"])).map(b"".join))
def test_however_cookies_are_spaced_they_are_what_stands_between_the_semicolons(header: bytes) -> None:
    assert values(header, name=b"sid") == taken_pair_by_pair(header, b"sid")


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
