"""What happens in a run, as callers see it: one frozen value for each kind of event.

Each mirrors a message of run_event.proto, which says when it comes. A run that ends well ends with `Finished`; a run
that fails raises what `ask` would raise, and has none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from google.protobuf.message import Message

from agentmesh.client.enums import Mode, PlanSource
from agentmesh.client.values import Answer, StepReport
from agentmesh.jsonvalues import JsonObject


@dataclass(frozen=True, slots=True)
class _Event:
    sequence: int
    """1, 2, 3 ... within one run."""
    at: datetime
    """When it happened, on the orchestrator's clock."""
    wire: Message = field(repr=False, compare=False)
    """The message as it came (RunEvent)."""


@dataclass(frozen=True, slots=True)
class Accepted(_Event):
    """The run has an id; always the first event."""

    run_id: str


@dataclass(frozen=True, slots=True)
class Planned(_Event):
    """The plan is known; no step has begun."""

    plan: JsonObject
    """In the plan language."""
    plan_source: PlanSource
    planner: str
    mode: Mode


@dataclass(frozen=True, slots=True)
class StepStarted(_Event):
    """An attempt at a step, or at an item of it, was sent."""

    step_id: str
    item_index: int | None
    """None outside for_each."""
    attempt: int
    endpoint: str


@dataclass(frozen=True, slots=True)
class StepProgress(_Event):
    """A step, or an item of it, says how far it has come."""

    step_id: str
    item_index: int | None
    """None outside for_each."""
    fraction: float | None
    """0 to 1; None if it is not known."""
    message: str


@dataclass(frozen=True, slots=True)
class StepFinished(_Event):
    """A step ended."""

    step: StepReport
    """Without its result: the answer has that, or `get_run`."""


@dataclass(frozen=True, slots=True)
class AnswerToken(_Event):
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class AnswerReset(_Event):
    """The pieces so far are void: the answer begins again."""


@dataclass(frozen=True, slots=True)
class Finished(_Event):
    """The run has its answer; always the last event."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class UnknownEvent(_Event):
    """Something that is newer than this client, given so that no number is missing; pass over it."""


RunEvent: TypeAlias = (
    Accepted | Planned | StepStarted | StepProgress | StepFinished | AnswerToken | AnswerReset | Finished | UnknownEvent
)
