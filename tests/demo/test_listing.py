"""The code panel."""

from __future__ import annotations

import inspect
import re
from html import unescape

import pytest

from demo.listing import coloured, listing
from demo.pages import cart


def plain(html: str) -> str:
    return unescape(re.sub(r"</?span[^>]*>", "", html))


def test_a_listing_is_the_source_itself() -> None:
    assert plain(listing("cart", "add_to_cart")) == inspect.getsource(cart.add_to_cart).rstrip()


def test_functions_are_listed_in_the_order_asked_for() -> None:
    text = plain(listing("cart", "remove_from_cart", "add_to_cart"))
    assert text.index("def remove_from_cart") < text.index("def add_to_cart")


@pytest.mark.parametrize(
    ("source", "html"),
    [
        ("return 1\n", '<span class="keyword">return</span> <span class="number">1</span>\n'),
        (
            "x = '<'  # a & b\n",
            'x = <span class="string">&#39;&lt;&#39;</span>  <span class="comment"># a &amp; b</span>\n',
        ),
    ],
)
def test_tokens_are_coloured_and_escaped(source: str, html: str) -> None:
    assert coloured(source) == html


def test_text_in_several_lines_and_f_strings_come_through_unchanged() -> None:
    source = 'x = """one\ntwo"""\nif x:\n    y = f"{x}{{}}"\n'
    assert plain(coloured(source)) == source
