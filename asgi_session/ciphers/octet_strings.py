"""The one ASN.1 structure that kruptein writes: a SEQUENCE of OCTET STRINGs, in DER."""

from __future__ import annotations

from collections.abc import Iterator

from asgi_session.stores.encrypted import Undecryptable

_SEQUENCE = 0x30
_OCTET_STRING = 0x04


def joined(parts: list[bytes]) -> bytes:
    """The sequence of these strings."""
    return _element(_SEQUENCE, b"".join(_element(_OCTET_STRING, part) for part in parts))


def split(data: bytes, count: int) -> list[bytes]:
    """The `count` strings of a sequence.

    Raises:
        Undecryptable: it is no such sequence.
    """
    elements = list(_elements(data))
    if len(elements) != 1 or elements[0][0] != _SEQUENCE:
        raise _malformed()
    strings = list(_elements(elements[0][1]))
    if len(strings) != count or any(tag != _OCTET_STRING for tag, _ in strings):
        raise _malformed()
    return [content for _, content in strings]


def _element(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(size))) + size + content


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element, one behind the other until the end of `data`."""
    at = 0
    while at < len(data):
        tag, at = data[at], at + 1
        first, at = data[at : at + 1], at + 1
        if not first:
            raise _malformed()
        length = first[0]
        if length >= 0x80:  # then it says how many bytes the length takes
            wide = length & 0x7F
            length = int.from_bytes(data[at : at + wide], "big")
            at += wide
        if at + length > len(data):
            raise _malformed()
        yield tag, data[at : at + length]
        at += length


def _malformed() -> Undecryptable:
    return Undecryptable("is not in the codec's format")
