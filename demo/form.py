"""The two kinds of form field on these pages."""

from __future__ import annotations

from typing import Annotated

from fastapi import Form

Text = Annotated[str, Form()]
Tick = Annotated[bool, Form()]
