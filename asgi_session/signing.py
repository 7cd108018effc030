"""How a session id becomes a cookie value and back: Express's cookie-signature format, by itsdangerous.

``s:`` + id + ``.`` + base64(HMAC-SHA256(secret, id)) without padding, percent-encoded as JavaScript's
encodeURIComponent does.
"""

from __future__ import annotations

import hmac
import re
from binascii import b2a_base64
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from itsdangerous import Signer
from itsdangerous.encoding import want_bytes
from itsdangerous.signer import SigningAlgorithm

MAX_VALUE = 4096
"""Bytes of the longest cookie value that is looked at, the limit that browsers set (RFC 6265bis, 5.6)."""

_UNRESERVED = "-_.!~*'()"  # what encodeURIComponent leaves as it is, besides letters and digits
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class _HmacSha256(SigningAlgorithm):
    def get_signature(self, key: bytes, value: bytes) -> bytes:
        return hmac.digest(key, value, "sha256")


class ExpressSigner(Signer):
    """itsdangerous' signer, set up to give and take the bytes of cookie-signature 1.0.

    The signature is standard base64 without padding and is compared as text: other spellings of the same bits (padding,
    the URL-safe alphabet) are refused, as Express refuses them.
    """

    default_key_derivation = "none"

    def __init__(self, secret: bytes) -> None:
        super().__init__(secret, algorithm=_HmacSha256())
        self._key = self.derive_key()
        self._digest = self.algorithm.get_signature

    def get_signature(self, value: str | bytes) -> bytes:
        digest = self._digest(self._key, value if value.__class__ is bytes else want_bytes(value))
        return b2a_base64(digest, newline=False)[:-1]  # 32 bytes: one = of padding

    def verify_signature(self, value: str | bytes, sig: str | bytes) -> bool:
        return hmac.compare_digest(sig if sig.__class__ is bytes else want_bytes(sig), self.get_signature(value))


class Presented(NamedTuple):
    """A session id that came in a cookie whose signature is ours."""

    sid: str
    outdated: bool  # signed by a secret other than the first


class CookieSigner:
    """Signs with the first secret, verifies with all of them."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._signers = [ExpressSigner(secret) for secret in secrets]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} with {len(self._signers)} secrets>"

    def sign(self, sid: str) -> str:
        """The cookie value for an id, as it stands in a Set-Cookie header."""
        signature = self._signers[0].get_signature(sid).decode("ascii")
        return f"s%3A{quote(sid, safe=_UNRESERVED)}.{signature.replace('/', '%2F').replace('+', '%2B')}"

    def unsign(self, value: bytes) -> Presented | None:
        """The id in a cookie value as it stood in a Cookie header; None for anything that `sign` can't have made."""
        if len(value) > MAX_VALUE:
            return None
        parts = _split(value)
        if parts is None:
            return None
        sid, signature = parts
        for signer in self._signers:
            if signer.verify_signature(sid, signature):
                return Presented(sid.decode("utf-8"), signer is not self._signers[0])
        return None


def _split(value: bytes) -> tuple[bytes, bytes] | None:
    """Percent-decoded id and signature of a cookie value that has the right form."""
    sid, _, signature = value[4:].rpartition(b".")
    signature = signature.replace(b"%2F", b"/").replace(b"%2B", b"+")
    if (
        value[:4] != b"s%3A" or b"%" in sid or b"%" in signature
    ):  # not spelled as Express and we do: decode by the rules
        if _BROKEN_ESCAPE.search(value):
            return None
        decoded = unquote_to_bytes(value)
        if decoded[:2] != b"s:":
            return None
        sid, _, signature = decoded[2:].rpartition(b".")
        try:
            sid.decode("utf-8")
        except UnicodeDecodeError:
            return None
    if not sid or b"\0" in sid or not value.isascii():
        return None
    return sid, signature
