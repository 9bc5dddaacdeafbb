"""A trace with all that is told of one: a plan by a model, a step that is retried, one that fails, one left out."""

from __future__ import annotations

from agentmesh.jsonvalues import Json
from agentmesh.telemetry import names
from agentmesh.traces.model import Span, SpanEvent, SpanKind, SpanLink, SpanStatus
from tests.traces.spans import BEGAN_NS, MILLISECOND, TRACE_ID, rpc, span

ASK = "agentmesh.v1.Orchestrator/Ask"
CLIENT, SERVER, ERROR = SpanKind.CLIENT, SpanKind.SERVER, SpanStatus.ERROR


def _chat(number: int, *, parent: int, at_ms: float, ms: float, tokens: tuple[int, int]) -> Span:
    attributes: dict[str, Json] = {
        names.GEN_AI_OPERATION: "chat",
        names.GEN_AI_REQUEST_MODEL: "some-model",
        names.GEN_AI_USAGE_INPUT_TOKENS: tokens[0],
        names.GEN_AI_USAGE_OUTPUT_TOKENS: tokens[1],
    }
    return span(number, "chat some-model", parent=parent, kind=CLIENT, at_ms=at_ms, ms=ms, attributes=attributes)


def _event(name: str, at_ms: float, attributes: dict[str, Json]) -> SpanEvent:
    return SpanEvent(name, BEGAN_NS + round(at_ms * MILLISECOND), attributes)


def _step(
    number: int,
    agent: str,
    step: str,
    *,
    at_ms: float,
    ms: float,
    status: SpanStatus = SpanStatus.UNSET,
    events: tuple[SpanEvent, ...] = (),
    more: dict[str, Json],
) -> Span:
    return span(
        number,
        names.INVOKE_AGENT_SPAN.format(agent=agent),
        parent=2,
        kind=CLIENT,
        at_ms=at_ms,
        ms=ms,
        status=status,
        attributes={names.STEP_ID: step, **more},
        events=events,
    )


def a_partial_run() -> list[Span]:
    retry: dict[str, Json] = {names.ATTEMPT: 1, names.STEP_REASON: "UNAVAILABLE", names.RETRY_PAUSE_SECONDS: 0.05}
    skipped: dict[str, Json] = {
        names.STEP_ID: "conf",
        names.STEP_REASON: "UPSTREAM_FAILED",
        names.STEP_BECAUSE_OF: "scan",
    }
    workflow: dict[str, Json] = {names.MODE: "parallel", names.OUTCOME: "partial", names.LLM_CALLS: 2}
    linked = (SpanLink(TRACE_ID, f"{5:016x}"), SpanLink(TRACE_ID, f"{11:016x}"))
    return [
        rpc(1, ASK, kind=SERVER, ms=1240),
        span(
            2,
            names.WORKFLOW_SPAN,
            parent=1,
            at_ms=2,
            ms=1236,
            attributes=workflow,
            events=(_event(names.STEP_SKIPPED_EVENT, 800, skipped),),
        ),
        span(3, names.PLAN_SPAN, parent=2, at_ms=3, ms=410, attributes={names.PLAN_SOURCE: "llm"}),
        _chat(4, parent=3, at_ms=5, ms=400, tokens=(812, 96)),
        _step(
            5,
            "data_agent",
            "report",
            at_ms=415,
            ms=120,
            more={names.STEP_OUTCOME: "succeeded", names.STEP_ATTEMPTS: 2},
            events=(_event(names.RETRY_EVENT, 440, retry),),
        ),
        rpc(6, kind=CLIENT, parent=5, at_ms=416, ms=20, code="UNAVAILABLE", status=ERROR),
        rpc(7, kind=CLIENT, parent=5, at_ms=490, ms=44, attempt=2),
        rpc(8, kind=SERVER, parent=7, service="data_agent", at_ms=491, ms=42),
        span(9, "execute_tool get_report", parent=8, service="data_agent", at_ms=492, ms=40),
        _step(
            11,
            "analytics_agent",
            "scan",
            at_ms=415,
            ms=380,
            status=ERROR,
            more={names.STEP_OUTCOME: "timed_out", names.ERROR_TYPE: "DEADLINE_EXCEEDED", names.STEP_ATTEMPTS: 1},
        ),
        rpc(12, kind=CLIENT, parent=11, at_ms=416, ms=379, code="DEADLINE_EXCEEDED", status=ERROR),
        rpc(
            13,
            kind=SERVER,
            parent=12,
            service="analytics_agent",
            at_ms=418,
            ms=378,
            code="DEADLINE_EXCEEDED",
            status=ERROR,
        ),
        span(14, names.SYNTHESIZE_SPAN, parent=2, at_ms=805, ms=430, links=linked),
        _chat(15, parent=14, at_ms=806, ms=428, tokens=(1204, 210)),
    ]
