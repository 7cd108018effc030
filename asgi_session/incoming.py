"""Which session a request's Cookie headers name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from asgi_session.cookie_header import cookie_values
from asgi_session.signing import CookieSigner, Presented

Verdict = TypeVar("Verdict")

_REMEMBERED = 1024
_LONGEST = 2048  # bytes of a header that is worth remembering
_MOST_TRIED = 50  # values; browsers keep that many cookies of one site for certain (RFC 6265, 6.1)


class IncomingCookies:
    """Finds and verifies the cookies of one name.

    A client sends the same header with every request, a stale cookie like a good one. So headers that were looked at
    lately are known without another look. Those that did not verify are remembered apart, so that nobody without a
    valid cookie can push out what is known of others.
    """

    def __init__(self, name: str, signer: CookieSigner) -> None:
        self._name = name.encode("ascii")
        self._signer = signer
        self._verified: dict[bytes, Presented] = {}
        self._refused: dict[bytes, None] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def presented(self, headers: Iterable[tuple[bytes, bytes]]) -> Presented | None:
        """The id in the first cookie that verifies, of as many as any honest client has."""
        most = _MOST_TRIED
        for header, content in headers:
            if header == b"cookie":
                presented = self._verified.get(content)
                if presented is None and content not in self._refused:
                    values = cookie_values(content, self._name, most + 1)
                    presented = self._verify(content, values, most)
                    most = max(0, most - len(values))
                if presented is not None:
                    return presented
        return None

    def _verify(self, header: bytes, values: list[bytes], most: int) -> Presented | None:
        for value in values[:most]:
            presented = self._signer.unsign(value)
            if presented is not None:
                _remember(header, presented, self._verified)
                return presented
        if 0 < len(values) <= most:
            _remember(header, None, self._refused)
        return None


def _remember(header: bytes, verdict: Verdict, memory: dict[bytes, Verdict]) -> None:
    if len(header) <= _LONGEST:
        if len(memory) >= _REMEMBERED:
            memory.clear()
        memory[header] = verdict
