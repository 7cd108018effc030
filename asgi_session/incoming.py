"""Which session a request's Cookie headers name."""

from __future__ import annotations

from collections.abc import Iterable

from asgi_session.request_cookie import cookie_values
from asgi_session.signing import CookieSigner, Presented

_REMEMBERED = 1024
_LONGEST = 2048  # bytes of a header that is worth remembering


class IncomingCookies:
    """Finds and verifies the cookies of one name.

    A client sends the same header with every request, so headers that verified lately are known without another look.
    What did not verify is never remembered, so that nobody without a valid cookie can push anything out.
    """

    def __init__(self, name: str, signer: CookieSigner) -> None:
        self._name = name.encode("ascii")
        self._signer = signer
        self._verified: dict[bytes, Presented] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def presented(self, headers: Iterable[tuple[bytes, bytes]]) -> Presented | None:
        """The id in the first cookie that verifies."""
        for header, content in headers:
            if header == b"cookie":
                presented = self._verified.get(content) or self._verify(content)
                if presented is not None:
                    return presented
        return None

    def _verify(self, header: bytes) -> Presented | None:
        for value in cookie_values(header, self._name):
            presented = self._signer.unsign(value)
            if presented is not None:
                if len(header) <= _LONGEST:
                    if len(self._verified) == _REMEMBERED:
                        self._verified.clear()
                    self._verified[header] = presented
                return presented
        return None
