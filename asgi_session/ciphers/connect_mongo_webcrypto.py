"""The format of connect-mongo's `createWebCryptoAdapter`."""

from __future__ import annotations

import hashlib
import secrets
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from asgi_session.ciphers import cbc
from asgi_session.ciphers.derived_keys import DerivedKeys
from asgi_session.ciphers.text_bytes import Encoding, check_encoding, decoded, encoded, from_utf8, to_utf8
from asgi_session.secret_bytes import SomeSecret, secret_bytes
from asgi_session.stores.encrypted import Undecryptable

Algorithm = Literal["AES-GCM", "AES-CBC"]

SALT = b"connect-mongo:webcrypto-default-salt"
ITERATIONS = 310_000

_KEY_SIZE = 32
_GCM_IV_SIZE = 12
_GCM_IV_SIZES = range(8, 129)  # what `cryptography` takes


class ConnectMongoWebCrypto:
    """What connect-mongo 6 reads and writes with ``cryptoAdapter: createWebCryptoAdapter({secret, ...})``.

    The key is derived once, in a thread, when it is first needed.

    The format does not bind a record to its id: whoever can write to the database can exchange two sessions. With
    AES-CBC they can also alter sessions, since nothing checks them.

    Args:
        secret: as in Express.
        iv_length: bytes in front of the ciphertext (`ivLength`). None: 12 for AES-GCM, 16 for AES-CBC.
        encoding: how bytes become text.
        algorithm: with a 256 bit key.
        salt: for the derivation, a text in UTF-8.
        iterations: of PBKDF2-HMAC-SHA256.

    Raises:
        TypeError: secret or salt are none of str and bytes (Starlette's Secret is one for the secret); `iterations` or
            `iv_length` is no int.
        ValueError: the secret is empty; `encoding` or `algorithm` is none of those that its type lists; the algorithm
            takes no initialization vector of that length; `iterations` is below 1.
    """

    def __init__(
        self,
        secret: SomeSecret,
        *,
        iv_length: int | None = None,
        encoding: Encoding = "base64",
        algorithm: Algorithm = "AES-GCM",
        salt: str | bytes = SALT,
        iterations: int = ITERATIONS,
    ) -> None:
        if algorithm not in ("AES-GCM", "AES-CBC"):
            raise ValueError("algorithm is neither 'AES-GCM' nor 'AES-CBC'")
        check_encoding("encoding", encoding)
        self._authenticated = algorithm == "AES-GCM"
        if iv_length is None:
            iv_length = _GCM_IV_SIZE if self._authenticated else cbc.IV_SIZE
        elif iv_length not in (_GCM_IV_SIZES if self._authenticated else [cbc.IV_SIZE]):
            raise ValueError(f"{algorithm} takes no initialization vector of {iv_length} bytes")
        if not isinstance(salt, str | bytes):
            raise TypeError("salt is neither str nor bytes")
        if type(iterations) is not int or type(iv_length) is not int:
            raise TypeError("iterations or iv_length is no int")
        if iterations < 1:
            raise ValueError("iterations must be at least 1")
        self._secret = secret_bytes(secret)
        self._iv_length = iv_length
        self._encoding: Encoding = encoding
        self._salt = salt.encode("utf-8") if isinstance(salt, str) else salt
        self._iterations = iterations
        self._keys = DerivedKeys(self._derive)

    async def seal(self, sid: str, text: str) -> str:
        key = await self._keys.get(self._salt)
        iv = secrets.token_bytes(self._iv_length)
        plain = to_utf8(text)
        encrypted = AESGCM(key).encrypt(iv, plain, None) if self._authenticated else cbc.encrypt(key, iv, plain)
        return encoded(iv + encrypted, self._encoding)

    async def open(self, sid: str, sealed: str) -> str:
        data = decoded(sealed, self._encoding)
        iv, encrypted = data[: self._iv_length], data[self._iv_length :]
        key = await self._keys.get(self._salt)
        try:
            plain = AESGCM(key).decrypt(iv, encrypted, None) if self._authenticated else cbc.decrypt(key, iv, encrypted)
        except (InvalidTag, ValueError):  # ValueError: lengths and padding
            raise Undecryptable("was altered, or was sealed with another secret") from None
        return from_utf8(plain)

    def _derive(self, salt: bytes) -> bytes:
        return hashlib.pbkdf2_hmac("sha256", self._secret, salt, self._iterations, _KEY_SIZE)
