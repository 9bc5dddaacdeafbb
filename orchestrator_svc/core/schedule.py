"""Decides what runs when. A small synchronous object: ask what is ready, report what ended. Async code drives it.

Barrier-free: a step is ready the moment that every step it needs has ended, whatever its siblings do. Deterministic:
the events are a function of the plan and of the sequence of completions; those that are handed over together are
processed in plan order. The order of steps comes from `graphlib`; there is no recursion, so a chain may be long.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from graphlib import TopologicalSorter
from types import MappingProxyType
from typing import Final

from agentmesh.errors import ResultError
from agentmesh.jsonvalues import Json, JsonObject, check_limits
from orchestrator_svc.core.events import Call, Event, StepEnded, StepReady
from orchestrator_svc.core.expressions import EvaluationFailed, Expression
from orchestrator_svc.core.outcome import Outcome, StepReason, failed, gather, skipped
from orchestrator_svc.core.plan import Plan, Step
from orchestrator_svc.core.wording import place

MAX_FAN_OUT: Final = 64


class Schedule:
    """The state of one plan being run.

    Args:
        plan: What to run.
        now: What `now` is in expressions: the start of the run, UTC.
        max_fan_out: The longest list that for_each takes.
    """

    def __init__(self, plan: Plan, *, now: datetime, max_fan_out: int = MAX_FAN_OUT) -> None:
        self._plan = plan
        self._now = now
        self._max_fan_out = max_fan_out
        self._order = {step.id: position for position, step in enumerate(plan.steps)}
        self._sorter = TopologicalSorter({step.id: step.needs for step in plan.steps})
        self._sorter.prepare()
        self._outcomes: dict[str, Outcome] = {}
        self._running: set[str] = set()

    @property
    def outcomes(self) -> Mapping[str, Outcome]:
        """How the steps that have ended did so, by step id."""
        return MappingProxyType(self._outcomes)

    @property
    def running(self) -> frozenset[str]:
        """The steps that were handed out and have not been reported."""
        return frozenset(self._running)

    @property
    def done(self) -> bool:
        """True when every step has ended."""
        return len(self._outcomes) == len(self._order)

    def start(self) -> tuple[Event, ...]:
        """The first events. Call it once, before `complete`."""
        return self._advance([])

    def complete(self, outcomes: Mapping[str, Outcome]) -> tuple[Event, ...]:
        """Report steps that ended, and get what follows from it.

        Raises:
            ValueError: A step was not running; the message names it.
        """
        for step_id in outcomes:
            if step_id not in self._running:
                raise ValueError(f"step `{step_id}` is not running, so it cannot end")
        events: list[Event] = []
        for step_id in sorted(outcomes, key=self._order.__getitem__):
            self._running.remove(step_id)
            events.append(self._end(self._plan.by_id[step_id], outcomes[step_id]))
        return self._advance(events)

    def _advance(self, events: list[Event]) -> tuple[Event, ...]:
        while ready := sorted(self._sorter.get_ready(), key=self._order.__getitem__):
            for step_id in ready:
                event = self._decide(self._plan.by_id[step_id])
                if isinstance(event, StepReady):
                    self._running.add(step_id)
                    events.append(event)
                else:
                    events.append(self._end(event.step, event.outcome))
        return tuple(events)

    def _end(self, step: Step, outcome: Outcome) -> StepEnded:
        self._outcomes[step.id] = outcome
        self._sorter.done(step.id)
        return StepEnded(step, outcome)

    def _decide(self, step: Step) -> Event:
        """What to do with a step whose needs have all ended."""
        lacking = tuple(name for name in step.needs if self._outcomes[name].absent and name not in step.tolerates)
        if lacking:
            return StepEnded(step, self._skipped_because(lacking))
        bindings = self._bindings(step)
        try:
            if step.when is not None and not _truth(step.when, bindings, self._now):
                return StepEnded(step, skipped(StepReason.CONDITION_FALSE, message=f"`{step.when.source}` is false"))
            if step.for_each is None:
                return self._ready(step, bindings)
            return self._ready_items(step, self._items(step.for_each, bindings), bindings)
        except EvaluationFailed as error:
            return StepEnded(step, failed(StepReason.EXPRESSION_FAILED, error.message))

    def _skipped_because(self, lacking: tuple[str, ...]) -> Outcome:
        broken = tuple(name for name in lacking if self._outcomes[name].broken)
        reason = StepReason.UPSTREAM_FAILED if broken else StepReason.UPSTREAM_SKIPPED
        named = ", ".join(f"`{name}` is {self._outcomes[name].kind}" for name in broken or lacking)
        return skipped(reason, broken or lacking, f"it needs what is not there: {named}")

    def _bindings(self, step: Step) -> dict[str, Json]:
        return {name: {} if self._outcomes[name].absent else self._outcomes[name].value for name in step.needs}

    def _ready(self, step: Step, bindings: Mapping[str, Json]) -> Event:
        arguments = step.arguments.resolve(bindings, self._now)
        refusal = _refusal(step, arguments)
        return StepReady(step, (Call(arguments),)) if refusal is None else StepEnded(step, refusal)

    def _items(self, for_each: Expression | tuple[Json, ...], bindings: Mapping[str, Json]) -> list[Json]:
        if isinstance(for_each, tuple):
            return list(for_each)
        value = for_each.evaluate(bindings, self._now)
        if not isinstance(value, list):
            raise EvaluationFailed(f"for_each `{for_each.source}` gave no list")
        return value

    def _ready_items(self, step: Step, items: list[Json], bindings: Mapping[str, Json]) -> Event:
        if len(items) > self._max_fan_out:
            message = f"for_each has {len(items)} elements, at most {self._max_fan_out} are allowed; none was called"
            return StepEnded(step, failed(StepReason.FAN_OUT_EXCEEDED, message))
        calls: list[Call] = []
        settled: dict[int, Outcome] = {}
        for index, item in enumerate(items):
            try:
                arguments = step.arguments.resolve({**bindings, "item": item, "index": index}, self._now)
            except EvaluationFailed as error:
                settled[index] = failed(StepReason.EXPRESSION_FAILED, error.message)
                continue
            refusal = _refusal(step, arguments)
            if refusal is None:
                calls.append(Call(arguments, index))
            else:
                settled[index] = refusal
        if calls:
            return StepReady(step, tuple(calls), settled)
        return StepEnded(step, gather([settled[index] for index in range(len(items))], optional=step.optional))


def _truth(when: Expression, bindings: Mapping[str, Json], now: datetime) -> bool:
    value = when.evaluate(bindings, now)
    if isinstance(value, bool):
        return value
    raise EvaluationFailed(f"when `{when.source}` gave no bool; write a comparison such as size(x) > 0")


def _refusal(step: Step, arguments: JsonObject) -> Outcome | None:
    """FAILED if the resolved arguments cannot be sent: too large, too deep, or not what the skill takes."""
    try:
        check_limits(arguments)
    except ResultError as error:
        return failed(StepReason.ARGUMENTS_INVALID, f"the resolved arguments cannot be sent: {error.message}")
    mismatch = step.skill.check_arguments.first_mismatch(arguments)
    if mismatch is None:
        return None
    message = (
        f"the resolved arguments do not fit `{step.skill.id}`: arguments{place(mismatch.path)}: {mismatch.message}"
    )
    return failed(StepReason.ARGUMENTS_INVALID, message)
