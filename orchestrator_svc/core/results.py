"""What counts as a result. The same rules for every agent, whatever it is written in."""

from __future__ import annotations

from typing import Final

from agentmesh import errors
from agentmesh.cards import Effect
from agentmesh.jsonvalues import JsonObject, check_limits
from orchestrator_svc.core.catalog import Skill
from orchestrator_svc.core.outcome import Outcome, StepOutcome, StepReason, failed
from orchestrator_svc.core.wording import place

_REASONS: Final = {
    errors.ResultTooLarge: StepReason.RESULT_TOO_LARGE,
    errors.ResultTooDeep: StepReason.RESULT_TOO_DEEP,
    errors.ResultNotJson: StepReason.RESULT_NOT_JSON,
}


def accept(skill: Skill, result: JsonObject | None) -> Outcome:
    """SUCCEEDED with the result, or FAILED with what is wrong with it.

    Open-world: fields that the output schema does not list are kept; one that is missing or has another type makes the
    result RESULT_INVALID. For a SIDE_EFFECT skill the raw result is kept even then, because the effect has happened.
    """
    if result is None:
        return failed(StepReason.RESULT_MISSING, f"`{skill.id}` answered OK without a result")
    try:
        size = check_limits(result)
    except errors.ResultError as error:
        return failed(_REASONS[type(error)], error.message)
    mismatch = skill.check_result.first_mismatch(result)
    if mismatch is None:
        return Outcome(StepOutcome.SUCCEEDED, result=result, result_bytes=size)
    return Outcome(
        StepOutcome.FAILED,
        StepReason.RESULT_INVALID,
        f"the result of `{skill.id}` breaks its output schema at result{place(mismatch.path)}: {mismatch.message}",
        result=result if skill.effect is Effect.SIDE_EFFECT else None,
        result_bytes=size,
    )
