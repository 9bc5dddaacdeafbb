"""What is known of a run while it goes on: each event gives the next view. No output here, and no clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from agentmesh.client.events import (
    Accepted,
    AnswerReset,
    AnswerToken,
    Finished,
    Planned,
    RunEvent,
    StepFinished,
    StepProgress,
    StepStarted,
)
from agentmesh.client.values import Answer, StepReport
from agentmesh.jsonvalues import JsonObject


@dataclass(frozen=True, slots=True)
class StepView:
    """One step: it waits, runs, or has ended."""

    id: str
    skill: str = ""
    """Empty while the plan is not known."""
    began_at: datetime | None = None
    """When its first attempt was sent; None while it waits."""
    attempt: int = 0
    items_begun: frozenset[int] = frozenset()
    progress: StepProgress | None = None
    """The last; a new attempt begins without."""
    report: StepReport | None = None
    """Set once it has ended."""

    @property
    def running(self) -> bool:
        return self.began_at is not None and self.report is None


@dataclass(frozen=True, slots=True)
class RunView:
    """The run after some of its events."""

    run_id: str = ""
    began_at: datetime | None = None
    at: datetime | None = None
    """When the last event happened."""
    planned: Planned | None = None
    """None while the plan is not known."""
    steps: tuple[StepView, ...] = ()
    text: str = ""
    """The answer as far as it is written."""
    answer: Answer | None = None
    """Set once the run has finished."""

    def after(self, event: RunEvent) -> RunView:
        """Return the view after one more event."""
        seen = replace(self, at=event.at, began_at=self.began_at or event.at)
        match event:
            case Accepted():
                return replace(seen, run_id=event.run_id)
            case Planned():
                return replace(seen, planned=event, steps=_steps_of(event.plan))
            case StepStarted():
                return _changed(seen, event.step_id, lambda step: _started(step, event))
            case StepProgress():
                return _changed(seen, event.step_id, lambda step: replace(step, progress=event))
            case StepFinished():
                ended = event.step
                return _changed(seen, ended.step_id, lambda step: replace(step, skill=ended.skill, report=ended))
            case AnswerToken():
                return replace(seen, text=seen.text + event.text)
            case AnswerReset():
                return replace(seen, text="")
            case Finished():
                return replace(seen, answer=event.answer, run_id=event.answer.run_id)
            case _:
                return seen


def _changed(view: RunView, step_id: str, change: Callable[[StepView], StepView]) -> RunView:
    """A step that no plan has named comes last: who watches from the middle has not seen the plan."""
    known = any(step.id == step_id for step in view.steps)
    steps = view.steps if known else (*view.steps, StepView(step_id))
    return replace(view, steps=tuple(change(step) if step.id == step_id else step for step in steps))


def _steps_of(plan: JsonObject) -> tuple[StepView, ...]:
    steps = plan.get("steps")
    return tuple(
        StepView(str(step.get("id")), str(step.get("skill")))
        for step in (steps if isinstance(steps, list) else [])
        if isinstance(step, dict)
    )


def _started(step: StepView, event: StepStarted) -> StepView:
    items = step.items_begun if event.item_index is None else step.items_begun | {event.item_index}
    return replace(
        step,
        began_at=step.began_at or event.at,
        attempt=max(step.attempt, event.attempt),
        items_begun=items,
        progress=None if event.item_index is None else step.progress,
    )
