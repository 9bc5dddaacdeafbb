"""The three agents in a mesh: a plan that looks for anomalies and, if there are any, into their components."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format

from agent_svcs.analytics_agent.recordings import read_recording
from agent_svcs.analytics_agent.settings import Settings as AnalyticsSettings
from agent_svcs.analytics_agent.skills import build_agent as build_analytics_agent
from agent_svcs.config_agent.settings import Settings as ConfigSettings
from agent_svcs.config_agent.skills import build_agent as build_config_agent
from agent_svcs.data_agent.skills import build_agent as build_data_agent
from agentmesh.transport import from_struct
from agentmesh.v1 import orchestrator_service_pb2, run_pb2
from tests.e2e.mesh import minds, running_mesh
from tests.fakes.planner import FixedPlanner

STEPS = [
    {"id": "scan", "skill": "analytics_agent__get_trends"},
    {
        "id": "conf",
        "skill": "config_agent__check_config",
        "arguments": {"component": "${scan.anomalies[0].component}"},
        "when": "size(scan.anomalies) > 0",
    },
    {
        "id": "each",
        "skill": "data_agent__get_report",
        "for_each": "scan.anomalies",
        "arguments": {"entity": "${item.component}"},
    },
    {
        "id": "calm",
        "skill": "data_agent__list_entities",
        "when": "size(scan.anomalies) == 0",
    },
]


async def test_the_component_of_an_anomaly_is_known_to_the_other_agents() -> None:
    agents = [build_data_agent(), build_analytics_agent(AnalyticsSettings()), build_config_agent(ConfigSettings())]
    async with running_mesh(*agents, minds=minds(FixedPlanner([]))) as mesh:
        request: Any = {"plan": {"steps": STEPS}, "answer_format": "ANSWER_FORMAT_RAW"}
        response = await mesh.orchestrator.ExecutePlan(
            json_format.ParseDict(request, orchestrator_service_pb2.ExecutePlanRequest())
        )
    steps = {step.step_id: step for step in response.result.steps}
    scan: Any = from_struct(steps["scan"].result)
    faulty = read_recording().about["fault component"]
    assert scan["anomalies"][0]["component"] == faulty
    checked = from_struct(steps["conf"].result)
    assert (checked["component"], checked["valid"]) == (faulty, True)
    assert [from_struct(item.result)["entity"] for item in steps["each"].items] == [
        one["component"] for one in scan["anomalies"]
    ]
    assert steps["calm"].outcome == run_pb2.STEP_OUTCOME_SKIPPED
