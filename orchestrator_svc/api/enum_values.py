"""Members of our enums as values of the contract's: its names are ours behind a prefix."""

from __future__ import annotations

from agentmesh.v1 import plan_pb2, run_pb2
from orchestrator_svc.app.ports.planner import PlanSource
from orchestrator_svc.app.run import AnswerSource, RunState
from orchestrator_svc.core.outcome import StepOutcome, StepReason
from orchestrator_svc.core.plan import Mode
from orchestrator_svc.core.verdict import RunOutcome


def mode_value(mode: Mode) -> plan_pb2.Mode.ValueType:
    return plan_pb2.Mode.Value(f"MODE_{mode}")


def plan_source_value(source: PlanSource) -> plan_pb2.PlanSource.ValueType:
    return plan_pb2.PlanSource.Value(f"PLAN_SOURCE_{source}")


def run_state_value(state: RunState) -> run_pb2.RunState.ValueType:
    return run_pb2.RunState.Value(f"RUN_STATE_{state}")


def run_outcome_value(outcome: RunOutcome) -> run_pb2.RunOutcome.ValueType:
    return run_pb2.RunOutcome.Value(f"RUN_OUTCOME_{outcome}")


def answer_source_value(source: AnswerSource) -> run_pb2.AnswerSource.ValueType:
    return run_pb2.AnswerSource.Value(f"ANSWER_SOURCE_{source}")


def step_outcome_value(outcome: StepOutcome) -> run_pb2.StepOutcome.ValueType:
    return run_pb2.StepOutcome.Value(f"STEP_OUTCOME_{outcome}")


def step_reason_value(reason: StepReason | None) -> run_pb2.StepReason.ValueType:
    """Unspecified for a step that succeeded."""
    return run_pb2.STEP_REASON_UNSPECIFIED if reason is None else run_pb2.StepReason.Value(f"STEP_REASON_{reason}")
