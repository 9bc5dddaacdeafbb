"""How a whole run ended, from how its steps ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final

from agentmesh.errors import AllStepsFailed, BudgetExceeded, Code
from orchestrator_svc.core.budget import budget_exceeded
from orchestrator_svc.core.outcome import Outcome, StepOutcome, StepReason
from orchestrator_svc.core.plan import Plan


class RunOutcome(StrEnum):
    """run.proto (RunOutcome) says what each means."""

    COMPLETE = "COMPLETE"
    PARTIAL = "PARTIAL"
    NO_AGENT = "NO_AGENT"


_AGENTS_OWN: Final = frozenset(
    {Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.PERMISSION_DENIED, Code.FAILED_PRECONDITION}
)
"""Codes by which an agent says that the request itself cannot succeed; passed on when all agents say the same."""


def judge(plan: Plan, outcomes: Mapping[str, Outcome]) -> RunOutcome:
    """The outcome of a run whose steps have all ended.

    A required step that was skipped because of a failure counts as failed, also if what failed was optional: the work
    that was required is not there. Where only the budget of the run kept steps from succeeding, single items of a
    for_each step are results enough.

    Raises:
        AllStepsFailed: None succeeded and at least one failed. The message has the first failure in plan order.
        BudgetExceeded: The same, and only the budget is to blame.
    """
    if not plan.steps:
        return RunOutcome.NO_AGENT
    broken = [step for step in plan.steps if outcomes[step.id].broken]
    if broken and not any(outcomes[step.id].succeeded for step in plan.steps):
        failures = {step.id: outcomes[step.id] for step in broken if outcomes[step.id].kind is not StepOutcome.SKIPPED}
        parts = [part for outcome in failures.values() for part in _parts(outcome)]
        if any(part.reason is not StepReason.BUDGET_EXCEEDED for part in parts):
            raise _all_failed(failures, parts)
        if not any(item.succeeded for outcome in failures.values() for item in outcome.items or ()):
            raise _budget_exceeded(parts[0])
    return RunOutcome.PARTIAL if any(not step.optional for step in broken) else RunOutcome.COMPLETE


def _all_failed(failures: Mapping[str, Outcome], parts: Sequence[Outcome]) -> AllStepsFailed:
    step_id, first = next(iter(failures.items()))
    return AllStepsFailed(
        f"no step succeeded; the first failure is `{step_id}`: {first.reason}: {first.message}",
        code=_code(parts),
        metadata={"step_id": step_id, "step_reason": str(first.reason)},
    )


def _budget_exceeded(first: Outcome) -> BudgetExceeded:
    return budget_exceeded({"agent_calls": first.message}, message=f"no step succeeded: {first.message}")


def _parts(outcome: Outcome) -> Iterator[Outcome]:
    """The failures that a failure is made of: the items of a for_each step, or itself."""
    failed_items = [item for item in outcome.items or () if not item.succeeded]
    if failed_items:
        yield from failed_items
    else:
        yield outcome


def _code(failures: Sequence[Outcome]) -> Code:
    if all(failure.kind is StepOutcome.TIMED_OUT for failure in failures):
        return Code.DEADLINE_EXCEEDED
    if all(failure.transient for failure in failures):
        return Code.UNAVAILABLE
    codes = {failure.code for failure in failures}
    if len(codes) == 1 and codes <= _AGENTS_OWN:
        return codes.pop()
    return Code.FAILED_PRECONDITION
