"""What can be one of few things. Each mirrors an enum of the contract; the .proto files say what the members mean.

UNKNOWN stands for a value that is newer than this client.
"""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """The shape of a plan; plan.proto (Mode)."""

    NONE = "NONE"
    SINGLE = "SINGLE"
    PARALLEL = "PARALLEL"
    SEQUENTIAL = "SEQUENTIAL"
    UNKNOWN = "UNKNOWN"


class PlanSource(StrEnum):
    """Who made a plan; plan.proto (PlanSource)."""

    LLM = "LLM"
    CACHE = "CACHE"
    OFFLINE = "OFFLINE"
    CALLER = "CALLER"
    UNKNOWN = "UNKNOWN"


class EndpointState(StrEnum):
    """Whether an orchestrator sends calls to an endpoint; registry_service.proto (EndpointState)."""

    SERVING = "SERVING"
    NOT_SERVING = "NOT_SERVING"
    SILENT = "SILENT"
    EJECTED = "EJECTED"
    UNKNOWN = "UNKNOWN"


class RunOutcome(StrEnum):
    """How a run ended, for the person who asked; run.proto (RunOutcome)."""

    COMPLETE = "COMPLETE"
    PARTIAL = "PARTIAL"
    NO_AGENT = "NO_AGENT"
    UNKNOWN = "UNKNOWN"


class RunState(StrEnum):
    """Where a run is in its life; run.proto (RunState)."""

    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"


class AnswerSource(StrEnum):
    """Who wrote an answer; run.proto (AnswerSource)."""

    LLM = "LLM"
    RENDERED = "RENDERED"
    NONE = "NONE"
    UNKNOWN = "UNKNOWN"


class StepOutcome(StrEnum):
    """How a step, or an item of it, ended; run.proto (StepOutcome)."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    SKIPPED = "SKIPPED"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"


class StepReason(StrEnum):
    """Why a step ended as it did; run.proto (StepReason)."""

    CONDITION_FALSE = "CONDITION_FALSE"
    UPSTREAM_SKIPPED = "UPSTREAM_SKIPPED"
    UPSTREAM_FAILED = "UPSTREAM_FAILED"
    EXPRESSION_FAILED = "EXPRESSION_FAILED"
    ARGUMENTS_INVALID = "ARGUMENTS_INVALID"
    FAN_OUT_EXCEEDED = "FAN_OUT_EXCEEDED"
    ITEMS_FAILED = "ITEMS_FAILED"
    AGENT_ERROR = "AGENT_ERROR"
    AGENT_UNAVAILABLE = "AGENT_UNAVAILABLE"
    RESULT_INVALID = "RESULT_INVALID"
    RESULT_TOO_LARGE = "RESULT_TOO_LARGE"
    RESULT_TOO_DEEP = "RESULT_TOO_DEEP"
    RESULT_NOT_JSON = "RESULT_NOT_JSON"
    RESULT_MISSING = "RESULT_MISSING"
    SKILL_CHANGED = "SKILL_CHANGED"
    NO_ENDPOINT = "NO_ENDPOINT"
    BUDGET_EXHAUSTED = "BUDGET_EXHAUSTED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    RUN_CANCELLED = "RUN_CANCELLED"
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    UNKNOWN = "UNKNOWN"
