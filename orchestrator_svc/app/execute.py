"""EXECUTE: drives the schedule of a plan over agent calls. No language model, no barrier, no orphan task.

Every step runs in a task of one TaskGroup and reports its outcome; a failure is a value. Only bugs and cancellation
raise, and then every call in flight is cancelled, down to the agents.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from agentmesh.cards import Effect
from agentmesh.deadline import Deadline
from agentmesh.errors import BudgetExceeded
from agentmesh.jsonvalues import OFF_LOOP_BYTES, digest
from orchestrator_svc.app.attempt import outcome_of_failure
from orchestrator_svc.app.journal import Journal
from orchestrator_svc.app.ports.agent_caller import AgentCall, AgentCaller, AgentReply, CallFailed
from orchestrator_svc.app.run import Run, StepRecord
from orchestrator_svc.app.run_events import StepProgress, StepStarted
from orchestrator_svc.core.critical_path import critical_path
from orchestrator_svc.core.events import Call, Event, StepReady
from orchestrator_svc.core.outcome import Outcome, StepOutcome, StepReason, failed, gather
from orchestrator_svc.core.plan import Plan, Step
from orchestrator_svc.core.results import accept
from orchestrator_svc.core.schedule import MAX_FAN_OUT, Schedule


@dataclass(frozen=True, slots=True)
class ExecuteLimits:
    """Bounds on running a plan."""

    skill_timeout_seconds: float = 20.0
    """Time of one attempt at a skill whose card names none."""
    max_concurrent_calls: int = 32
    """Agent calls in flight for one run."""
    max_fan_out: int = MAX_FAN_OUT


class Executor:
    """Runs plans over an agent caller."""

    def __init__(self, caller: AgentCaller, limits: ExecuteLimits) -> None:
        self._caller = caller
        self._limits = limits

    async def execute(self, run: Run, plan: Plan, deadline: Deadline) -> None:
        """Run every step of the plan and note in the run how each ended; returns when all have."""
        with run.timed("execute"):
            await _Execution(run, plan, deadline, self._caller, self._limits).drive()
        run.timings.critical_path = critical_path(plan, {name: record.seconds for name, record in run.steps.items()})


class _Execution:
    """One plan being run."""

    def __init__(self, run: Run, plan: Plan, deadline: Deadline, caller: AgentCaller, limits: ExecuteLimits) -> None:
        self._run = run
        self._plan = plan
        self._deadline = deadline
        self._caller = caller
        self._limits = limits
        self._places = asyncio.Semaphore(limits.max_concurrent_calls)
        self._ended: asyncio.Queue[tuple[str, Outcome]] = asyncio.Queue()
        self._started: dict[str, tuple[datetime, float]] = {}
        self._attempts: Counter[str] = Counter()
        """Calls begun, by step."""

    async def drive(self) -> None:
        schedule = Schedule(self._plan, now=self._run.started_at, max_fan_out=self._limits.max_fan_out)
        try:
            async with asyncio.TaskGroup() as group:
                self._follow(schedule.start(), group)
                while not schedule.done:
                    self._follow(schedule.complete(await self._completions()), group)
        except asyncio.CancelledError:
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
                self._started[event.step.id] = (self._run.clock.now(), self._run.clock.monotonic())
                group.create_task(self._run_step(event), name=f"step {event.step.id}")
            else:
                self._record(event.step, event.outcome)

    async def _run_step(self, ready: StepReady) -> None:
        step = ready.step
        if step.for_each is None:
            outcome = await self._call(step, ready.calls[0])
        else:
            outcomes = dict(ready.settled)
            async with asyncio.TaskGroup() as group:
                tasks = {call.index: group.create_task(self._call(step, call)) for call in ready.calls}
            outcomes.update({index: task.result() for index, task in tasks.items() if index is not None})
            outcome = gather([outcomes[index] for index in sorted(outcomes)], optional=step.optional)
        self._ended.put_nowait((step.id, outcome))

    async def _call(self, step: Step, call: Call) -> Outcome:
        async with self._places:
            if self._deadline.expired:
                return Outcome(
                    StepOutcome.TIMED_OUT,
                    StepReason.BUDGET_EXHAUSTED,
                    "the time of the run was used up before the call could be sent",
                    transient=True,
                )
            return await self._attempt(step, call)

    async def _attempt(self, step: Step, call: Call) -> Outcome:
        try:
            self._run.ledger.claim_agent_call()
        except BudgetExceeded as error:
            return failed(StepReason.BUDGET_EXCEEDED, error.message)
        self._attempts[step.id] += 1
        seconds = step.skill.timeout_seconds or self._limits.skill_timeout_seconds
        agent_call = self._agent_call(step, call)
        try:
            reply = await self._caller.call(
                agent_call, self._deadline.at_most(seconds), _AttemptWatcher(agent_call, self._run.journal)
            )
        except CallFailed as failure:
            self._run.ledger.record_agent_spending(failure.spending)
            outcome = outcome_of_failure(step.skill, failure)
            if not outcome.attempts:
                self._run.ledger.return_agent_call()
            return outcome
        self._run.ledger.record_agent_spending(reply.spending)
        return replace(await _accepted(step, reply), attempts=1, endpoint=reply.endpoint)

    def _agent_call(self, step: Step, call: Call) -> AgentCall:
        request = self._run.request
        origin = [request.caller, request.request_id or self._run.id]
        key = digest([*origin, step.id, call.index, step.skill.id, call.arguments])
        return AgentCall(
            skill=step.skill,
            arguments=call.arguments,
            run_id=self._run.id,
            step_id=step.id,
            item_index=call.index,
            attempt=1,
            idempotency_key=key,
        )

    def _record(self, step: Step, outcome: Outcome) -> None:
        started = self._started.get(step.id)
        record = StepRecord(
            outcome=outcome,
            started_at=started[0] if started else None,
            ended_at=self._run.clock.now(),
            seconds=self._run.clock.monotonic() - started[1] if started else 0.0,
        )
        self._run.step_ended(step.id, record)

    def _record_cancelled(self) -> None:
        """The run ends here: what has not ended is CANCELLED."""
        while not self._ended.empty():
            step_id, outcome = self._ended.get_nowait()
            self._record(self._plan.by_id[step_id], outcome)
        for step in self._plan.steps:
            if step.id not in self._run.steps:
                self._record(step, self._cancelled(step))

    def _cancelled(self, step: Step) -> Outcome:
        attempts = self._attempts[step.id]
        return Outcome(
            StepOutcome.CANCELLED,
            StepReason.RUN_CANCELLED,
            "the run was cancelled",
            attempts=attempts,
            effect_unknown=attempts > 0 and step.skill.effect is Effect.SIDE_EFFECT,
        )


@dataclass(frozen=True, slots=True)
class _AttemptWatcher:
    """Implements `CallWatcher`: what is heard of an attempt goes into the journal of the run."""

    call: AgentCall
    journal: Journal

    @property
    def wants_progress(self) -> bool:
        return self.journal.is_read

    def sent(self, endpoint: str) -> None:
        self.journal.write(StepStarted(self.call.step_id, self.call.item_index, self.call.attempt, endpoint))

    def progress(self, fraction: float | None, message: str) -> None:
        self.journal.write(StepProgress(self.call.step_id, self.call.item_index, fraction, message))


async def _accepted(step: Step, reply: AgentReply) -> Outcome:
    """Check a result; a large one in a thread, because a megabyte takes tens of milliseconds."""
    if reply.wire_bytes <= OFF_LOOP_BYTES:
        return accept(step.skill, reply.result)
    return await asyncio.to_thread(accept, step.skill, reply.result)
