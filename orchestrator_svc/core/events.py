"""What the schedule says: a step can run now, or a step has ended. In plan order within one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.core.outcome import Outcome
from orchestrator_svc.core.plan import Step


@dataclass(frozen=True, slots=True)
class Call:
    """One call to make: of the step, or of one item of it. Its arguments fit the input schema."""

    arguments: JsonObject
    index: int | None = None
    """Position of the item for a for_each step, else None."""


@dataclass(frozen=True)
class StepReady:
    """The inputs of a step are there: make these calls, then report its outcome."""

    step: Step
    calls: tuple[Call, ...]
    settled: Mapping[int, Outcome] = field(default_factory=dict)
    """Items of a for_each step that failed before their call, by position."""


@dataclass(frozen=True)
class StepEnded:
    """A step has its outcome: reported by the caller, or decided by the schedule without any call."""

    step: Step
    outcome: Outcome


Event: TypeAlias = StepReady | StepEnded
