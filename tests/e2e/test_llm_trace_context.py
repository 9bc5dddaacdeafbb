"""A caller's trace goes on to the model's provider where the configuration wants that, and nowhere else."""

from __future__ import annotations

import pytest

from agentmesh.v1 import orchestrator_service_pb2 as pb
from tests.e2e.probe import Probe
from tests.e2e.test_ask import ECHO, mesh_with
from tests.fakes.llm_replies import calls, says
from tests.fakes.scripted_llm import ScriptedLlm
from tests.telemetry.recording import Spans

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = (("traceparent", f"00-{TRACE_ID}-00f067aa0ba902b7-01"), ("baggage", "tenant=acme"))


async def asked(llm: ScriptedLlm, probe: Probe, **settings: str) -> list[dict[str, str]]:
    """The headers of trace context in the requests of one question."""
    llm.to_route(calls(ECHO))
    llm.to_write(says("fine"))
    async with mesh_with(llm, probe, **settings) as mesh:
        await mesh.orchestrator.Ask(pb.AskRequest(query="?"), metadata=CALLER)
    names = {"traceparent", "tracestate", "baggage"}
    return [{name: text for name, text in request.headers.items() if name in names} for request in llm.requests]


async def test_by_default_the_provider_learns_nothing_of_the_trace(
    llm: ScriptedLlm, probe: Probe, spans: Spans
) -> None:
    assert await asked(llm, probe) == [{}, {}]


@pytest.mark.parametrize("name", ["route", "write"])
async def test_where_it_is_wanted_each_request_carries_its_span_in_the_trace_of_the_caller(
    llm: ScriptedLlm, probe: Probe, spans: Spans, name: str
) -> None:
    headers = await asked(llm, probe, AGENTMESH_LLM_TRACE_CONTEXT="1")
    sent = dict(zip(("route", "write"), headers, strict=True))[name]
    [chat] = [span for span in spans.named("chat") if (span.attributes or {})["gen_ai.prompt.name"] == name]
    context = chat.get_span_context()
    assert context is not None
    assert sent["traceparent"].split("-")[:3] == ["00", TRACE_ID, format(context.span_id, "016x")]
    assert sent["baggage"] == "tenant=acme"
