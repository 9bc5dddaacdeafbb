"""The same question, asked again, is not routed again: the plan of the first time is used.

What a key is made of says what "the same" means: the question word for word (white space outside of quotation marks
aside), the skills that are offered with everything a planner sees of them, who asks, and which planner with which
models and prompts. The key is made before the planner is asked, so a plan for an old catalog is never found with a new
one.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

import structlog
from opentelemetry.trace import SpanContext

from agentmesh.deadline import Deadline
from agentmesh.errors import BudgetExceeded, LlmUnavailable, MeshError
from agentmesh.jsonvalues import JsonObject, digest
from agentmesh.telemetry.failures import told_violations
from agentmesh.telemetry.spans import current_context, link_to
from orchestrator_svc.app import metrics
from orchestrator_svc.app.metrics import Lookup
from orchestrator_svc.app.ports.plan_store import PlanStore, StoredPlan
from orchestrator_svc.app.ports.planner import PlanSource
from orchestrator_svc.app.request import CacheMode, RunRequest
from orchestrator_svc.core.catalog import Catalog
from orchestrator_svc.core.plan import Mode, Plan
from orchestrator_svc.core.time_literals import worked_out_times
from orchestrator_svc.core.validate import PlanRejected

NO_AGENT_SECONDS: Final = 60.0
"""Longest time for which "no skill fits" is believed."""

_QUOTED_OR_SPACE: Final = re.compile(r"""("[^"]*"|'[^']*'|`[^`]*`|“[^“”]*”|«[^«»]*»)|\s+""")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class MadePlan:
    """A sound plan and who made it."""

    plan: Plan
    source: PlanSource
    planner: str


Make = Callable[[], Awaitable[MadePlan]]
Check = Callable[[JsonObject], Plan]
"""Compiles a plan that the request may use; raises PlanRejected, or EffectNotAllowed."""


@dataclass(slots=True)
class _Flight:
    """A plan that is being made, and how many wait for it."""

    key: str
    task: asyncio.Task[MadePlan]
    made_in: SpanContext
    """The span of the planning that makes it."""
    waiting: int = 0


class PlanCache:
    """Finds plans, and has each made once.

    Args:
        store: Where plans are kept.
        ttl_seconds: For how long; 0: not at all.
        planner: Which planner, models and prompts make them; None: they cost nothing, and are made each time.
    """

    def __init__(self, store: PlanStore, ttl_seconds: float, planner: str | None) -> None:
        self._store = store
        self._ttl_seconds = ttl_seconds
        self._planner = planner
        self._flights: dict[str, _Flight] = {}

    async def plan(
        self, request: RunRequest, offered: Catalog, deadline: Deadline, make: Make, check: Check
    ) -> MadePlan:
        """The plan for a question: a kept one, one that is being made for somebody else, or a new one.

        A plan that was not made for this request has the source CACHE, and has cost it nothing. Of those who wait for
        the same plan each may leave; when the last one has, it is not made any more.

        Args:
            request: With the question and how the cache is to be used.
            offered: The skills that a planner may choose from.
            deadline: How long this request waits for a plan.
            make: Makes a new plan; used at most once.
            check: Whether a kept plan is sound in the catalog of this moment.

        Raises:
            LlmUnavailable: There is no plan within the deadline.
            MeshError: What `make` raises.
        """
        key = self._key(request, offered)
        if key is None:
            return await make()
        if request.cache_mode is CacheMode.REFRESH:
            return await self._made(key, request, make)
        return await self._found(key, check) or await self._shared(key, request, deadline, make)

    def _key(self, request: RunRequest, offered: Catalog) -> str | None:
        """None for what is not kept: a plan made with a history depends on more than the question."""
        if self._planner is None or not self._ttl_seconds or request.cache_mode is CacheMode.BYPASS:
            return None
        if request.question.history:
            return None
        query = _normalised(request.question.query)
        scope = request.scope
        allowed = ",".join(sorted(scope.allowed_skills))
        return digest([query, offered.fingerprint, allowed, scope.max_effect, request.caller, self._planner])

    async def _found(self, key: str, check: Check) -> MadePlan | None:
        stored = await self._store.get(key)
        if stored is None:
            metrics.plan_looked_up(Lookup.MISS)
            return None
        try:
            found = MadePlan(check(stored.plan), PlanSource.CACHE, stored.planner)
        except PlanRejected as rejected:
            metrics.plan_looked_up(Lookup.STALE)
            _log.info("a kept plan is not sound any more", violations=told_violations(rejected.violations))
            return None
        metrics.plan_looked_up(Lookup.HIT)
        return found

    async def _shared(self, key: str, request: RunRequest, deadline: Deadline, make: Make) -> MadePlan:
        """Make the plan, or wait for another's. Another's may fail for want of time or budget, which are not ours.

        So after one that failed the next makes one more, for all who wait.
        """
        for may_fail in (True, False):
            flight = self._flights.get(key)
            if flight is None:
                break
            try:
                return replace(await self._landed(flight, deadline), source=PlanSource.CACHE)
            except BudgetExceeded:
                if not may_fail:
                    return await make()
            except MeshError:
                if not may_fail:
                    raise
        return await self._landed(self._begun(key, request, make), deadline)

    def _begun(self, key: str, request: RunRequest, make: Make) -> _Flight:
        flight = _Flight(key, asyncio.create_task(self._made(key, request, make), name="plan"), current_context())
        self._flights[key] = flight
        flight.task.add_done_callback(lambda _: self._forget(flight))
        return flight

    async def _landed(self, flight: _Flight, deadline: Deadline) -> MadePlan:
        link_to(flight.made_in)
        flight.waiting += 1
        try:
            await asyncio.wait([flight.task], timeout=deadline.remaining())
            if not flight.task.done():
                raise no_plan_in_time()
            return flight.task.result()
        finally:
            flight.waiting -= 1
            if not flight.waiting:
                self._forget(flight)  # at once: whoever comes now must not wait for what is being cancelled
                flight.task.cancel()

    def _forget(self, flight: _Flight) -> None:
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]

    async def _made(self, key: str, request: RunRequest, make: Make) -> MadePlan:
        """Make the plan and keep it, unless it is one of this day alone."""
        made = await make()
        source = made.plan.to_json()
        if not worked_out_times(source, request.question.query):
            no_agent = made.plan.mode is Mode.NONE
            ttl = min(self._ttl_seconds, NO_AGENT_SECONDS) if no_agent else self._ttl_seconds
            await self._store.put(key, StoredPlan(source, made.planner), ttl)
        return made


def _normalised(query: str) -> str:
    """What is quoted becomes an argument as it is, so two spaces there are another question than one."""
    text = unicodedata.normalize("NFC", query).strip()
    return _QUOTED_OR_SPACE.sub(lambda found: found[1] or " ", text)


def no_plan_in_time() -> LlmUnavailable:
    """For whoever waited for a plan, its own or another's, until the time for routing was over."""
    return LlmUnavailable("no plan was made within the time for routing")
