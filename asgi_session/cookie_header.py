"""Which cookies of one name a Cookie header carries."""

from __future__ import annotations

import re
from functools import cache
from itertools import islice


def cookie_values(header: bytes, name: bytes, most: int) -> list[bytes]:
    """The values of one cookie in a Cookie header, in their order.

    Names are compared to the letter. Blanks around name and value go, quotes stay: the value is taken as it is
    (RFC 6265, 5.4 sends back what it got).

    Args:
        header: what follows after ``Cookie:``.
        name: the cookie's.
        most: how many to look for.
    """
    occurrences = header.count(name)
    if occurrences == 0:
        return []
    before, found, after = header.partition(name + b"=")
    if occurrences == 1 and found and (not before or before.endswith(b"; ")):  # as browsers have it
        return [after.partition(b";")[0].strip(b" \t")]
    return [pair[1].strip(b" \t") for pair in islice(_pairs_of(name).finditer(header), most)]


@cache
def _pairs_of(name: bytes) -> re.Pattern[bytes]:
    """Finds the pairs with this name; what else a header holds, however much, costs no memory."""
    return re.compile(rb"(?:^|;)[ \t]*" + re.escape(name) + rb"[ \t]*=([^;]*)")
