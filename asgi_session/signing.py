"""How a session id becomes a cookie value and back: Express's cookie-signature format, by itsdangerous.

``s:`` + id + ``.`` + base64(HMAC-SHA256(secret, id)) without padding, percent-encoded as JavaScript's
encodeURIComponent does.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from binascii import b2a_base64
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from itsdangerous import Signer
from itsdangerous.encoding import want_bytes

MAX_VALUE = 4096
"""Bytes of the longest cookie value that is looked at, the limit that browsers set (RFC 6265bis, 5.6)."""

_UNRESERVED = "-_.!~*'()"  # what encodeURIComponent leaves as it is, besides letters and digits
_PLAIN = re.compile(r"[A-Za-z0-9_-]+").fullmatch
_AS_WE_SPELL_IT = re.compile(rb"s%3A([A-Za-z0-9_-]+)\.([A-Za-z0-9%]+)").fullmatch
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class ExpressSigner(Signer):
    """itsdangerous' signer, set up to give and take the bytes of cookie-signature 1.0.

    Making and checking a signature are written anew: what depends on the key alone is done once, and the signature is
    standard base64 without padding, compared as text. Other spellings of the same bits (padding, the URL-safe alphabet)
    are refused, as Express refuses them.
    """

    default_key_derivation = "none"
    default_digest_method = staticmethod(hashlib.sha256)

    def __init__(self, secret: bytes) -> None:
        super().__init__(secret)
        # What does not depend on the value is done once.
        self._keyed = hmac.new(self.derive_key(), digestmod=self.digest_method)

    def get_signature(self, value: str | bytes) -> bytes:
        mac = self._keyed.copy()
        mac.update(value if value.__class__ is bytes else want_bytes(value))
        return b2a_base64(mac.digest(), newline=False)[:-1]  # 32 bytes: one = of padding

    def verify_signature(self, value: str | bytes, sig: str | bytes) -> bool:
        return hmac.compare_digest(sig if sig.__class__ is bytes else want_bytes(sig), self.get_signature(value))


@dataclass(frozen=True, slots=True, repr=False)
class Presented:
    """A session id that came in a cookie whose signature is ours."""

    sid: str
    outdated: bool  # signed by a secret other than the first
    value: str | None  # the cookie's value where it came as `sign` spells it

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class CookieSigner:
    """Signs with the first secret, verifies with all of them."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._signers = [ExpressSigner(secret) for secret in secrets]
        self._first = self._signers[0]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} with {len(self._signers)} secrets>"

    def sign(self, sid: str, presented: Presented | None = None) -> str:
        """The cookie value for an id, as it stands in a Set-Cookie header.

        Args:
            sid: the id.
            presented: what came with the request, which serves again where it is the same.
        """
        if presented is not None and presented.sid == sid and not presented.outdated and presented.value is not None:
            return presented.value
        signature = self._first.get_signature(sid.encode()).decode("ascii")
        spelled = sid if _PLAIN(sid) else quote(sid, safe=_UNRESERVED)
        return f"s%3A{spelled}.{signature.replace('/', '%2F').replace('+', '%2B')}"

    def unsign(self, value: bytes) -> Presented | None:
        """The id in a cookie value as it stood in a Cookie header; None for anything that `sign` can't have made."""
        if len(value) > MAX_VALUE:
            return None
        ours = _AS_WE_SPELL_IT(value)
        if ours is not None:
            sid, signature = ours.groups()
            signature = signature.replace(b"%2F", b"/").replace(b"%2B", b"+")
        if ours is None or signature.find(b"%") >= 0:
            ours = None
            sid, signature = _decoded(value)
        if not sid:
            return None
        for signer in self._signers:
            if signer.verify_signature(sid, signature):
                spelled = None if ours is None else value.decode("ascii")
                return Presented(sid.decode("utf-8"), signer is not self._first, spelled)
        return None


def _decoded(value: bytes) -> tuple[bytes, bytes]:
    """Percent-decoded id and signature; an empty id where the value has not the right form."""
    decoded = unquote_to_bytes(value) if value.isascii() and not _BROKEN_ESCAPE.search(value) else b""
    sid, _, signature = decoded[2:].rpartition(b".")
    try:
        sid.decode("utf-8")
    except UnicodeDecodeError:
        return b"", b""
    return (sid, signature) if decoded[:2] == b"s:" and b"\0" not in sid else (b"", b"")
