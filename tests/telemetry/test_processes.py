"""Orchestrator and agents as processes: each sets its telemetry up, and says what of that is wrong."""

from __future__ import annotations

import pytest

from agentmesh.client import AsyncMeshClient
from agentmesh.jsonvalues import JsonObject
from tests.e2e.processes import running
from tests.telemetry.collectors import Collector, attributes, collecting

LISTEN = {"AGENTMESH_LISTEN": "127.0.0.1:0", "AGENTMESH_HTTP_LISTEN": "off"}
WRONG = {"OTEL_TRACES_EXPORTER": "zipkin", "OTEL_METRICS_EXPORTER": "otlp", "OTEL_PROPAGATORS": "b3"}
PLAN: JsonObject = {"steps": [{"id": "goods", "skill": "stock_agent__list_shelves", "arguments": {}}]}
ORCHESTRATOR, AGENT = "orchestrator_svc", "tests.e2e.agents.stock"


async def test_orchestrator_and_agent_export_one_trace_under_their_names_before_they_end() -> None:
    with collecting(Collector()) as collector:
        exporting = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.address}", "OTEL_BSP_SCHEDULE_DELAY": "3600000"}
        async with running("-m", ORCHESTRATOR, environment={**LISTEN, **exporting}) as orchestrator:
            address = str((await orchestrator.says("orchestrator is listening"))["address"])
            where = {"AGENTMESH_ORCHESTRATOR_ADDRESS": address}
            async with running("-m", AGENT, environment={**where, **exporting}) as agent:
                await orchestrator.says("agent registered")
                async with AsyncMeshClient(address) as client:
                    answer = await client.execute_plan(PLAN, query="Which goods are there?")
                assert collector.spans == []
                assert await agent.stop() == 0
            assert await orchestrator.stop() == 0
    resources = [attributes(list(resource.attributes)) for resource in collector.resources]
    assert {resource["service.name"] for resource in resources} == {"orchestrator", "stock_agent"}
    assert {resource["service.version"] for resource in resources if resource["service.name"] == "stock_agent"} == {
        "1.0.0"
    }
    assert {span.name for span in collector.spans if span.trace_id.hex() == answer.trace_id} >= {
        "agentmesh.v1.Orchestrator/ExecutePlan",
        "agentmesh.v1.Agent/Execute",
    }


async def test_processes_that_export_nothing_never_import_the_sdk() -> None:
    async with running("-X", "importtime", "-m", ORCHESTRATOR, environment=LISTEN) as orchestrator:
        where = {
            "AGENTMESH_ORCHESTRATOR_ADDRESS": str((await orchestrator.says("orchestrator is listening"))["address"])
        }
        async with running("-X", "importtime", "-m", AGENT, environment=where) as agent:
            await orchestrator.says("agent registered")
            assert await agent.stop() == 0
        assert await orchestrator.stop() == 0
    for process in (orchestrator, agent):
        imported = {line.rpartition("|")[2].strip() for line in "".join(process.lines).splitlines()}
        assert "opentelemetry.trace" in imported
        assert not [name for name in imported if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))]


@pytest.mark.parametrize(("program", "exit_code"), [(ORCHESTRATOR, 2), (AGENT, 1)], ids=["orchestrator", "agent"])
async def test_what_cannot_be_used_ends_a_process_with_every_problem(program: str, exit_code: int) -> None:
    wrong = {**WRONG, "AGENTMESH_DRAIN_SECONDS": "-1"}
    async with running("-m", program, environment=wrong) as process:
        assert await process.ended() == exit_code
    said = "".join(process.lines)
    assert "Traceback" not in said
    assert [name for name in (*wrong, "OTEL_SERVICE_NAME") if name in said] == [
        "OTEL_TRACES_EXPORTER",
        "OTEL_PROPAGATORS",
        "AGENTMESH_DRAIN_SECONDS",
    ]


async def test_an_agent_inside_of_another_program_leaves_its_telemetry_alone() -> None:
    program = (
        "import asyncio\n"
        "from opentelemetry import metrics, trace\n"
        "from tests.e2e.agents.stock import agent\n"
        "async def main():\n"
        "    async with await agent.start():\n"
        "        print(type(trace.get_tracer_provider()).__name__)\n"
        "asyncio.run(main())\n"
    )
    async with running("-c", program, environment={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}) as process:
        assert await process.ended() == 0
    assert "ProxyTracerProvider\n" in "".join(process.lines)


async def test_a_client_does_not_fail_of_propagators_that_are_not_installed() -> None:
    program = (
        "from agentmesh.telemetry.propagation import get_global_textmap\nprint(*sorted(get_global_textmap().fields))\n"
    )
    async with running("-c", program, environment={"OTEL_PROPAGATORS": "b3"}) as process:
        assert await process.ended() == 0
    assert process.lines == ["baggage traceparent tracestate\n"]
