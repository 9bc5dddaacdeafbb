"""Messages of the contract into the values that callers get."""

from __future__ import annotations

from agentmesh.client.enums import AnswerSource, Mode, PlanSource, RunOutcome, RunState, StepOutcome, StepReason
from agentmesh.client.scalars import member_of, moment_of, seconds_of
from agentmesh.client.values import (
    AgentSpending,
    Answer,
    ItemReport,
    RoutedPlan,
    RunRecord,
    RunSummary,
    StepReport,
    Timings,
    Usage,
)
from agentmesh.errors import Code
from agentmesh.plan_messages import plan_to_json
from agentmesh.transport.status import from_status
from agentmesh.transport.structs import from_struct
from agentmesh.v1 import orchestrator_service_pb2, plan_pb2, run_pb2, usage_pb2


def read_answer(message: run_pb2.AskResponse) -> Answer:
    return Answer(
        run_id=message.run_id,
        trace_id=message.trace_id,
        mode=read_mode(message.mode),
        outcome=_run_outcome(message.outcome),
        text=message.answer,
        answer_source=member_of(AnswerSource, run_pb2.AnswerSource.DESCRIPTOR, message.answer_source),
        plan=plan_to_json(message.plan),
        plan_source=read_plan_source(message.plan_source),
        planner=message.planner,
        steps=tuple(read_step(step) for step in message.steps),
        usage=_usage(message.usage),
        timings=_timings(message.timings),
        replayed=message.replayed,
        wire=message,
    )


def read_plan(message: orchestrator_service_pb2.PlanResponse) -> RoutedPlan:
    return RoutedPlan(
        plan=plan_to_json(message.plan),
        mode=read_mode(message.mode),
        plan_source=read_plan_source(message.plan_source),
        planner=message.planner,
        usage=_usage(message.usage),
        catalog_fingerprint=message.catalog_fingerprint,
        wire=message,
    )


def read_run(message: run_pb2.Run, peer: str) -> RunRecord:
    """Read a run; `peer` is what the text of its error calls the server."""
    return RunRecord(
        run_id=message.run_id,
        state=read_state(message.state),
        query=message.query,
        conversation_id=message.conversation_id,
        started_at=moment_of(message.started_at) if message.HasField("started_at") else None,
        ended_at=moment_of(message.ended_at) if message.HasField("ended_at") else None,
        answer=read_answer(message.result) if message.HasField("result") else None,
        error=from_status(message.error, peer) if message.HasField("error") else None,
        wire=message,
    )


def read_summary(message: run_pb2.RunSummary) -> RunSummary:
    return RunSummary(
        run_id=message.run_id,
        query=message.query,
        state=read_state(message.state),
        outcome=_run_outcome(message.outcome) if message.outcome else None,
        conversation_id=message.conversation_id,
        started_at=moment_of(message.started_at) if message.HasField("started_at") else None,
        ended_at=moment_of(message.ended_at) if message.HasField("ended_at") else None,
        usage=_usage(message.usage),
        wire=message,
    )


def read_state(number: int) -> RunState:
    return member_of(RunState, run_pb2.RunState.DESCRIPTOR, number)


def read_mode(number: int) -> Mode:
    return member_of(Mode, plan_pb2.Mode.DESCRIPTOR, number)


def _run_outcome(number: int) -> RunOutcome:
    return member_of(RunOutcome, run_pb2.RunOutcome.DESCRIPTOR, number)


def read_plan_source(number: int) -> PlanSource:
    return member_of(PlanSource, plan_pb2.PlanSource.DESCRIPTOR, number)


def _outcome(number: int) -> StepOutcome:
    return member_of(StepOutcome, run_pb2.StepOutcome.DESCRIPTOR, number)


def _reason(number: int) -> StepReason | None:
    return member_of(StepReason, run_pb2.StepReason.DESCRIPTOR, number) if number else None


def _code(number: int) -> Code:
    return Code(number) if number in set(Code) else Code.UNKNOWN


def read_step(message: run_pb2.StepResult) -> StepReport:
    return StepReport(
        step_id=message.step_id,
        skill=message.skill,
        outcome=_outcome(message.outcome),
        reason=_reason(message.reason),
        message=message.message,
        code=_code(message.code),
        agent_reason=message.agent_reason,
        because_of=tuple(message.because_of),
        attempts=message.attempts,
        endpoint=message.endpoint,
        started_at=moment_of(message.started_at) if message.HasField("started_at") else None,
        ended_at=moment_of(message.ended_at) if message.HasField("ended_at") else None,
        result=from_struct(message.result) if message.HasField("result") else None,
        items=tuple(_item(item) for item in message.items),
        effect_unknown=message.effect_unknown,
        result_omitted=message.result_omitted,
        result_bytes=message.result_bytes,
    )


def _item(message: run_pb2.ItemResult) -> ItemReport:
    return ItemReport(
        index=message.index,
        outcome=_outcome(message.outcome),
        reason=_reason(message.reason),
        message=message.message,
        code=_code(message.code),
        agent_reason=message.agent_reason,
        attempts=message.attempts,
        endpoint=message.endpoint,
        result=from_struct(message.result) if message.HasField("result") else None,
        effect_unknown=message.effect_unknown,
        result_omitted=message.result_omitted,
        result_bytes=message.result_bytes,
    )


def _usage(message: usage_pb2.Usage) -> Usage:
    agents = message.agents
    return Usage(
        llm_calls=message.llm_calls,
        llm_requests=message.llm_requests,
        models=tuple(message.models),
        input_tokens=message.input_tokens,
        output_tokens=message.output_tokens,
        cost_usd=message.cost_usd if message.HasField("cost_usd") else None,
        agent_calls=message.agent_calls,
        agents=AgentSpending(agents.llm_calls, agents.input_tokens, agents.output_tokens, agents.cost_usd),
    )


def _timings(message: run_pb2.Timings) -> Timings:
    return Timings(
        total=seconds_of(message.total),
        route=seconds_of(message.route),
        execute=seconds_of(message.execute),
        synthesize=seconds_of(message.synthesize),
        critical_path=seconds_of(message.critical_path),
        overhead=seconds_of(message.overhead),
    )
