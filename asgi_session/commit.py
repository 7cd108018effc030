"""One commit: decide what the store and the client are to be told, and carry that out until nobody else is faster.

Where somebody else wrote in between, the newer state is loaded, this request's changes are made to it, and the decision
is taken again.
"""

from __future__ import annotations

import time

from asgi_session.cookie import header_age
from asgi_session.decision import (
    AGE_ASSIGNED,
    CHANGED,
    CREATED,
    DUE,
    EMPTY,
    FORCED,
    HAS_AGE,
    NO_PLAN,
    OWED,
    RENEWED,
    STORED,
    UNDELIVERABLE,
    Plan,
    decide,
)
from asgi_session.exceptions import SessionError
from asgi_session.journal import Look
from asgi_session.log import logger
from asgi_session.patience import Hold
from asgi_session.store_actions import Outcome, StoreActions
from asgi_session.turns import Contest


class Commit(StoreActions):
    """One commit of one session."""

    __slots__ = ()

    async def run(self, look: Look | None = None) -> None:
        """Decide and carry out, until nobody else is faster.

        Args:
            look: what changed, where the caller has looked just now.

        Raises:
            StoreError: the store failed; the changes are pending again.
            SessionConflict: other writers kept being faster; likewise.
            SessionSerializationError: a value is not JSON; nothing was written.
            SessionError: `saving` a new session whose cookie can't reach the client.
        """
        is_held = self._hold is not None
        try:
            plan = self._plan(look)
            if self._standing.settings.turns.busy and self._has_to_queue(plan):
                plan, outcome = await self._contend(lost=False)
            else:
                outcome = await self.carry_out(plan.store)
                if outcome == "beaten":
                    plan, outcome = await self._contend(lost=True)
            if plan.cookie != "nothing" and outcome == "done":
                self._standing.owed = plan.cookie
                self._standing.owed_age = self._header_age()
            if plan.undeliverable:  # it was said; what is not stored now never will be
                self._session._start_over(self._changes, self._images)
        finally:
            if self._hold is not None and not is_held:
                self._hold.release()

    def _has_to_queue(self, plan: Plan) -> bool:
        """Whether others are at it and matter: a fresh start and an end never look back."""
        sid, turns = self._standing.sid, self._standing.settings.turns
        if sid is None or not turns.are_taken(sid):
            return False
        if plan.store == "renew":
            return not self._session._starts_afresh()
        return plan.store in ("replace", "discard")

    async def _contend(self, *, lost: bool) -> tuple[Plan, Outcome]:
        """Load what others wrote, decide again and carry that out, until nobody else is faster."""
        standing = self._standing
        hold = self._hold = self._hold or Hold()  # even with a store that never suspends there are others to wait for
        with Contest(standing.settings.turns, hold) as contest:
            while True:
                if lost:
                    await contest.lost(self._stored_id())
                else:
                    await contest.queue_for(self._stored_id())
                await standing.refresh(hold)
                plan = self._plan()
                if plan.store in ("nothing", "touch", "confirm"):  # others have done the same
                    self._session._start_over(self._changes, self._images)
                outcome = await self.carry_out(plan.store)
                if outcome != "beaten":
                    return plan, outcome
                lost = True

    def _plan(self, look: Look | None = None) -> Plan:
        standing, session = self._standing, self._session
        self._changes, self._images = look or session._look()
        if standing.over and not session._starts_afresh():
            if self._changes or session._age_assigned():
                if not standing.warned:
                    standing.warn_dropped()
                session._start_over(self._changes, self._images)
            standing.warned = False
            return NO_PLAN
        facts = self._facts()
        plan = decide(facts)
        if plan.undeliverable:
            self._say_undeliverable()
        if self._saving and plan.store == "nothing" and facts & STORED:
            return Plan("confirm", plan.cookie)  # save() has to say where the session is gone
        return plan

    def _facts(self) -> int:
        """What the decision depends on."""
        standing, session, settings = self._standing, self._session, self._standing.settings
        facts = settings.facts | session._asked | standing.known
        cookie = session._cookie
        if cookie is not None:
            age = cookie.original_max_age
            if cookie.assigned:
                facts |= AGE_ASSIGNED | CHANGED
        else:
            age = standing.full_age()
        self._age = age
        self._attributes = self._expires = None
        if age is not None:
            facts |= HAS_AGE
        if self._changes:
            facts |= CHANGED
        if not dict.__len__(session):
            facts |= EMPTY
        if standing.headers_gone:
            return facts | UNDELIVERABLE
        if standing.owed == "send":
            facts |= OWED
        if not facts & STORED or facts & RENEWED:
            self._attributes = standing.attributes()
            if not standing.can_be_sent(self._attributes):
                facts |= UNDELIVERABLE
        elif not facts & (CHANGED | CREATED) and standing.is_due(age):
            facts |= DUE
        if settings.resave and facts & STORED and not standing.wrote:
            facts |= FORCED
        return facts

    def _say_undeliverable(self) -> None:
        if self._standing.headers_gone:
            if self._saving:
                raise SessionError("the response has started: a new session's cookie can't be sent any more")
            if not dict.__len__(self._session):
                return
            if self._standing.known & STORED:
                logger.error("A session was deleted instead of given a new id: the response had started without it.")
            elif not self._standing.refused:
                logger.error(
                    "A session first written after the response started was not stored: its cookie can't be sent."
                )
            return
        self._standing.settings.warn_insecure()
        if self._saving:
            raise SessionError("the session cookie is Secure and the connection is plain http")

    def _header_age(self) -> tuple[int | None, float | None]:
        """Max-Age and expiry for a Set-Cookie header.

        With ``rolling`` alone a browser may keep the cookie longer than we, by ``touch_after`` at most, since the store
        is told no more often.
        """
        if self._age is None or self._expires is not None:
            return header_age(self._age, self._expires)
        _, expires = self._standing.life()
        return header_age(None if expires is None else expires - time.time(), expires)
