"""What a call that gave no reply means for its step."""

from __future__ import annotations

from typing import Final

from agentmesh import errors
from agentmesh.cards import Effect
from agentmesh.errors import MeshError
from orchestrator_svc.app.ports.agent_caller import CallFailed
from orchestrator_svc.core.catalog import Skill
from orchestrator_svc.core.outcome import Outcome, StepOutcome, StepReason

_REASONS: Final[dict[type[MeshError], StepReason]] = {
    errors.Unreachable: StepReason.AGENT_UNAVAILABLE,
    errors.ShuttingDown: StepReason.AGENT_UNAVAILABLE,
    errors.NoEndpoint: StepReason.NO_ENDPOINT,
    errors.SkillChanged: StepReason.SKILL_CHANGED,
    errors.ResultInvalid: StepReason.RESULT_INVALID,
    errors.ResultTooLarge: StepReason.RESULT_TOO_LARGE,
    errors.ResultTooDeep: StepReason.RESULT_TOO_DEEP,
    errors.ResultNotJson: StepReason.RESULT_NOT_JSON,
}
"""Errors with a reason of their own; every other one is AGENT_ERROR."""


def outcome_of_failure(skill: Skill, failure: CallFailed) -> Outcome:
    """The outcome of a step, or of an item, whose only attempt failed.

    A SIDE_EFFECT that was sent without an answer may or may not have happened: `effect_unknown`.
    """
    error = failure.error
    unanswered = isinstance(error, (errors.Unreachable, errors.DeadlineExceeded))
    timed_out = isinstance(error, errors.DeadlineExceeded)
    reason = _REASONS.get(type(error), StepReason.AGENT_ERROR)
    if timed_out:
        reason = StepReason.DEADLINE_EXCEEDED if failure.sent else StepReason.BUDGET_EXHAUSTED
    return Outcome(
        StepOutcome.TIMED_OUT if timed_out else StepOutcome.FAILED,
        reason,
        error.message,
        code=failure.code,
        agent_reason=failure.agent_reason,
        transient=error.transient or timed_out,
        attempts=int(reason not in (StepReason.NO_ENDPOINT, StepReason.BUDGET_EXHAUSTED)),
        endpoint=failure.endpoint,
        effect_unknown=skill.effect is Effect.SIDE_EFFECT and failure.sent and unanswered,
    )
