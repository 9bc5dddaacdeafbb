"""analytics_agent over gRPC: on a fresh machine it speaks from the recording, and finds the fault that is in it."""

from __future__ import annotations

from datetime import datetime

import pytest

from agent_svcs.analytics_agent.metrics import METRICS
from agent_svcs.analytics_agent.recordings import SHIPPED, read_recording
from agent_svcs.analytics_agent.settings import Settings, read_settings
from agent_svcs.analytics_agent.skills import build_agent
from agent_svcs.components import COMPONENTS
from agentmesh import errors
from agentmesh.env import EnvironmentInvalid
from agentmesh.jsonvalues import Json
from agentmesh.transport import from_struct, open_channel, reading, to_struct
from agentmesh.v1 import agent_service_pb2
from agentmesh.v1.agent_service_pb2_grpc import AgentStub
from tests.agents.conftest import Serve


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


async def test_the_strongest_anomaly_of_the_shipped_recording_is_its_fault(serve: Serve) -> None:
    recording = read_recording()
    begin, end = (float(part.split()[0]) for part in recording.about["fault period"].split(" to "))
    call = await serve(build_agent(Settings()))
    trends = await call("get_trends")
    assert trends["source"] == "recording"
    assert trends["entity"] == "host"
    strongest = trends["anomalies"][0]
    assert strongest["component"] == recording.about["fault component"]
    tolerance = 3.0  # seconds: the fault takes a sample or two to show and to go
    assert recording.started + begin - tolerance <= _moment(strongest["at"]) <= recording.started + end + tolerance
    assert strongest["value"] > strongest["expected"]
    scores = [one["score"] for one in trends["anomalies"]]
    assert scores == sorted(scores, reverse=True)
    assert _moment(trends["window_end"]) == pytest.approx(recording.newest, abs=1.0)


async def test_every_component_in_the_recording_has_statistics(serve: Serve) -> None:
    call = await serve(build_agent(Settings()))
    trends = await call("get_trends", window_minutes=1440)
    recorded = {component for component, _ in read_recording().series}
    assert {one["component"] for one in trends["metrics"]} == recorded <= set(COMPONENTS)
    for one in trends["metrics"]:
        assert one["min"] <= one["median"] <= one["p95"] <= one["max"]
        assert one["min"] <= one["mean"] <= one["max"]
        assert one["count"] > 100


def test_the_recording_is_small_text_whose_head_says_how_it_was_made() -> None:
    assert SHIPPED.stat().st_size < 200_000
    about = read_recording().about
    assert {"started", "duration", "commands", "components", "load", "fault", "fault component", "fault period"} <= set(
        about
    )
    assert about["commands"].startswith("python -m agent_svcs.analytics_agent.record")


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"window_minutes": 0}, "window_minutes"),
        ({"window_minutes": 1441}, "window_minutes"),
        ({"window_minutes": 1.5}, "window_minutes"),
        ({"window_minutes": "60"}, "window_minutes"),
        ({"window_minutes": 2**53}, "window_minutes"),
        ({"entity": ""}, "entity"),
        ({"entity": "a\0b"}, "entity"),
        ({"entity": "x" * 100_000}, "entity"),
        ({"entity": None}, "entity"),
        ({"metric": ""}, "metric"),
        ({"metric": "\n"}, "metric"),
        ({"metric": ["cpu_percent"]}, "metric"),
        ({"surprise": 1}, "surprise"),
    ],
)
async def test_arguments_that_make_no_sense_are_refused_and_named(
    serve: Serve, arguments: dict[str, Json], path: str
) -> None:
    call = await serve(build_agent(Settings()))
    with pytest.raises(errors.ArgumentsInvalid) as raised:
        await call("get_trends", **arguments)
    assert path in str([raised.value.message, *raised.value.violations])
    assert len(raised.value.message) < 500


@pytest.mark.parametrize(
    "arguments", [{"entity": "'; DROP TABLE sample; --"}, {"entity": "../host"}, {"metric": "cpu%"}]
)
async def test_unknown_names_are_not_found(serve: Serve, arguments: dict[str, Json]) -> None:
    call = await serve(build_agent(Settings()))
    with pytest.raises(errors.NotFound):
        await call("get_trends", **arguments)


def test_the_settings_are_read_from_the_environment_and_every_mistake_is_named() -> None:
    prefix = "AGENTMESH_ANALYTICS_AGENT_"
    assert read_settings({}) == Settings()
    settings = read_settings(
        {f"{prefix}INTERVAL_SECONDS": "2", f"{prefix}RETENTION_HOURS": "1", f"{prefix}STORE": "a/b"}
    )
    assert (settings.interval_seconds, settings.retention_seconds, str(settings.store)) == (2.0, 3600.0, "a/b")
    with pytest.raises(EnvironmentInvalid) as raised:
        read_settings({f"{prefix}INTERVAL_SECONDS": "never", f"{prefix}RETENTION_HOURS": "1e9"})
    assert [problem.partition(":")[0] for problem in raised.value.problems] == [
        f"{prefix}INTERVAL_SECONDS",
        f"{prefix}RETENTION_HOURS",
    ]


async def test_somebody_who_watches_sees_which_metric_is_looked_at() -> None:
    agent = build_agent(Settings())
    (skill,) = agent.card().skills
    assert skill.reports_progress
    request = agent_service_pb2.ExecuteRequest(skill="get_trends", arguments=to_struct({"entity": "data_agent"}))
    async with await agent.start() as running, open_channel(running.address) as channel:
        stream = AgentStub(channel).ExecuteStream(agent_service_pb2.ExecuteStreamRequest(call=request))
        async with reading(stream) as messages:
            *before, last = [message async for message in messages]
    assert from_struct(last.result.result)["entity"] == "data_agent"
    shares = [message.progress.fraction for message in before]
    assert shares, "the latest is always read"
    assert shares == sorted(shares)
    assert {message.progress.message for message in before} <= {f"{one} of data_agent" for one in METRICS["data_agent"]}
