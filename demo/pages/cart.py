"""A cart: data within data within the session, changed in place."""

from __future__ import annotations

from typing import NamedTuple

from fastapi import APIRouter, Request, Response

from asgi_session.fastapi import FlashDep, SessionDep
from demo.form import Text
from demo.rendering import see_other, show

router = APIRouter()


class Product(NamedTuple):
    """Something to buy; the price is in cents."""

    name: str
    note: str
    cents: int


PRODUCTS = {
    "notebook": Product("Notebook", "Dotted, 120 pages", 850),
    "pen": Product("Fountain pen", "Fine nib", 2400),
    "ink": Product("Bottle of ink", "Deep green, 50 ml", 1200),
}


@router.get("/cart")
async def show_cart(request: Request, session: SessionDep) -> Response:
    lines = session.get("cart", {}).get("lines", {})
    rows = [(sku, PRODUCTS[sku], line["quantity"]) for sku, line in lines.items() if sku in PRODUCTS]
    total = sum(product.cents * quantity for _, product, quantity in rows)
    return show(request, "cart", products=PRODUCTS, rows=rows, total=total)


@router.post("/cart/add")
async def add_to_cart(
    session: SessionDep,
    flash: FlashDep,
    sku: Text = "",
) -> Response:
    if sku in PRODUCTS:
        cart = session.setdefault("cart", {"currency": "EUR", "lines": {}})
        line = cart["lines"].setdefault(sku, {"quantity": 0})
        line["quantity"] += 1  # three levels down, saved all the same
        flash("success", "%s added to your cart.", PRODUCTS[sku].name)
    else:
        flash.error("The shop has no such thing.")
    return see_other("/cart")


@router.post("/cart/remove")
async def remove_from_cart(
    session: SessionDep,
    flash: FlashDep,
    sku: Text = "",
) -> Response:
    lines = session.get("cart", {}).get("lines", {})
    if sku in lines and sku in PRODUCTS:
        lines[sku]["quantity"] -= 1
        if lines[sku]["quantity"] < 1:
            del lines[sku]
        flash("info", "%s removed from your cart.", PRODUCTS[sku].name)
    else:
        flash.error("That is not in your cart.")
    return see_other("/cart")
