"""ROUTE: a question becomes a plan that is known to be sound. At most one completion."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from agentmesh.deadline import Deadline
from agentmesh.errors import EffectNotAllowed, ModelPlanInvalid
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.app.plan_cache import Check, MadePlan, PlanCache, no_plan_in_time
from orchestrator_svc.app.ports.planner import Planner
from orchestrator_svc.app.ports.skill_ranker import SkillRanker
from orchestrator_svc.app.run import Run
from orchestrator_svc.core.catalog import Catalog
from orchestrator_svc.core.plan import Plan
from orchestrator_svc.core.validate import DEFAULT_PLAN_LIMITS, PlanLimits, PlanRejected, validate


@dataclass(frozen=True, slots=True)
class RouteLimits:
    """How much routing may take."""

    share_of_deadline: float = 0.4
    max_tools: int = 20
    """Skills shown to a planner; of more, the best by their words are chosen."""
    plan: PlanLimits = DEFAULT_PLAN_LIMITS


class Router:
    """Chooses what is offered, lets the planner choose from it, and checks what it chose."""

    def __init__(self, planner: Planner, ranker: SkillRanker, cache: PlanCache, limits: RouteLimits) -> None:
        self._planner = planner
        self._ranker = ranker
        self._cache = cache
        self._limits = limits

    async def route(self, run: Run, catalog: Catalog, deadline: Deadline) -> Plan:
        """Make the plan of a run and note it in the run.

        Raises:
            LlmUnavailable: No completion within the share of the deadline.
            LlmRefused: The provider refused for good.
            BudgetExceeded: The budget of the run does not allow the completion.
            ModelPlanInvalid: The planner's plan is not sound; with every violation.
            EffectNotAllowed: The plan uses a skill above `max_effect`, or there is none below it.
            UnknownSkill: `allowed_skills` names a skill that does not exist.
        """
        scope = run.request.scope
        allowed = scope.of(catalog)
        offered = await self._shortlist(run.question.query, allowed.within(scope.max_effect))
        if not offered:
            # NO_AGENT would say that a planner looked and found nothing.
            raise EffectNotAllowed(f"every skill that may be used changes more than {scope.max_effect} (max_effect)")
        share = deadline.at_most(deadline.remaining() * self._limits.share_of_deadline)

        def check(source: JsonObject) -> Plan:
            plan = validate(source, allowed, self._limits.plan)
            scope.check(plan)
            return plan

        async def make() -> MadePlan:
            return await self._made(run, offered, check, share)

        with run.timed("route"):
            made = await self._cache.plan(run.request, offered, share, make, check)
        run.planned(made.plan, made.source, made.planner)
        return made.plan

    async def _made(self, run: Run, offered: Catalog, check: Check, deadline: Deadline) -> MadePlan:
        try:
            async with asyncio.timeout(deadline.remaining()):
                routing = await self._planner.route(run.question, offered, run.ledger, deadline)
            return MadePlan(check(routing.plan), routing.source, routing.planner)
        except TimeoutError as error:
            raise no_plan_in_time() from error
        except PlanRejected as rejected:
            raise ModelPlanInvalid(
                "the plan that was made for this question is not valid", violations=rejected.violations
            ) from rejected

    async def _shortlist(self, query: str, catalog: Catalog) -> Catalog:
        if len(catalog) <= self._limits.max_tools:
            return catalog
        # In a thread: the first question to a catalog of 10,000 skills has them indexed, and others do not wait for it.
        ranked = await asyncio.to_thread(self._ranker.rank, query, catalog)
        return catalog.only(ranked[: self._limits.max_tools])
