"""Runs plans through the schedule without any agent: a test says how each call ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.core.events import Call, Event, StepEnded, StepReady
from orchestrator_svc.core.outcome import Outcome, StepOutcome, StepReason, gather
from orchestrator_svc.core.plan import Plan
from orchestrator_svc.core.schedule import MAX_FAN_OUT, Schedule
from orchestrator_svc.core.validate import PlanLimits, validate
from tests.core.skills import CATALOG, LOOSE

NOW: Final = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)

FAILED: Final = Outcome(StepOutcome.FAILED, StepReason.AGENT_ERROR, "it broke")
TIMED_OUT: Final = Outcome(StepOutcome.TIMED_OUT, StepReason.DEADLINE_EXCEEDED, "too slow", transient=True)
CANCELLED: Final = Outcome(StepOutcome.CANCELLED, StepReason.RUN_CANCELLED, "the run was cancelled")

Answers = Mapping[str, Outcome | Callable[[Call], Outcome]]


def step(identifier: str, **changes: Json) -> JsonObject:
    """A step of a skill that takes and gives anything."""
    return {"id": identifier, "skill": LOOSE.id, **changes}


def plan_of(*steps: JsonObject) -> Plan:
    return validate({"steps": list(steps)}, CATALOG, PlanLimits(max_steps=100_000))


def gives(result: JsonObject) -> Outcome:
    return Outcome(StepOutcome.SUCCEEDED, result=result, result_bytes=1, attempts=1)


class Running:
    """A schedule, and all its events so far."""

    def __init__(self, plan: Plan, answers: Answers, *, max_fan_out: int = MAX_FAN_OUT) -> None:
        self.schedule = Schedule(plan, now=NOW, max_fan_out=max_fan_out)
        self.events: list[Event] = []
        self._answers = answers

    def start(self) -> tuple[Event, ...]:
        return self._noted(self.schedule.start())

    def end(self, *names: str) -> tuple[Event, ...]:
        """End running steps together, in this order of handing over."""
        return self._noted(self.schedule.complete({name: self._outcome(name) for name in names}))

    def to_the_end(self) -> Mapping[str, Outcome]:
        """Start, and end one step after the other until all have."""
        self.start()
        while not self.schedule.done:
            self.end(min(self.schedule.running))
        return self.schedule.outcomes

    def ready(self, name: str) -> StepReady:
        """The event by which the step was handed out."""
        (event,) = (event for event in self.events if isinstance(event, StepReady) and event.step.id == name)
        return event

    def arguments(self, name: str) -> list[JsonObject]:
        """With what the step was called."""
        return [call.arguments for call in self.ready(name).calls]

    def was_called(self, name: str) -> bool:
        return any(isinstance(event, StepReady) and event.step.id == name for event in self.events)

    def _noted(self, events: tuple[Event, ...]) -> tuple[Event, ...]:
        self.events += events
        return events

    def _outcome(self, name: str) -> Outcome:
        ready = self.ready(name)
        answer = self._answers.get(name, gives({}))
        results = {call.index: answer(call) if callable(answer) else answer for call in ready.calls}
        if ready.step.for_each is None:
            return results[None]
        items = {**ready.settled, **{index: result for index, result in results.items() if index is not None}}
        return gather([items[index] for index in sorted(items)], optional=ready.step.optional)


def run(*steps: JsonObject, max_fan_out: int = MAX_FAN_OUT, **answers: Outcome | Callable[[Call], Outcome]) -> Running:
    """Run a plan to its end; what no answer is given for succeeds with `{}`."""
    running = Running(plan_of(*steps), answers, max_fan_out=max_fan_out)
    running.to_the_end()
    return running


def shown(events: Iterable[Event]) -> list[tuple[object, ...]]:
    """Events as plain values, for comparison."""
    return [
        ("ended", event.step.id, event.outcome)
        if isinstance(event, StepEnded)
        else ("ready", event.step.id, event.calls, dict(event.settled))
        for event in events
    ]
