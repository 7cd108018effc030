"""What a session should hold after any sequence of requests, whichever side served each of them."""

from __future__ import annotations

import copy
import json
import random
from typing import Any, NamedTuple

CATEGORIES = ["info", "error", "грешка"]
KEYS = ["a", "b", "ключ", "7", "🔑"]
SKUS = ["tea", "milk", "茶"]
USERS: list[Any] = ["u1", "ülrich", 7, {"id": 1, "roles": ["admin", None]}]
AGES = [None, 3600, 7200]

ROUTES = {  # and how often each is asked for, compared to the others
    "/counter": 6,
    "/cart/add": 5,
    "/cart/remove": 3,
    "/flash": 6,
    "/flash/drain": 4,
    "/put": 8,
    "/remove": 5,
    "/remember": 2,
    "/login": 2,
    "/logout": 1,
    "/regenerate": 1,
    "/destroy": 1,
}


class Step(NamedTuple):
    """One request."""

    path: str
    body: dict[str, Any]


class Model:
    """A session as a plain dict, and what each route should answer."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}

    @property
    def age(self) -> int | None:
        """Seconds of the cookie's full age: the routes keep the choice in the session too."""
        age: int | None = self.data.get("remember")
        return age

    def apply(self, step: Step) -> Any:
        """Take the step; returns what the route answers."""
        reply = getattr(self, "_" + step.path.strip("/").replace("/", "_"))(**step.body)
        return copy.deepcopy(reply)

    def _login(self, user: Any) -> Any:
        self.data = {"passport": {"user": user}}
        return user

    def _logout(self) -> None:
        self.data = {}

    _regenerate = _logout
    _destroy = _logout

    def _counter(self) -> int:
        self.data["count"] = self.data.get("count", 0) + 1
        count: int = self.data["count"]
        return count

    def _cart_add(self, sku: str, quantity: int) -> Any:
        lines = self.data.setdefault("cart", {"lines": []})["lines"]
        line = next((line for line in lines if line["sku"] == sku), None)
        if line:
            line["quantity"] += quantity
        else:
            lines.append({"sku": sku, "quantity": quantity})
        return self.data["cart"]

    def _cart_remove(self, sku: str) -> Any:
        if "cart" in self.data:
            self.data["cart"]["lines"] = [line for line in self.data["cart"]["lines"] if line["sku"] != sku]
        return self.data.get("cart")

    def _flash(self, category: str, messages: Any) -> int:
        queue = self.data.setdefault("flash", {}).setdefault(category, [])
        queue.extend(messages if isinstance(messages, list) else [messages])
        return len(queue)

    def _flash_drain(self, category: str | None) -> Any:
        queues = self.data.pop("flash", {})
        if category is None:
            return queues
        drained = queues.pop(category, [])
        if queues:
            self.data["flash"] = queues
        return drained

    def _remember(self, seconds: int | None) -> int | None:
        self.data["remember"] = seconds
        return seconds

    def _put(self, key: str, value: Any) -> Any:
        self.data[key] = value
        return value

    def _remove(self, key: str) -> None:
        self.data.pop(key, None)


def random_step(dice: random.Random) -> Step:
    """A request as a visitor might make it; what starts a session over is rare."""
    path = dice.choices(list(ROUTES), list(ROUTES.values()))[0]
    body: dict[str, Any] = {}
    match path:
        case "/login":
            body = {"user": dice.choice(USERS)}
        case "/cart/add":
            body = {"sku": dice.choice(SKUS), "quantity": dice.randint(1, 9)}
        case "/cart/remove":
            body = {"sku": dice.choice(SKUS)}
        case "/flash":
            messages = [random_json(dice, 1) for _ in range(dice.randint(1, 3))]
            body = {"category": dice.choice(CATEGORIES), "messages": dice.choice([messages, "a message"])}
        case "/flash/drain":
            body = {"category": dice.choice([*CATEGORIES, None])}
        case "/remember":
            body = {"seconds": dice.choice(AGES)}
        case "/put":
            body = {"key": dice.choice(KEYS), "value": random_json(dice, 3)}
        case "/remove":
            body = {"key": dice.choice(KEYS)}
    return Step(path, body)


def random_json(dice: random.Random, depth: int) -> Any:
    """A value that JavaScript and Python both hold without loss."""
    kind = dice.randrange(9 if depth else 7)
    match kind:
        case 0:
            return None
        case 1:
            return dice.choice([True, False])
        case 2:
            return dice.choice([0, 1, -1, 2**31, -(2**31) - 1, 2**53 - 1, -(2**53) + 1, dice.randint(-99, 99)])
        case 3:
            return dice.choice([1.0, 0.1, -2.5, 1e21, 5e-324, 1.7976931348623157e308, dice.random()])
        case 4 | 5 | 6:
            return "".join(
                dice.choices(["a", '"', "\\", "\n", "é", "茶", "🍵", "\u2028", "<", "%", "$"], k=dice.randrange(8))
            )
        case 7:
            return [random_json(dice, depth - 1) for _ in range(dice.randrange(4))]
        case _:
            return {dice.choice([*KEYS, "10", "1", "$k", "a.b", ""]): random_json(dice, depth - 1) for _ in range(3)}


def same(left: Any, right: Any) -> bool:
    """Whether two JSON values are the same to JavaScript: 1 is 1.0, true is not 1, an object's order is no matter."""
    return _canonical(left) == _canonical(right)


def without_empty_flash(session: dict[str, Any]) -> dict[str, Any]:
    """A session without the empty queue that connect-flash leaves behind."""
    return {key: value for key, value in session.items() if not (key == "flash" and value == {})}


def _canonical(value: Any) -> str:
    return json.dumps(_floats(value), sort_keys=True)


def _floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _floats(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_floats(inner) for inner in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value
