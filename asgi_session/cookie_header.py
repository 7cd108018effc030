"""Which cookies of one name a Cookie header carries."""

from __future__ import annotations


def cookie_values(header: bytes, name: bytes) -> list[bytes]:
    """The values of one cookie in a Cookie header, in their order.

    Names are compared to the letter. Blanks around name and value go, quotes stay: the value is taken as it is
    (RFC 6265, 5.4 sends back what it got).
    """
    occurrences = header.count(name)
    if occurrences == 0:
        return []
    before, found, after = header.partition(name + b"=")
    if occurrences == 1 and found and (not before or before.endswith(b"; ")):  # as browsers have it
        return [after.partition(b";")[0].strip(b" \t")]
    pairs = [pair.partition(b"=") for pair in header.split(b";")]
    return [value.strip(b" \t") for key, separator, value in pairs if separator and key.strip(b" \t") == name]
