"""A run: one question from arrival to answer, and what is known of it so far."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from agentmesh.cards import Effect
from agentmesh.errors import MeshError
from orchestrator_svc.app.journal import Journal
from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.app.ports.clock import Clock
from orchestrator_svc.app.ports.planner import PlanSource, Question
from orchestrator_svc.app.request import RunRequest
from orchestrator_svc.app.run_events import Planned, StepFinished
from orchestrator_svc.app.run_trace import RunTrace
from orchestrator_svc.core.budget import NO_LIMITS, Budget
from orchestrator_svc.core.outcome import Outcome
from orchestrator_svc.core.plan import Plan
from orchestrator_svc.core.verdict import RunOutcome


class RunState(StrEnum):
    """RUNNING, then one of the others, which never change."""

    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class AnswerSource(StrEnum):
    """Who wrote the answer; run.proto says what each means."""

    LLM = "LLM"
    RENDERED = "RENDERED"
    NONE = "NONE"


@dataclass(frozen=True, slots=True)
class StepRecord:
    """How a step ended, and when."""

    outcome: Outcome
    started_at: datetime | None
    """When its inputs were there; None if they never were."""
    ended_at: datetime
    seconds: float
    """From its inputs being there to its end, on the monotonic clock; 0 for a step without a call."""


@dataclass(slots=True)
class Timings:
    """Seconds on the monotonic clock; what has not happened yet is 0."""

    total: float = 0.0
    route: float = 0.0
    execute: float = 0.0
    synthesize: float = 0.0
    critical_path: float = 0.0

    @property
    def overhead(self) -> float:
        """What the mesh itself cost."""
        return max(0.0, self.total - self.route - self.critical_path - self.synthesize)


@dataclass(slots=True)
class Run:
    """Written by the use case that runs it, read by everybody else."""

    id: str
    """32 hex digits, 128 random bits."""
    request: RunRequest
    started_at: datetime
    """What `now` is in expressions."""
    clock: Clock
    began: float
    """When it began on the monotonic clock."""
    ledger: Ledger
    journal: Journal
    state: RunState = RunState.RUNNING
    plan: Plan | None = None
    plan_source: PlanSource | None = None
    planner: str = ""
    steps: dict[str, StepRecord] = field(default_factory=dict)
    """The steps that have ended, by id."""
    outcome: RunOutcome | None = None
    answer: str = ""
    answer_source: AnswerSource | None = None
    error: MeshError | None = None
    """What its caller was told; set when FAILED."""
    ended_at: datetime | None = None
    timings: Timings = field(default_factory=Timings)
    trace: RunTrace = field(default_factory=RunTrace)

    @classmethod
    def begin(cls, request: RunRequest, clock: Clock, budget: Budget = NO_LIMITS) -> Run:
        """Make a run that begins now and may spend so much."""
        run_id = secrets.token_hex(16)
        return cls(
            id=run_id,
            request=request,
            started_at=clock.now(),
            clock=clock,
            began=clock.monotonic(),
            ledger=Ledger(run_id=run_id, budget=budget),
            journal=Journal(clock),
        )

    @property
    def question(self) -> Question:
        return self.request.question

    @property
    def outcomes(self) -> Mapping[str, Outcome]:
        return {step_id: record.outcome for step_id, record in self.steps.items()}

    @property
    def size_bytes(self) -> int:
        """About what it takes to remember it: its request, the results of its steps as JSON, and its journal."""
        results = sum(record.outcome.result_bytes for record in self.steps.values())
        return self.request.size_bytes + results + self.journal.size_bytes

    @property
    def may_have_changed_things(self) -> bool:
        """Whether a SIDE_EFFECT may have started: then a repetition of the request must not run afresh."""
        steps = () if self.plan is None else self.plan.steps
        return any(
            step.skill.effect is Effect.SIDE_EFFECT and self.steps[step.id].outcome.reached
            for step in steps
            if step.id in self.steps
        )

    def planned(self, plan: Plan, source: PlanSource, planner: str) -> None:
        """Note the plan and who made it."""
        self.plan, self.plan_source, self.planner = plan, source, planner
        self.journal.write(Planned())

    def step_ended(self, step_id: str, record: StepRecord) -> None:
        """Note how a step ended."""
        self.steps[step_id] = record
        self.journal.write(StepFinished(step_id))

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Measure `route`, `execute` or `synthesize`, also when it fails."""
        begin = self.clock.monotonic()
        try:
            yield
        finally:
            setattr(self.timings, phase, self.clock.monotonic() - begin)

    def end(self, state: RunState, error: MeshError | None = None) -> None:
        """Leave RUNNING, once.

        Raises:
            ValueError: It has ended before.
        """
        if self.state is not RunState.RUNNING:
            raise ValueError(f"run {self.id} is {self.state}, which never changes")
        self.state = state
        self.error = error
        self.ended_at = self.clock.now()
        self.timings.total = self.clock.monotonic() - self.began
