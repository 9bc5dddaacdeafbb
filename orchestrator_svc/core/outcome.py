"""How a step ends. A failure is a value: only bugs and cancellation are exceptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from agentmesh.errors import Code
from agentmesh.jsonvalues import Json, JsonObject


class StepOutcome(StrEnum):
    """run.proto (StepOutcome) says what each means."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    SKIPPED = "SKIPPED"
    CANCELLED = "CANCELLED"


class StepReason(StrEnum):
    """run.proto (StepReason) says what each means."""

    CONDITION_FALSE = "CONDITION_FALSE"
    UPSTREAM_SKIPPED = "UPSTREAM_SKIPPED"
    UPSTREAM_FAILED = "UPSTREAM_FAILED"
    EXPRESSION_FAILED = "EXPRESSION_FAILED"
    ARGUMENTS_INVALID = "ARGUMENTS_INVALID"
    FAN_OUT_EXCEEDED = "FAN_OUT_EXCEEDED"
    ITEMS_FAILED = "ITEMS_FAILED"
    AGENT_ERROR = "AGENT_ERROR"
    AGENT_UNAVAILABLE = "AGENT_UNAVAILABLE"
    RESULT_INVALID = "RESULT_INVALID"
    RESULT_TOO_LARGE = "RESULT_TOO_LARGE"
    RESULT_TOO_DEEP = "RESULT_TOO_DEEP"
    RESULT_NOT_JSON = "RESULT_NOT_JSON"
    RESULT_MISSING = "RESULT_MISSING"
    SKILL_CHANGED = "SKILL_CHANGED"
    NO_ENDPOINT = "NO_ENDPOINT"
    BUDGET_EXHAUSTED = "BUDGET_EXHAUSTED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    RUN_CANCELLED = "RUN_CANCELLED"
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one step, or one item of a for_each step, ended."""

    kind: StepOutcome
    reason: StepReason | None = None
    """None for SUCCEEDED only."""
    message: str = ""
    """For people and callers; holds no internals."""
    result: JsonObject | None = None
    """Set for SUCCEEDED (but for for_each), and for a RESULT_INVALID of a SIDE_EFFECT skill."""
    result_bytes: int = 0
    """Size of the result as compact JSON."""
    items: tuple[Outcome, ...] | None = None
    """By position, for a for_each step whose list was accepted; else None."""
    code: Code = Code.OK
    """The agent's status, where it gave one."""
    agent_reason: str = ""
    transient: bool = False
    """True if the same call might succeed later."""
    because_of: tuple[str, ...] = ()
    """The absent steps that made this one SKIPPED."""
    attempts: int = 0
    """Calls that went out, whether they arrived or not."""
    reached: bool = False
    """True if one of them may have reached the agent."""
    endpoint: str = ""
    effect_unknown: bool = False

    @property
    def succeeded(self) -> bool:
        return self.kind is StepOutcome.SUCCEEDED

    @property
    def absent(self) -> bool:
        """True if steps that need this one find nothing."""
        return not self.succeeded

    @property
    def broken(self) -> bool:
        """True if something went wrong here or before; a condition that was false is not wrong."""
        return self.absent and self.reason not in (StepReason.CONDITION_FALSE, StepReason.UPSTREAM_SKIPPED)

    @property
    def value(self) -> Json:
        """What expressions see of a step that succeeded: its result, or for for_each the list of them."""
        if self.items is not None:
            return [item.result if item.succeeded else None for item in self.items]
        return self.result


def skipped(reason: StepReason, because_of: Sequence[str] = (), message: str = "") -> Outcome:
    return Outcome(StepOutcome.SKIPPED, reason, message, because_of=tuple(because_of))


def failed(reason: StepReason, message: str) -> Outcome:
    return Outcome(StepOutcome.FAILED, reason, message)


def gather(items: Sequence[Outcome], *, optional: bool) -> Outcome:
    """The outcome of a for_each step from those of its items, by position.

    SUCCEEDED when every item did, also for an empty list; with `optional` one success is enough, and what failed has
    the value null. Else FAILED, ITEMS_FAILED.
    """
    bad = [index for index, item in enumerate(items) if not item.succeeded]
    whole = Outcome(
        StepOutcome.SUCCEEDED,
        items=tuple(items),
        result_bytes=sum(item.result_bytes for item in items),
        attempts=sum(item.attempts for item in items),
        reached=any(item.reached for item in items),
        endpoint=next((item.endpoint for item in reversed(items) if item.endpoint), ""),
        effect_unknown=any(item.effect_unknown for item in items),
    )
    if not bad or (optional and len(bad) < len(items)):
        return whole
    first = items[bad[0]]
    return replace(
        whole,
        kind=StepOutcome.FAILED,
        reason=StepReason.ITEMS_FAILED,
        message=f"{len(bad)} of {len(items)} items failed, the first at [{bad[0]}]: {first.reason}: {first.message}",
        transient=all(items[index].transient for index in bad),
    )
