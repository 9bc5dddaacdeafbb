"""A plan: steps that use skills, compiled and known to be sound. Only `validate` makes one."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from agentmesh.jsonvalues import Json, JsonObject, digest
from orchestrator_svc.core.catalog import Skill
from orchestrator_svc.core.expressions import Expression, Template


class Mode(StrEnum):
    """The shape of a plan; plan.proto says what each means."""

    NONE = "NONE"
    SINGLE = "SINGLE"
    PARALLEL = "PARALLEL"
    SEQUENTIAL = "SEQUENTIAL"


@dataclass(frozen=True)
class Step:
    """One use of one skill."""

    id: str
    skill: Skill
    arguments: Template = field(compare=False)
    when: Expression | None = field(compare=False)
    for_each: Expression | tuple[Json, ...] | None = field(compare=False)
    """An expression, a literal list, or None for a step that runs once."""
    optional: bool
    needs: tuple[str, ...]
    """Every step that must end before this one, in plan order: those it mentions and those in `depends_on`."""
    tolerates: frozenset[str]
    """The needed steps whose absence it can do without, because its `when` tests `has(s.field)`."""
    source: JsonObject
    """The step in the plan language; what is compiled above is compiled from it."""


@dataclass(frozen=True)
class Plan:
    """Steps in the order in which they were written; the order of running follows from `needs`."""

    steps: tuple[Step, ...]

    @cached_property
    def mode(self) -> Mode:
        if any(step.needs for step in self.steps):
            return Mode.SEQUENTIAL
        return {0: Mode.NONE, 1: Mode.SINGLE}.get(len(self.steps), Mode.PARALLEL)

    @cached_property
    def by_id(self) -> dict[str, Step]:
        return {step.id: step for step in self.steps}

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) of the plan in the plan language."""
        return digest(self.to_json())

    def to_json(self) -> JsonObject:
        """The plan in the plan language; `validate` of it gives an equal plan."""
        return {"steps": [step.source for step in self.steps]}
