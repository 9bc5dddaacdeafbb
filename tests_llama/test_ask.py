"""Ask, end to end, with both completions from a real llama.cpp server: caller, orchestrator, agent, all over gRPC.

What the model says is not judged; that it is asked twice, that its tool call reaches the agent and that its text comes
back is.
"""

from __future__ import annotations

import pytest

from agentmesh.agent import Agent
from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import plan_pb2, run_pb2
from tests.e2e.mesh import running_mesh
from tests_llama.test_wire import example

SECONDS = 400.0
pytestmark = pytest.mark.timeout(420)


async def test_a_question_is_routed_executed_and_answered_by_a_real_model(llama: str) -> None:
    asked: list[str] = []
    watch = Agent("watch", version="1.0.0", description="Watches components.")

    @watch.skill(effect="READ_ONLY")
    async def scan(entity: str) -> dict[str, int]:
        """Scan a component for anomalies.

        Args:
            entity: Name of the component.
        """
        asked.append(entity)
        return {"anomalies": 3}

    turns = [turn for entity in ("host", "disk", "memory") for turn in example(entity)]
    history = [pb.Turn(role=pb.Role.Value(f"ROLE_{turn.role}"), text=turn.text) for turn in turns]
    settings = {
        "AGENTMESH_LLM_BASE_URL": llama,
        "AGENTMESH_LLM_MODELS": "smollm2",
        "AGENTMESH_LLM_MAX_ATTEMPTS": "1",
        "AGENTMESH_LLM_PRICES": '{"smollm2": {"input_per_million": 1, "output_per_million": 1}}',
        "AGENTMESH_MAX_ASK_SECONDS": str(SECONDS),
        "AGENTMESH_SYNTHESIS_RESERVE_SECONDS": "200",
        "AGENTMESH_SYNTHESIS_RESERVE_SHARE": "0.6",
    }
    async with running_mesh(watch, settings=settings) as mesh:
        response = await mesh.orchestrator.Ask(pb.AskRequest(query="Scan checkout.", history=history), timeout=SECONDS)
    assert asked == ["checkout"]
    assert (response.plan_source, response.outcome) == (plan_pb2.PLAN_SOURCE_LLM, run_pb2.RUN_OUTCOME_COMPLETE)
    assert (response.usage.llm_calls, list(response.usage.models)) == (2, ["smollm2", "smollm2"])
    assert response.answer_source == run_pb2.ANSWER_SOURCE_LLM
    assert response.answer
