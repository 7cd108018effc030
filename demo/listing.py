"""The code panel: what runs and what is shown are the same lines, read from the module itself."""

from __future__ import annotations

import inspect
import io
import keyword
import tokenize
from functools import cache
from importlib import import_module

from markupsafe import Markup, escape


@cache
def listing(module: str, *functions: str) -> Markup:
    """The source of `functions` in ``demo.pages.<module>``, coloured, with an empty line between them."""
    found = import_module(f"demo.pages.{module}")
    return Markup("\n\n").join(coloured(inspect.getsource(getattr(found, name)).rstrip()) for name in functions)


def coloured(source: str) -> Markup:
    """Python source as HTML, with the tokens that have a colour in a ``span`` of that kind."""
    lines = source.splitlines(keepends=True)
    html = Markup("")
    row, column = 1, 0

    def upto(end: tuple[int, int]) -> str:
        nonlocal row, column
        text = ""
        while row < end[0]:
            text += lines[row - 1][column:]
            row, column = row + 1, 0
        if row <= len(lines):
            text += lines[row - 1][column : end[1]]
            column = end[1]
        return text

    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        html += escape(upto(token.start))
        kind, text = kind_of(token), escape(upto(token.end))
        html += Markup('<span class="{}">{}</span>').format(kind, text) if kind else text
    return html


def kind_of(token: tokenize.TokenInfo) -> str | None:
    """``comment``, ``string``, ``keyword``, ``number``, or None for what stays plain."""
    # Since Python 3.12 an f-string comes in pieces, each of a type of its own.
    if token.type == tokenize.STRING or tokenize.tok_name[token.type].startswith("FSTRING"):
        return "string"
    if token.type == tokenize.NAME and keyword.iskeyword(token.string):
        return "keyword"
    return {tokenize.COMMENT: "comment", tokenize.NUMBER: "number"}.get(token.type)
