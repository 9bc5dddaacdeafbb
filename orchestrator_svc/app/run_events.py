"""What can happen in a run; run_event.proto says what each means.

An event names a step, and the run has the rest: its plan, how the step ended, the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Accepted:
    """The run has begun."""


@dataclass(frozen=True, slots=True)
class Planned:
    """The run has its plan."""


@dataclass(frozen=True, slots=True)
class StepStarted:
    """An attempt was sent."""

    step_id: str
    item_index: int | None
    attempt: int
    endpoint: str


@dataclass(frozen=True, slots=True)
class StepProgress:
    """An agent said how far it has come."""

    step_id: str
    item_index: int | None
    fraction: float | None
    """0 to 1; None: not known."""
    message: str


@dataclass(frozen=True, slots=True)
class StepFinished:
    """A step has its outcome."""

    step_id: str


@dataclass(frozen=True, slots=True)
class AnswerToken:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class AnswerReset:
    """The pieces so far are void."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The run has its answer."""


RunEvent: TypeAlias = (
    Accepted | Planned | StepStarted | StepProgress | StepFinished | AnswerToken | AnswerReset | Finished
)
