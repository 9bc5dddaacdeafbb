"""How a step ended, in plain words."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from orchestrator_svc.adapters.rendering.clean import line
from orchestrator_svc.adapters.rendering.figures import in_words
from orchestrator_svc.core.outcome import Outcome, StepOutcome, StepReason
from orchestrator_svc.core.plan import Step

_MESSAGE_CHARACTERS: Final = 200
_MOST_NAMED: Final = 3
_FOUND_SOMETHING: Final = re.compile(
    r"\s*size\(\s*\w+(?:\.(\w+))*\.(?P<what>\w+)\s*\)\s*(?:(?:>|!=)\s*0(?:\.0)?|>=\s*1(?:\.0)?)\s*\Z", re.ASCII
)

WORDS: Final = {
    StepReason.EXPRESSION_FAILED: "what it needs could not be worked out from the earlier results",
    StepReason.ARGUMENTS_INVALID: "what it was to be asked does not fit it",
    StepReason.FAN_OUT_EXCEEDED: "there are too many things to do it for",
    StepReason.ITEMS_FAILED: "it failed for some of the things that it was to be done for",
    StepReason.AGENT_ERROR: "the agent answered with an error",
    StepReason.AGENT_UNAVAILABLE: "the agent could not be reached",
    StepReason.RESULT_INVALID: "the agent's result does not have the form that it should have",
    StepReason.RESULT_TOO_LARGE: "the agent's result is too large",
    StepReason.RESULT_TOO_DEEP: "the agent's result is nested too deeply",
    StepReason.RESULT_NOT_JSON: "the agent's result holds values that cannot be passed on",
    StepReason.RESULT_MISSING: "the agent gave no result",
    StepReason.SKILL_CHANGED: "the agent has changed in the meantime",
    StepReason.NO_ENDPOINT: "no agent that can do it is running",
    StepReason.BUDGET_EXHAUSTED: "there was no time left for it",
    StepReason.DEADLINE_EXCEEDED: "the agent did not answer in time",
    StepReason.RUN_CANCELLED: "it was cancelled",
    StepReason.BUDGET_EXCEEDED: "the budget of this question allows no further call of an agent",
}
"""Why something is missing; the reasons of what was skipped need other steps for their words."""
_TELLING: Final = frozenset({
    StepReason.EXPRESSION_FAILED, StepReason.ARGUMENTS_INVALID, StepReason.FAN_OUT_EXCEEDED, StepReason.AGENT_ERROR,
    StepReason.RESULT_INVALID,
})  # fmt: skip
"""Reasons of which the message says more than the words."""
_EFFECT_UNKNOWN: Final = "Its effect may or may not have happened."


def why(step: Step, outcome: Outcome, title_of: Callable[[str], str]) -> str:
    """A clause that says why the step did not succeed, with a full stop.

    Args:
        step: The step.
        outcome: How it ended.
        title_of: The title of a step, by its id.
    """
    match outcome.reason:
        case StepReason.CONDITION_FALSE:
            return f"not needed: {_condition(step)}."
        case StepReason.UPSTREAM_SKIPPED:
            return f"not needed: it follows {_titles(outcome, title_of)}, which was not needed."
        case StepReason.UPSTREAM_FAILED:
            return f"not done: it needs {_titles(outcome, title_of)}, which did not succeed."
        case StepReason.ITEMS_FAILED if outcome.items:
            bad = sum(not item.succeeded for item in outcome.items)
            return f"it failed for {bad} of {len(outcome.items)}.{_effect(outcome)}"
        case _:
            return failure(outcome)


def failure(outcome: Outcome) -> str:
    """The same for what has no other steps in its words, such as one item of several."""
    reason = outcome.reason
    timed_out = outcome.kind is StepOutcome.TIMED_OUT
    words = "it took too long" if timed_out else "it did not succeed"
    if reason is not None:
        words = WORDS.get(reason, words)
    message = line(outcome.message, _MESSAGE_CHARACTERS).rstrip(".")
    said = f": {message}" if message and (reason in _TELLING or reason is None) else ""
    return f"{words}{said}.{_effect(outcome)}"


def _effect(outcome: Outcome) -> str:
    return f" {_EFFECT_UNKNOWN}" if outcome.effect_unknown else ""


def _condition(step: Step) -> str:
    """What a condition that is false means, in words where it asks whether anything was found."""
    if step.when is None:
        return "its condition does not hold"
    found = _FOUND_SOMETHING.match(step.when.source)
    if found:
        return f"no {in_words(found['what'])} were found"
    return f"its condition does not hold (`{line(step.when.source, _MESSAGE_CHARACTERS)}`)"


def _titles(outcome: Outcome, title_of: Callable[[str], str]) -> str:
    names = [f'"{title_of(step_id)}"' for step_id in outcome.because_of[:_MOST_NAMED]]
    more = len(outcome.because_of) - len(names)
    if more > 0:
        names.append(f"{more} more")
    return " and ".join(names) or "another step"
