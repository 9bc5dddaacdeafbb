"""A collector that is not there, does not answer or is slow costs nothing but its own data."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from statistics import median

import pytest

from agentmesh.client import AsyncMeshClient
from agentmesh.jsonvalues import JsonObject
from agentmesh.telemetry.setup import CLOSE_SECONDS
from tests.e2e.processes import Process, running
from tests.telemetry.collectors import Collector, black_hole, closed_port, collecting, slow_collector
from tests.telemetry.programs import run, said, waiting

Dead = Callable[[], AbstractContextManager[str]]
each_way_of_being_dead = pytest.mark.parametrize("dead", [closed_port, black_hole, slow_collector])

MARGIN_SECONDS = 1.5
"""For a machine that is busy with other things."""

EXPORT_SECONDS = 10
"""The default of OTEL_EXPORTER_OTLP_TIMEOUT: as long as an export to a dead collector takes, or nearly."""

ASKS = 30
PLAN: JsonObject = {"steps": [{"id": "goods", "skill": "stock_agent__list_shelves", "arguments": {}}]}


@each_way_of_being_dead
def test_closing_is_bounded_and_one_line_says_what_is_lost(dead: Dead) -> None:
    program = (
        "meter.create_counter('things').add(1)\n"
        "for _ in range(5000): tracer.start_span('s').end()\n"
        "began = time.monotonic()\n"
        "telemetry.close()\n"
        "say(took=time.monotonic() - began)\n"
    )
    with dead() as address:
        lines = run(program, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{address}")
    assert said(lines)["took"] < CLOSE_SECONDS + MARGIN_SECONDS
    (lost,) = [line for line in lines if line["event"] == "spans were not exported"]
    assert (lost["level"], lost["signal"], lost["spans_lost"]) == ("warning", "traces", 5000)
    assert_quiet(lines)


def test_while_every_export_fails_there_is_one_line_and_another_when_they_succeed_again() -> None:
    program = (
        "import select\n"
        "while not select.select([sys.stdin], [], [], 0.001)[0]: tracer.start_span('s').end()\n"
        "telemetry.close()\n"
    )
    with collecting(Collector(refusing=True)) as collector:
        environment = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://{collector.address}",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "500",  # too short for a second attempt
            "OTEL_BSP_SCHEDULE_DELAY": "1",
        }
        with waiting(program, **environment) as process:
            assert process.line()["event"] == "traces are exported"
            failing = process.line()
            collector.until(lambda: collector.refused > 20)
            collector.take()
            recovered = process.line()
            lines = process.go_on()
    assert (failing["event"], failing["level"]) == ("telemetry cannot be exported", "warning")
    assert (failing["target"], failing["reason"]) == (collector.address, "RESOURCE_EXHAUSTED")
    assert (recovered["event"], recovered["level"]) == ("telemetry is exported again", "info")
    assert recovered["spans_lost"] >= collector.refused
    assert [(line["event"], line["spans_lost"]) for line in lines] == [
        ("spans were not exported", recovered["spans_lost"])
    ]


@pytest.mark.parametrize("queue", [10, 100])
def test_no_more_spans_wait_than_the_queue_takes_and_the_others_are_counted(queue: int) -> None:
    program = (
        "for _ in range(1000): tracer.start_span('s').end()\nsay(ended=1000)\nsys.stdin.readline()\ntelemetry.close()\n"
    )
    with collecting(Collector(slow=True)) as collector:
        environment = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://{collector.address}",
            "OTEL_BSP_MAX_QUEUE_SIZE": str(queue),
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "10",
        }
        with waiting(program, **environment) as process:
            assert process.line()["event"] == "traces are exported"
            assert process.line()["ended"] == 1000
            collector.release()
            lines = process.go_on()
    exported = len(collector.spans)
    assert exported <= queue + 10  # and the batch that was on its way
    assert {line["spans_lost"] for line in lines if line["event"] == "spans were not exported"} == {1000 - exported}
    assert_quiet(lines)


@each_way_of_being_dead
async def test_a_mesh_answers_and_ends_as_if_nothing_were_exported(dead: Dead) -> None:
    with dead() as address:
        exporting = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}", "OTEL_BSP_SCHEDULE_DELAY": "1"}
        async with mesh(exporting) as (orchestrator, agent, client), mesh({}) as (*others, other_client):
            asking, other_asking = [], []
            for _ in range(ASKS):
                asking.append(await seconds_of_a_run(client))
                other_asking.append(await seconds_of_a_run(other_client))
            stopping = [await seconds_of_the_end(process) for process in (agent, orchestrator)]
            other_stopping = [await seconds_of_the_end(process) for process in others[::-1]]
    assert median(asking) < 3 * median(other_asking)
    assert max(asking) < max(other_asking) + EXPORT_SECONDS / 2  # what a run that waited for an export would take more
    for took, without in zip(stopping, other_stopping, strict=True):
        assert took < without + CLOSE_SECONDS + MARGIN_SECONDS
    for process in (orchestrator, agent):
        lines = [json.loads(line) for line in "".join(process.lines).splitlines()]
        assert [line["event"] for line in lines].count("spans were not exported") == 1
        assert_quiet([line for line in lines if line.get("scope") == "agentmesh.telemetry" or "logger" in line])


@asynccontextmanager
async def mesh(exporting: dict[str, str]) -> AsyncIterator[tuple[Process, Process, AsyncMeshClient]]:
    """Processes of an orchestrator and an agent, which may export."""
    listen = {"AGENTMESH_LISTEN": "127.0.0.1:0", "AGENTMESH_HTTP_LISTEN": "off"}
    async with running("-m", "orchestrator_svc", environment={**listen, **exporting}) as orchestrator:
        address = str((await orchestrator.says("orchestrator is listening"))["address"])
        where = {"AGENTMESH_ORCHESTRATOR_ADDRESS": address}
        async with running("-m", "tests.e2e.agents.stock", environment={**where, **exporting}) as agent:
            await orchestrator.says("agent registered")
            async with AsyncMeshClient(address) as client:
                await client.execute_plan(PLAN, query="Which goods are there?")  # connections, imports
                yield orchestrator, agent, client


async def seconds_of_a_run(client: AsyncMeshClient) -> float:
    began = time.monotonic()
    answer = await client.execute_plan(PLAN, query="Which goods are there?")
    assert answer.outcome.name == "COMPLETE"
    return time.monotonic() - began


async def seconds_of_the_end(process: Process) -> float:
    began = time.monotonic()
    assert await process.stop() == 0
    return time.monotonic() - began


def assert_quiet(lines: list[JsonObject]) -> None:
    """A line at the start and at the end of each signal, and one in between: nothing by the batch, no traceback."""
    assert len(lines) <= 7, lines
    assert not [line for line in lines if "exception" in line or "logger" in line]
