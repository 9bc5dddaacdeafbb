"""Messages of the contract into the values that callers get."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from agentmesh.card_messages import effect_from_message
from agentmesh.cards import Effect, skill_id
from agentmesh.client.values import (
    AgentInfo,
    AgentSpending,
    Answer,
    AnswerSource,
    EndpointInfo,
    ItemReport,
    Listing,
    Mode,
    PlanSource,
    RoutedPlan,
    RunOutcome,
    RunRecord,
    RunState,
    SkillInfo,
    StepOutcome,
    StepReason,
    StepReport,
    Timings,
    Usage,
)
from agentmesh.errors import Code
from agentmesh.plan_messages import plan_to_json
from agentmesh.transport.status import from_status
from agentmesh.transport.structs import from_struct
from agentmesh.v1 import card_pb2, orchestrator_service_pb2, plan_pb2, registry_service_pb2, run_pb2, usage_pb2

_Kind = TypeVar("_Kind", bound=StrEnum)


def read_answer(message: run_pb2.AskResponse) -> Answer:
    return Answer(
        run_id=message.run_id,
        trace_id=message.trace_id,
        mode=_member(Mode, plan_pb2.Mode.DESCRIPTOR, message.mode),
        outcome=_member(RunOutcome, run_pb2.RunOutcome.DESCRIPTOR, message.outcome),
        text=message.answer,
        answer_source=_member(AnswerSource, run_pb2.AnswerSource.DESCRIPTOR, message.answer_source),
        plan=plan_to_json(message.plan),
        plan_source=_plan_source(message.plan_source),
        planner=message.planner,
        steps=tuple(_step(step) for step in message.steps),
        usage=_usage(message.usage),
        timings=_timings(message.timings),
        replayed=message.replayed,
        wire=message,
    )


def read_plan(message: orchestrator_service_pb2.PlanResponse) -> RoutedPlan:
    return RoutedPlan(
        plan=plan_to_json(message.plan),
        mode=_member(Mode, plan_pb2.Mode.DESCRIPTOR, message.mode),
        plan_source=_plan_source(message.plan_source),
        planner=message.planner,
        usage=_usage(message.usage),
        catalog_fingerprint=message.catalog_fingerprint,
        wire=message,
    )


def read_run(message: run_pb2.Run, peer: str) -> RunRecord:
    """Read a run; `peer` is what the text of its error calls the server."""
    return RunRecord(
        run_id=message.run_id,
        state=_member(RunState, run_pb2.RunState.DESCRIPTOR, message.state),
        query=message.query,
        started_at=_time(message.started_at) if message.HasField("started_at") else None,
        ended_at=_time(message.ended_at) if message.HasField("ended_at") else None,
        answer=read_answer(message.result) if message.HasField("result") else None,
        error=from_status(message.error, peer) if message.HasField("error") else None,
        wire=message,
    )


def read_listing(message: registry_service_pb2.ListAgentsResponse) -> Listing:
    return Listing(
        agents=tuple(_agent(agent) for agent in message.agents),
        catalog_fingerprint=message.catalog_fingerprint,
        wire=message,
    )


def _member(kind: type[_Kind], declared: EnumDescriptor, number: int) -> _Kind:
    """The member of the same name; UNKNOWN for one that is unspecified or newer than this client."""
    prefix = declared.values[0].name.removesuffix("UNSPECIFIED")
    value = declared.values_by_number.get(number)
    name = "" if value is None else value.name.removeprefix(prefix)
    return kind(name) if name in kind.__members__ else kind("UNKNOWN")


def _plan_source(number: int) -> PlanSource:
    return _member(PlanSource, plan_pb2.PlanSource.DESCRIPTOR, number)


def _outcome(number: int) -> StepOutcome:
    return _member(StepOutcome, run_pb2.StepOutcome.DESCRIPTOR, number)


def _reason(number: int) -> StepReason | None:
    return _member(StepReason, run_pb2.StepReason.DESCRIPTOR, number) if number else None


def _code(number: int) -> Code:
    return Code(number) if number in set(Code) else Code.UNKNOWN


def _step(message: run_pb2.StepResult) -> StepReport:
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
        started_at=_time(message.started_at) if message.HasField("started_at") else None,
        ended_at=_time(message.ended_at) if message.HasField("ended_at") else None,
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
        total=_seconds(message.total),
        route=_seconds(message.route),
        execute=_seconds(message.execute),
        synthesize=_seconds(message.synthesize),
        critical_path=_seconds(message.critical_path),
        overhead=_seconds(message.overhead),
    )


def _agent(message: registry_service_pb2.RegisteredAgent) -> AgentInfo:
    card = message.card
    return AgentInfo(
        name=card.name,
        version=card.version,
        description=card.description,
        skills=tuple(_skill(card.name, skill) for skill in card.skills),
        endpoints=tuple(_endpoint(endpoint) for endpoint in message.endpoints),
        card_digest=message.card_digest,
    )


def _skill(agent: str, message: card_pb2.Skill) -> SkillInfo:
    return SkillInfo(
        id=skill_id(agent, message.name),
        description=message.description,
        effect=_effect(message.effect),
        input_schema=from_struct(message.input_schema),
        output_schema=from_struct(message.output_schema),
        tags=tuple(message.tags),
        examples=tuple(message.examples),
    )


def _effect(number: card_pb2.Effect.ValueType) -> Effect | None:
    try:
        return effect_from_message(number)
    except ValueError:
        return None


def _endpoint(message: registry_service_pb2.Endpoint) -> EndpointInfo:
    return EndpointInfo(
        address=message.address,
        registered_at=_time(message.registered_at) if message.HasField("registered_at") else None,
        last_heartbeat_at=_time(message.last_heartbeat_at) if message.HasField("last_heartbeat_at") else None,
        expires_at=_time(message.expires_at) if message.HasField("expires_at") else None,
    )


def _time(message: Timestamp) -> datetime:
    return message.ToDatetime(tzinfo=UTC)


def _seconds(message: Duration) -> float:
    return message.ToNanoseconds() / 1e9
