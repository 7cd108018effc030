"""What the measured sessions hold: a shop's session of about 100 bytes, 2 kB and 20 kB of JSON."""

from __future__ import annotations

import json
from typing import Any

SIZES = {"100 B": 100, "2 KB": 2_000, "20 KB": 20_000}


def shop_session(size: int) -> dict[str, Any]:
    """A user, a counter and a cart with as many lines as bring the compact JSON to about `size` bytes."""
    data: dict[str, Any] = {"user": "u-48213", "count": 1000, "cart": {"currency": "EUR", "lines": []}}
    if size >= 1000:
        data |= {"name": "Zoë Ångström", "theme": "dark", "consent": True, "referrer": None, "seen": [17, 4, 2041, 88]}
    lines = data["cart"]["lines"]
    while json_size(data) < size:
        number = len(lines)
        line: dict[str, Any] = {"sku": f"A-{1000 + number}", "qty": number % 3 + 1}
        if size >= 1000:
            line |= {"title": f"Café chair no. {number}", "price": 19.95 + number, "gift": number % 2 == 0}
            line["options"] = {"colour": "walnut", "size": [45, 52, 81]}
        lines.append(line)
    return data


def json_size(data: dict[str, Any]) -> int:
    """Bytes of `data` as compact JSON."""
    return len(json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode())
