"""A secret as the bytes that keys are made of."""

from __future__ import annotations

from starlette.datastructures import Secret

SomeSecret = str | bytes | Secret


def secret_bytes(secret: SomeSecret) -> bytes:
    """The bytes of a secret, a text in UTF-8.

    Raises:
        TypeError: it is none of str, bytes and Secret.
        ValueError: it is empty, or holds a lone surrogate.
    """
    if not isinstance(secret, str | bytes | Secret):
        raise TypeError("a secret is none of str, bytes and Secret")
    if isinstance(secret, bytes):
        found = secret
    else:
        found = str(secret).encode("utf-8", "ignore")  # a UnicodeEncodeError would hold the secret
        if found.decode("utf-8") != str(secret):
            raise ValueError("a secret holds a character that UTF-8 can't encode")
    if not found:
        raise ValueError("a secret is empty")
    return found
