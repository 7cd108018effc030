"""Texts as bytes and bytes as texts: UTF-8, and what Node calls base64, base64url and hex."""

from __future__ import annotations

import base64
from typing import Literal

from asgi_session.stores.encrypted import Undecryptable

Encoding = Literal["base64", "base64url", "hex"]


def check_encoding(option: str, encoding: str) -> None:
    """Raises ValueError where `encoding` is none of those."""
    if encoding not in ("base64", "base64url", "hex"):
        raise ValueError(f"{option} is none of 'base64', 'base64url' and 'hex'")


def encoded(data: bytes, encoding: Encoding) -> str:
    """As Node writes it: base64url has no padding."""
    if encoding == "hex":
        return data.hex()
    if encoding == "base64url":
        return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")
    return base64.b64encode(data).decode("ascii")


def decoded(text: str, encoding: Encoding) -> bytes:
    """What was encoded.

    Raises:
        Undecryptable: nothing that `encoded` returns.
    """
    try:
        if encoding == "hex":
            data = bytes.fromhex(text)
        elif encoding == "base64url":
            data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        else:
            data = base64.b64decode(text)
    except ValueError:
        data = b""
    if encoded(data, encoding) != text:  # other spellings of the same bytes, and what Python's readers skip
        raise Undecryptable("is not in the codec's format")
    return data


def to_utf8(text: str) -> bytes:
    """UTF-8; a lone surrogate, which no payload of the middleware has, survives the way there and back."""
    return text.encode("utf-8", "surrogatepass")


def from_utf8(data: bytes) -> str:
    """The text of what was decrypted.

    Raises:
        Undecryptable: it is no UTF-8.
    """
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise Undecryptable("holds no text") from None
