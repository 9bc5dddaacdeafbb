"""EXECUTE: drives the schedule of a plan over agent calls. No language model, no barrier, no orphan task.

Every step runs in a task of one TaskGroup and reports its outcome; a failure is a value. Only bugs and cancellation
raise, and then every call in flight is cancelled, down to the agents.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from agentmesh.cards import Effect
from agentmesh.deadline import Deadline
from orchestrator_svc.app import metrics, tracing
from orchestrator_svc.app.attempt import Sent
from orchestrator_svc.app.attempts import Attempts
from orchestrator_svc.app.ports.agent_caller import AgentCaller
from orchestrator_svc.app.retry import Retries, RetryPolicy
from orchestrator_svc.app.run import Run, StepRecord
from orchestrator_svc.core.critical_path import critical_path
from orchestrator_svc.core.events import Call, Event, StepReady
from orchestrator_svc.core.outcome import Outcome, StepOutcome, StepReason, gather
from orchestrator_svc.core.plan import Plan, Step
from orchestrator_svc.core.schedule import MAX_FAN_OUT, Schedule

_CANCELLED: Final = "the run was cancelled"


@dataclass(frozen=True, slots=True)
class ExecuteLimits:
    """Bounds on running a plan."""

    skill_timeout_seconds: float = 20.0
    """Time of one attempt at a skill whose card names none."""
    max_concurrent_calls: int = 32
    """Agent calls in flight for one run."""
    max_fan_out: int = MAX_FAN_OUT
    retry: RetryPolicy = field(default_factory=RetryPolicy)


class Executor:
    """Runs plans over an agent caller."""

    def __init__(
        self, caller: AgentCaller, limits: ExecuteLimits, *, jitter: Callable[[], float] = random.random
    ) -> None:
        """Keep the retry budgets of agents over all plans.

        Args:
            caller: Calls agents.
            limits: The bounds.
            jitter: Gives a number from 0 up to 1, for the pauses between attempts.
        """
        self._caller = caller
        self._limits = limits
        self._retries = Retries(limits.retry, jitter)

    async def execute(self, run: Run, plan: Plan, deadline: Deadline) -> None:
        """Run every step of the plan and note in the run how each ended; returns when all have."""
        with run.timed("execute"):
            await _Execution(run, plan, self._attempts(run, deadline), self._limits.max_fan_out).drive()
        run.timings.critical_path = critical_path(plan, {name: record.seconds for name, record in run.steps.items()})

    def _attempts(self, run: Run, deadline: Deadline) -> Attempts:
        return Attempts(
            run,
            deadline,
            self._caller,
            self._retries,
            timeout_seconds=self._limits.skill_timeout_seconds,
            max_at_once=self._limits.max_concurrent_calls,
        )


class _Execution:
    """One plan being run."""

    def __init__(self, run: Run, plan: Plan, attempts: Attempts, max_fan_out: int) -> None:
        self._run = run
        self._plan = plan
        self._attempts = attempts
        self._max_fan_out = max_fan_out
        self._ended: asyncio.Queue[tuple[str, Outcome]] = asyncio.Queue()
        self._started: dict[str, tuple[datetime, float]] = {}
        self._items: dict[str, dict[int, Outcome | None]] = {}
        """Of for_each steps that have started, by position; None for those that have not ended."""

    async def drive(self) -> None:
        schedule = Schedule(self._plan, now=self._run.started_at, max_fan_out=self._max_fan_out)
        try:
            async with asyncio.TaskGroup() as group:
                self._follow(schedule.start(), group)
                while not schedule.done:
                    self._follow(schedule.complete(await self._completions()), group)
        except BaseException:  # cancelled, or a bug: either way its calls have gone out
            self._record_cancelled()
            raise

    async def _completions(self) -> Mapping[str, Outcome]:
        """At least one completion, and all that are there by then."""
        completions = dict([await self._ended.get()])
        while not self._ended.empty():
            completions.update([self._ended.get_nowait()])
        return completions

    def _follow(self, events: Iterable[Event], group: asyncio.TaskGroup) -> None:
        for event in events:
            if isinstance(event, StepReady):
                if event.step.when is not None:
                    tracing.condition_met(event.step)
                self._started[event.step.id] = (self._run.clock.now(), self._run.clock.monotonic())
                group.create_task(self._run_step(event), name=f"step {event.step.id}")
            else:
                if event.step.id not in self._started:
                    tracing.not_called(event.step, event.outcome)
                self._record(event.step, event.outcome)

    async def _run_step(self, ready: StepReady) -> None:
        step = ready.step
        with tracing.invocation(self._run, step) as tell:
            if step.for_each is None:
                outcome = await self._attempts.make(step, ready.calls[0])
            else:
                outcome = gather(await self._run_items(ready), optional=step.optional)
            tell(outcome)
        self._ended.put_nowait((step.id, outcome))

    async def _run_items(self, ready: StepReady) -> Sequence[Outcome]:
        items: dict[int, Outcome | None] = {**ready.settled, **{_index(call): None for call in ready.calls}}
        self._items[ready.step.id] = items

        async def run(call: Call) -> None:
            items[_index(call)] = await self._attempts.make(ready.step, call)

        async with asyncio.TaskGroup() as group:
            for call in ready.calls:
                group.create_task(run(call))
        return [outcome for _, outcome in sorted(items.items()) if outcome is not None]

    def _record(self, step: Step, outcome: Outcome) -> None:
        started = self._started.get(step.id)
        record = StepRecord(
            outcome=outcome,
            started_at=started[0] if started else None,
            ended_at=self._run.clock.now(),
            seconds=self._run.clock.monotonic() - started[1] if started else 0.0,
        )
        self._run.step_ended(step.id, record)
        metrics.step_ended(step, outcome)

    def _record_cancelled(self) -> None:
        """The run ends here: what has not ended is CANCELLED."""
        while not self._ended.empty():
            step_id, outcome = self._ended.get_nowait()
            self._record(self._plan.by_id[step_id], outcome)
        for step in self._plan.steps:
            if step.id not in self._run.steps:
                self._record(step, self._cancelled(step))

    def _cancelled(self, step: Step) -> Outcome:
        items = self._items.get(step.id)
        if items is None:
            return _cancelled(step, self._attempts.sent(step.id, None))
        outcomes = [
            outcome or _cancelled(step, self._attempts.sent(step.id, index)) for index, outcome in sorted(items.items())
        ]
        whole = gather(outcomes, optional=step.optional)
        if None not in items.values():
            return whole
        return replace(whole, kind=StepOutcome.CANCELLED, reason=StepReason.RUN_CANCELLED, message=_CANCELLED)


def _cancelled(step: Step, sent: Sent) -> Outcome:
    return Outcome(
        StepOutcome.CANCELLED,
        StepReason.RUN_CANCELLED,
        _CANCELLED,
        attempts=sent.attempts,
        reached=sent.reached > 0,
        effect_unknown=sent.reached > 0 and step.skill.effect is Effect.SIDE_EFFECT,
    )


def _index(call: Call) -> int:
    assert call.index is not None, "a call of a for_each step has a position"
    return call.index
