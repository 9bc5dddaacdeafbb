"""A brief as text for a model: the question and what became of each step, as data that cannot pass for anything else.

Whatever comes from outside (the question, arguments, results, the words of agents) is JSON on one line of its own, in
which `<`, `>` and every line break are escaped. So no data can end the block that it stands in, begin a line of ours,
or look like one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from agentmesh.jsonvalues import Json
from orchestrator_svc.app.ports.synthesizer import Brief
from orchestrator_svc.core.outcome import Outcome, StepOutcome
from orchestrator_svc.core.plan import Step

_ARGUMENTS_CAP_BYTES: Final = 2048
_MESSAGE_CHARACTERS: Final = 1000
_MOST_FAILED_ITEMS: Final = 10
_ESCAPES: Final = str.maketrans({
    "<": "\\u003c", ">": "\\u003e", "\x7f": "\\u007f", "\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029",
})  # fmt: skip
"""`json.dumps` escapes the other line breaks and controls."""


def brief_text(brief: Brief, *, result_cap: int, results_cap: int) -> str:
    """Return the text of the last message.

    Args:
        brief: The question and the outcomes.
        result_cap: Most bytes of the result of one step; the cut is marked.
        results_cap: Most bytes of all results; if they have more, each gets an equal share at most.
    """
    outcomes = [(step, brief.outcomes[step.id]) for step in brief.plan.steps if step.id in brief.outcomes]
    results = {step.id: data(outcome.value) for step, outcome in outcomes if _has_result(outcome)}
    cap = result_cap
    if sum(min(len(text.encode()), result_cap) for text in results.values()) > results_cap:
        cap = min(cap, results_cap // len(results))
    lines = ["Question:", data(brief.question.query), "", "<steps>"]
    for step, outcome in outcomes:
        lines += _step_lines(step, outcome, results.get(step.id), cap)
    return "\n".join((*lines, "</steps>"))


def data(value: Json) -> str:
    """JSON on one line, without angle brackets."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPES)


def _step_lines(step: Step, outcome: Outcome, result: str | None, cap: int) -> Iterator[str]:
    yield f"step {step.id} ({step.skill.id}): {_ending(outcome)}"
    yield from _capped("arguments", data(step.source.get("arguments", {})), _ARGUMENTS_CAP_BYTES)
    if outcome.effect_unknown:
        yield "  its effect may or may not have happened"
    if outcome.because_of:
        yield f"  because of: {', '.join(outcome.because_of)}"
    if outcome.message:
        yield f"  message: {data(outcome.message[:_MESSAGE_CHARACTERS])}"
    yield from _item_lines(outcome.items or ())
    if result is not None:
        invalid = outcome.items is None and not outcome.succeeded
        yield from _capped("result, which breaks its schema" if invalid else "result", result, cap)


def _has_result(outcome: Outcome) -> bool:
    return any(item.succeeded for item in outcome.items or ()) or outcome.result is not None or outcome.items == ()


def _item_lines(items: tuple[Outcome, ...]) -> Iterator[str]:
    """What went wrong with single items; the others are in the result, by position."""
    bad = [(place, item) for place, item in enumerate(items) if not item.succeeded]
    for place, item in bad[:_MOST_FAILED_ITEMS]:
        unknown = "; its effect may or may not have happened" if item.effect_unknown else ""
        yield f"  item [{place}]: {_ending(item)}{unknown} {data(item.message[:_MESSAGE_CHARACTERS])}"
    if len(bad) > _MOST_FAILED_ITEMS:
        yield f"  and {len(bad) - _MOST_FAILED_ITEMS} more items that did not succeed"


def _ending(outcome: Outcome) -> str:
    if outcome.kind is StepOutcome.SUCCEEDED or outcome.reason is None:
        return outcome.kind.value
    return f"{outcome.kind.value}, {outcome.reason.value}"


def _capped(name: str, text: str, cap: int) -> Iterator[str]:
    encoded = text.encode()
    if len(encoded) <= cap:
        yield f"  {name}: {text}"
        return
    yield f"  {name}: {encoded[:cap].decode(errors='ignore')}"
    yield f"  cut: these are the first {cap} of {len(encoded)} bytes"
