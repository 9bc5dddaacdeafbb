"""ROUTE: a question becomes a plan that is known to be sound. At most one completion."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from agentmesh.cards import Effect
from agentmesh.deadline import Deadline
from agentmesh.errors import (
    EffectNotAllowed,
    LlmUnavailable,
    ModelPlanInvalid,
    UnknownSkill,
    Violation,
    ViolationReason,
)
from orchestrator_svc.app.ports.planner import Planner
from orchestrator_svc.app.ports.skill_ranker import SkillRanker
from orchestrator_svc.app.run import Run
from orchestrator_svc.core.catalog import Catalog
from orchestrator_svc.core.plan import Plan
from orchestrator_svc.core.validate import DEFAULT_PLAN_LIMITS, PlanLimits, PlanRejected, effect_violations, validate
from orchestrator_svc.core.wording import cut, did_you_mean

_MOST_HINTS: Final = 20
"""Unknown names of which the nearest known one is looked up."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which skills a request may use."""

    allowed_skills: frozenset[str] = frozenset()
    """Skill ids; empty: all."""
    max_effect: Effect = Effect.IDEMPOTENT

    def of(self, catalog: Catalog) -> Catalog:
        """The part of the catalog that the request names.

        Raises:
            UnknownSkill: It names skills that are not there.
        """
        unknown = sorted(self.allowed_skills - catalog.skills.keys())
        if unknown:
            count = "a skill" if len(unknown) == 1 else f"{len(unknown)} skills"
            raise UnknownSkill(
                f"allowed_skills names {count} that no agent has",
                violations=[
                    _unknown(name, catalog if place < _MOST_HINTS else None) for place, name in enumerate(unknown)
                ],
            )
        return catalog.only(self.allowed_skills) if self.allowed_skills else catalog

    def usable(self, catalog: Catalog) -> Catalog:
        """The part of the catalog that the request may use, named by it and changing no more than it allows."""
        return self.of(catalog).within(self.max_effect)

    def check(self, plan: Plan) -> None:
        """Let a plan pass that changes no more than the request allows.

        Raises:
            EffectNotAllowed: With every step whose skill is above `max_effect`.
        """
        violations = effect_violations(plan, self.max_effect)
        if violations:
            raise EffectNotAllowed("the plan uses skills above max_effect", violations=violations)


@dataclass(frozen=True, slots=True)
class RouteLimits:
    """How much routing may take."""

    share_of_deadline: float = 0.4
    max_tools: int = 20
    """Skills shown to a planner; of more, the best by their words are chosen."""
    plan: PlanLimits = DEFAULT_PLAN_LIMITS


class Router:
    """Chooses what is offered, lets the planner choose from it, and checks what it chose."""

    def __init__(self, planner: Planner, ranker: SkillRanker, limits: RouteLimits) -> None:
        self._planner = planner
        self._ranker = ranker
        self._limits = limits

    async def route(self, run: Run, catalog: Catalog, scope: Scope, deadline: Deadline) -> Plan:
        """Make the plan of a run and note in the run who made it.

        Raises:
            LlmUnavailable: No completion within the share of the deadline.
            LlmRefused: The provider refused for good.
            ModelPlanInvalid: The planner's plan is not sound; with every violation.
            EffectNotAllowed: The plan uses a skill above `max_effect`, or there is none below it.
            UnknownSkill: `allowed_skills` names a skill that does not exist.
        """
        allowed = scope.of(catalog)
        offered = self._shortlist(run.question.query, scope.usable(catalog))
        if not offered:
            # NO_AGENT would say that a planner looked and found nothing.
            raise EffectNotAllowed(f"every skill that may be used changes more than {scope.max_effect} (max_effect)")
        budget = deadline.at_most(deadline.remaining() * self._limits.share_of_deadline)
        with run.timed("route"):
            run.plan = await self._planned(run, offered, allowed, budget)
        scope.check(run.plan)
        return run.plan

    async def _planned(self, run: Run, offered: Catalog, allowed: Catalog, budget: Deadline) -> Plan:
        try:
            async with asyncio.timeout(budget.remaining()):
                routing = await self._planner.route(run.question, offered, run.ledger, budget)
            run.plan_source = routing.source
            run.planner = routing.planner
            return validate(routing.plan, allowed, self._limits.plan)
        except TimeoutError as error:
            raise LlmUnavailable("no plan was made within the time for routing") from error
        except PlanRejected as rejected:
            raise ModelPlanInvalid(
                "the plan that was made for this question is not valid", violations=rejected.violations
            ) from rejected

    def _shortlist(self, query: str, catalog: Catalog) -> Catalog:
        if len(catalog) <= self._limits.max_tools:
            return catalog
        return catalog.only(self._ranker.rank(query, catalog)[: self._limits.max_tools])


def _unknown(name: str, catalog: Catalog | None) -> Violation:
    hint = did_you_mean(name, catalog.skills) if catalog is not None else ""
    message = f"no skill `{cut(name)}` is known{hint}"
    return Violation("allowed_skills", ViolationReason.SKILL_UNKNOWN, message)
