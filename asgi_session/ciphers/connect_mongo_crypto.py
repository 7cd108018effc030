"""The format of connect-mongo's option `crypto`, which kruptein 3 writes."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from asgi_session.ciphers import cbc, octet_strings
from asgi_session.ciphers.derived_keys import DerivedKeys
from asgi_session.ciphers.text_bytes import Encoding, check_encoding, decoded, encoded, from_utf8
from asgi_session.json_text import dumps, loads
from asgi_session.secret_bytes import SomeSecret, secret_bytes
from asgi_session.stores.encrypted import Undecryptable

Algorithm = Literal["aes-128-gcm", "aes-192-gcm", "aes-256-gcm", "aes-128-cbc", "aes-192-cbc", "aes-256-cbc"]
Hashing = Literal["sha256", "sha384", "sha512"]

ITERATIONS = 15_000

_ALGORITHM = re.compile("aes-(128|192|256)-(gcm|cbc)")
_SALT_SIZE = 128
_GCM_IV_SIZE = 12
_TAG_SIZE = 16


class ConnectMongoCrypto:
    """What connect-mongo 6 reads and writes with ``crypto: {secret, algorithm, hashing, encodeas}``.

    Every record names the salt that its key was derived with, and Express draws a new one for every write: the first
    reading of what Express wrote costs a derivation, some milliseconds in a thread. Keys are remembered by their salt,
    and all that this object seals has one salt, so that its records cost it one derivation altogether.

    The format does not bind a record to its id: whoever can write to the database can exchange two sessions.

    Args:
        secret: as in Express.
        algorithm: the default is connect-mongo's, as are the others.
        hashing: for the derivation and the digest.
        encodeas: how bytes become text. (connect-mongo's README says "hex" is its default; the package uses "base64".)

    Raises:
        TypeError: the secret is none of str, bytes and Secret.
        ValueError: the secret is empty, or an option is none of those that its type lists.
    """

    def __init__(
        self,
        secret: SomeSecret,
        *,
        algorithm: Algorithm = "aes-256-gcm",
        hashing: Hashing = "sha512",
        encodeas: Encoding = "base64",
    ) -> None:
        match = _ALGORITHM.fullmatch(algorithm)
        if match is None:
            raise ValueError("algorithm is none of aes-128-gcm, -192- and -256-, and the same with cbc")
        if hashing not in ("sha256", "sha384", "sha512"):
            raise ValueError("hashing is none of 'sha256', 'sha384' and 'sha512'")
        check_encoding("encodeas", encodeas)
        self._secret = secret_bytes(secret)
        self._key_size = int(match[1]) // 8
        self._authenticated = match[2] == "gcm"
        self._hashing = hashing
        self._encodeas: Encoding = encodeas
        self._salt = secrets.token_bytes(_SALT_SIZE)
        self._keys = DerivedKeys(self._derive)

    async def seal(self, sid: str, text: str) -> str:
        key = await self._keys.get(self._salt)
        plain = dumps(text).encode("utf-8")
        more: list[bytes] = []
        if self._authenticated:
            # kruptein's associated data are a digest under a key that it throws away: as good as random.
            associated = secrets.token_bytes(hashlib.new(self._hashing).digest_size)
            iv = secrets.token_bytes(_GCM_IV_SIZE)
            both = AESGCM(key).encrypt(iv, plain, associated)
            encrypted = both[:-_TAG_SIZE]
            more = [both[-_TAG_SIZE:], self._encoded(associated)]
        else:
            iv = secrets.token_bytes(cbc.IV_SIZE)
            encrypted = cbc.encrypt(key, iv, plain)
        written = self._encoded(encrypted)
        parts = [written, self._digest(key, written), iv, self._salt, *more]
        return encoded(octet_strings.joined(parts), self._encodeas)

    async def open(self, sid: str, sealed: str) -> str:
        parts = octet_strings.split(decoded(sealed, self._encodeas), 6 if self._authenticated else 4)
        written, digest, iv, salt, *more = parts
        key = await self._keys.get(salt)
        if not hmac.compare_digest(self._digest(key, written), digest):
            raise Undecryptable("was altered, or was sealed with another secret")
        encrypted = self._decoded(written)
        try:
            if self._authenticated:
                tag, associated = more
                plain = AESGCM(key).decrypt(iv, encrypted + tag, self._decoded(associated))
            else:
                plain = cbc.decrypt(key, iv, encrypted)
        except (InvalidTag, ValueError):  # ValueError: lengths and padding
            raise Undecryptable("was altered") from None
        return _payload(from_utf8(plain))

    def _derive(self, salt: bytes) -> bytes:
        return hashlib.pbkdf2_hmac(self._hashing, self._secret, salt, ITERATIONS, self._key_size)

    def _digest(self, key: bytes, written: bytes) -> bytes:
        return self._encoded(hmac.digest(key, written, self._hashing))

    def _encoded(self, data: bytes) -> bytes:
        return encoded(data, self._encodeas).encode("ascii")

    def _decoded(self, data: bytes) -> bytes:
        return decoded(data.decode("latin-1"), self._encodeas)


def _payload(plain: str) -> str:
    """The session's JSON text: kruptein makes JSON of what it is given, and that was JSON before."""
    try:
        value = loads(plain)
    except ValueError:
        return plain
    return value if isinstance(value, str) else plain
