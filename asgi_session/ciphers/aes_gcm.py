"""Encryption at rest for whoever has no format to keep to."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import warnings

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.datastructures import Secret

from asgi_session.ciphers.text_bytes import decoded, encoded, from_utf8, to_utf8
from asgi_session.secret_bytes import SomeSecret, secret_bytes
from asgi_session.stores.encrypted import Undecryptable

VERSION = "v1"
KEY_SIZE = 32
ITERATIONS = 600_000

_NONCE_SIZE = 12
_SHORT = 32
_ID_SIZE = 6
_ID_LABEL = b"asgi_session AesGcm key id"
_SALT = b"asgi_session AesGcm key v1"


class AesGcm:
    """AES-256-GCM: nobody without the key can read a record, alter it, or move it to another id.

    A sealed text is ``v1.<key id>.<data>``: the key id is 8 characters that tell keys apart and nothing about them, the
    data are 12 random bytes (the nonce), the ciphertext and its 16 byte tag in base64url. The session id in UTF-8 is
    the associated data.

    Rotation: put a new key first and keep the old one behind it for as long as sessions live. A record is sealed anew
    when it is next written.

    Args:
        key: seals and opens. 32 random bytes; or a text, of which the key is made by PBKDF2-HMAC-SHA256 with 600 000
            iterations and a salt that is part of this package. That takes some tenths of a second, here and now, so
            make the codec when the application starts.
        more_keys: open only.

    Raises:
        TypeError: a key is none of str, bytes and Secret.
        ValueError: bytes of another length; an empty text.
    """

    def __init__(self, key: SomeSecret, *more_keys: SomeSecret) -> None:
        ring = list(map(_key, (key, *more_keys)))
        self._front = f"{VERSION}.{_key_id(ring[0])}."
        self._first = AESGCM(ring[0])
        self._by_id = {_key_id(one): AESGCM(one) for one in ring}

    async def seal(self, sid: str, text: str) -> str:
        nonce = secrets.token_bytes(_NONCE_SIZE)
        return self._front + encoded(nonce + self._first.encrypt(nonce, to_utf8(text), to_utf8(sid)), "base64url")

    async def open(self, sid: str, sealed: str) -> str:
        version, _, rest = sealed.partition(".")
        key_id, dot, data = rest.partition(".")
        if version != VERSION or not dot:
            raise Undecryptable("is not in the codec's format")
        cipher = self._by_id.get(key_id)
        if cipher is None:
            raise Undecryptable("was sealed with a key that is not here")
        found = decoded(data, "base64url")
        try:
            return from_utf8(cipher.decrypt(found[:_NONCE_SIZE], found[_NONCE_SIZE:], to_utf8(sid)))
        except (InvalidTag, ValueError):  # ValueError: too short
            raise Undecryptable("was altered, or was sealed for another id") from None


def _key(secret: SomeSecret) -> bytes:
    key = secret_bytes(secret)
    if not isinstance(secret, str | Secret):
        if len(key) != KEY_SIZE:
            raise ValueError(f"a key in bytes must have {KEY_SIZE} of them")
        return key
    if len(key) < _SHORT:
        warnings.warn(f"a text for an encryption key is shorter than {_SHORT} bytes", UserWarning, stacklevel=3)
    return hashlib.pbkdf2_hmac("sha256", key, _SALT, ITERATIONS, KEY_SIZE)


def _key_id(key: bytes) -> str:
    return encoded(hmac.digest(key, _ID_LABEL, "sha256")[:_ID_SIZE], "base64url")
