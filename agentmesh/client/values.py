"""What a caller gets back: frozen values without generated code in their types, but for `wire`.

Each mirrors a message of the contract; the .proto files say what the fields mean. Times are aware and in UTC,
durations in seconds, results plain JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from google.protobuf.message import Message

from agentmesh.client.enums import AnswerSource, Mode, PlanSource, RunOutcome, RunState, StepOutcome, StepReason
from agentmesh.errors import Code, MeshError
from agentmesh.jsonvalues import JsonObject


@dataclass(frozen=True, slots=True)
class ItemReport:
    """How one item of a for_each step ended."""

    index: int
    outcome: StepOutcome
    reason: StepReason | None
    """None for SUCCEEDED."""
    message: str
    code: Code
    """The agent's status, else OK."""
    agent_reason: str
    attempts: int
    endpoint: str
    result: JsonObject | None
    effect_unknown: bool
    result_omitted: bool
    """Too large for this response: get the run with this step's id and this item's index."""
    result_bytes: int


@dataclass(frozen=True, slots=True)
class StepReport:
    """How one step of the plan ended."""

    step_id: str
    skill: str
    outcome: StepOutcome
    reason: StepReason | None
    """None for SUCCEEDED."""
    message: str
    code: Code
    """The agent's status, else OK."""
    agent_reason: str
    because_of: tuple[str, ...]
    attempts: int
    endpoint: str
    started_at: datetime | None
    """None if it never became ready."""
    ended_at: datetime | None
    result: JsonObject | None
    """None where there is none, or the response carries none; for for_each read `items`."""
    items: tuple[ItemReport, ...]
    effect_unknown: bool
    result_omitted: bool
    """Too large for this response: get the run with this step's id."""
    result_bytes: int

    @property
    def seconds(self) -> float | None:
        """From its inputs being there to its end; None if it never became ready."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True)
class AgentSpending:
    """What agents say they spent on language models of their own."""

    llm_calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run cost the orchestrator."""

    llm_calls: int
    """Completions asked for: at most 2."""
    llm_requests: int
    """HTTP requests for them, retries included."""
    models: tuple[str, ...]
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    """None if a model that was used has no price."""
    agent_calls: int
    agents: AgentSpending


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of a run went, in seconds."""

    total: float
    route: float
    execute: float
    synthesize: float
    critical_path: float
    overhead: float
    """What the mesh itself cost: total less route, critical path and synthesize."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer and how it came about."""

    run_id: str
    trace_id: str
    mode: Mode
    outcome: RunOutcome
    text: str
    """Empty for RAW."""
    answer_source: AnswerSource
    plan: JsonObject
    """In the plan language: `{"steps": [...]}`; what `execute_plan` takes."""
    plan_source: PlanSource
    planner: str
    steps: tuple[StepReport, ...]
    usage: Usage
    timings: Timings
    replayed: bool
    """True if this is the stored answer to an earlier request with the same `request_id`."""
    wire: Message = field(repr=False, compare=False)
    """The message as it came (AskResponse)."""


@dataclass(frozen=True, slots=True)
class RoutedPlan:
    """What would run for a question."""

    plan: JsonObject
    mode: Mode
    plan_source: PlanSource
    planner: str
    usage: Usage
    catalog_fingerprint: str
    wire: Message = field(repr=False, compare=False)
    """The message as it came (PlanResponse)."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as the server remembers it."""

    run_id: str
    state: RunState
    query: str
    conversation_id: str
    """Empty if the request named none."""
    started_at: datetime | None
    ended_at: datetime | None
    """None while RUNNING."""
    answer: Answer | None
    """While the run is not FINISHED, what is known so far; its outcome is then UNKNOWN."""
    error: MeshError | None
    """What its caller got; set when FAILED."""
    wire: Message = field(repr=False, compare=False)
    """The message as it came (Run)."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One line about a run."""

    run_id: str
    query: str
    """Cut at 200 characters."""
    state: RunState
    outcome: RunOutcome | None
    """None unless FINISHED."""
    conversation_id: str
    """Empty if the request named none."""
    started_at: datetime | None
    ended_at: datetime | None
    """None while RUNNING."""
    usage: Usage
    wire: Message = field(repr=False, compare=False)
    """The message as it came (RunSummary)."""

    @property
    def seconds(self) -> float | None:
        """From its arrival to its end; None while RUNNING."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()
