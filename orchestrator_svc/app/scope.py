"""Which skills a request may use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from agentmesh.cards import Effect
from agentmesh.errors import EffectNotAllowed, UnknownSkill, Violation, ViolationReason
from orchestrator_svc.core.catalog import Catalog
from orchestrator_svc.core.plan import Plan
from orchestrator_svc.core.validate import effect_violations
from orchestrator_svc.core.wording import cut, did_you_mean

_MOST_HINTS: Final = 20
"""Unknown names of which the nearest known one is looked up."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The skills that a request names, and how much they may change."""

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


ANY_SKILL: Final = Scope()
"""What a request may use that says nothing of it: all that changes no more than IDEMPOTENT."""


def _unknown(name: str, catalog: Catalog | None) -> Violation:
    hint = did_you_mean(name, catalog.skills) if catalog is not None else ""
    message = f"no skill `{cut(name)}` is known{hint}"
    return Violation("allowed_skills", ViolationReason.SKILL_UNKNOWN, message)
