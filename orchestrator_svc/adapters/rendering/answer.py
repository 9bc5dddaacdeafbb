"""The answer as paragraphs: what is missing first, then a section for each step.

When the budget of a run did not allow a model to write, the very first sentence says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

from orchestrator_svc.adapters.rendering.abilities import ability_lines
from orchestrator_svc.adapters.rendering.budget import fair_share, fit, size_of
from orchestrator_svc.adapters.rendering.endings import why
from orchestrator_svc.adapters.rendering.fields import result_lines
from orchestrator_svc.adapters.rendering.figures import and_more
from orchestrator_svc.adapters.rendering.items import item_lines
from orchestrator_svc.adapters.rendering.order import arranged
from orchestrator_svc.adapters.rendering.titles import item_names, title
from orchestrator_svc.app.ports.synthesizer import Brief
from orchestrator_svc.core.outcome import Outcome
from orchestrator_svc.core.plan import Step

MOST_BYTES: Final = 16 * 1024
_MISSING_BYTES: Final = 4 * 1024
_MOST_MISSING: Final = 10
_MOST_SECTIONS: Final = 40
_OVER_BUDGET: Final = (
    "The budget of this question did not allow a language model to write the answer; this is what the agents gave."
)


def paragraphs(brief: Brief) -> Iterator[str]:
    """The paragraphs of the answer, without what separates them; together at most about 16 kB."""
    if brief.plan.steps:
        yield from _split(_Answer(brief).lines())
    else:
        yield from _split(fit(ability_lines(brief.catalog), MOST_BYTES))


class _Answer:
    """Renders one brief."""

    def __init__(self, brief: Brief) -> None:
        self._brief = brief
        self._ended = [(step, brief.outcomes[step.id]) for step in brief.plan.steps if step.id in brief.outcomes]
        self._title = cache(lambda step_id: title(brief.plan.by_id[step_id], brief))

    def lines(self) -> list[str]:
        missing = fit(self._missing(), _MISSING_BYTES)
        partial = any(outcome.broken and not step.optional for step, outcome in self._ended)
        note = [_OVER_BUDGET, ""] if self._brief.over_budget else []
        sections = self._sections(MOST_BYTES - sum(map(size_of, (*note, *missing))))
        return [*note, *missing, "", *sections] if partial else [*note, *sections, "", *missing]

    def _missing(self) -> Iterator[str]:
        broken = [(step, outcome) for step, outcome in self._ended if outcome.broken]
        if not broken:
            return
        partial = any(not step.optional for step, _ in broken)
        yield "This answer is incomplete. What is missing:" if partial else "What could not be had, and was optional:"
        yield ""
        for step, outcome in broken[:_MOST_MISSING]:
            yield f"- **{self._title(step.id)}**: {why(step, outcome, self._title)}"
        if len(broken) > _MOST_MISSING:
            yield f"- {and_more(len(broken) - _MOST_MISSING)}"

    def _sections(self, most_bytes: int) -> list[str]:
        shown = [(step, outcome) for step, outcome in self._ended if _has_section(outcome)]
        sections = [fit(self._section(*each), most_bytes) for each in shown[:_MOST_SECTIONS]]
        note = ["", f"... {and_more(len(shown) - _MOST_SECTIONS)} steps"] if len(shown) > _MOST_SECTIONS else []
        sizes = [sum(map(size_of, lines)) + 1 for lines in sections]
        cap = fair_share(sizes, most_bytes - sum(map(size_of, note)))
        return [line for lines in sections for line in (*fit(lines, cap), "")] + note

    def _section(self, step: Step, outcome: Outcome) -> Iterator[str]:
        yield f"## {self._title(step.id)}"
        yield ""
        if outcome.items is not None:
            yield from item_lines(
                outcome.items, item_names(step, self._brief, len(outcome.items)), step.skill.output_schema
            )
        elif outcome.succeeded:
            yield from result_lines(arranged(outcome.result, step.skill.output_schema))
        elif outcome.broken:
            yield "What the agent gave all the same:"
            yield ""
            yield from result_lines(arranged(outcome.result, step.skill.output_schema))
        else:
            words = why(step, outcome, self._title)
            yield f"{words[:1].upper()}{words[1:]}"


def _has_section(outcome: Outcome) -> bool:
    """Whether there is anything to say of it but that it is missing."""
    return not outcome.broken or outcome.items is not None or outcome.result is not None


def _split(lines: Sequence[str]) -> Iterator[str]:
    paragraph: list[str] = []
    for line in (*lines, ""):
        if line:
            paragraph.append(line)
        elif paragraph:
            yield "\n".join(paragraph)
            paragraph = []
