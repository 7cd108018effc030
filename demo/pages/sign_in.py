"""Signing in and out, each with a fresh id, and staying signed in for a month."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter, Request, Response

from asgi_session.fastapi import FlashDep, SessionDep
from demo.form import Text, Tick
from demo.rendering import see_other, show

router = APIRouter()

MONTH = timedelta(days=30)
LONGEST_NAME = 40


@router.get("/sign-in")
async def show_sign_in(request: Request, session: SessionDep) -> Response:
    return show(request, "sign_in", user=session.get("user"), age=session.cookie.max_age, longest=LONGEST_NAME)


@router.post("/sign-in")
async def sign_in(
    session: SessionDep,
    flash: FlashDep,
    name: Text = "",
    remember: Tick = False,
) -> Response:
    name = name.strip()[:LONGEST_NAME]
    if name:
        session.regenerate(keep=True)  # a new id; the cart stays
        session["user"] = name
        session.cookie.max_age = MONTH if remember else None
        flash("success", "Welcome, %s. Your session has a new id.", name)
    else:
        flash.error("Please enter a name.")
    return see_other("/sign-in")


@router.post("/remember-me")
async def remember_me(
    session: SessionDep,
    flash: FlashDep,
    remember: Tick = False,
) -> Response:
    session.cookie.max_age = MONTH if remember else None
    if remember:
        flash.info("You are remembered for 30 days.")
    else:
        flash.info("Closing the browser ends your session.")
    return see_other("/sign-in")


@router.post("/sign-out")
async def sign_out(session: SessionDep, flash: FlashDep) -> Response:
    session.regenerate()  # a new id; the old record is deleted
    flash.info("Goodbye! Nothing of your old session is left.")
    return see_other("/sign-in")
