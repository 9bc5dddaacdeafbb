"""A mesh without a language model: the same Ask, planned and written offline, with or without sentence embeddings."""

from __future__ import annotations

import subprocess
import sys

import pytest

from agentmesh.agent import Agent
from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import plan_pb2, run_pb2
from tests.e2e.mesh import running_mesh

WITHOUT_THE_EXTRA = "import sys; sys.modules['wordllama'] = None; "
ASK = "import asyncio; from tests.e2e.test_offline import answers; asyncio.run(answers())"


def harbour() -> Agent:
    agent = Agent("harbour_agent", version="1.0.0", description="Knows the ships in the harbour.")

    @agent.skill(effect="READ_ONLY", examples=["Which ships are in the harbour?"])
    async def list_ships() -> list[dict[str, str | float]]:
        """List the ships in the harbour, with their load."""
        return [{"ship": "Fram", "load_percent": 12.5}, {"ship": "Gjøa", "load_percent": 80}]

    return agent


async def answers() -> None:
    """What is true of any offline mesh."""
    async with running_mesh(harbour()) as mesh:
        found = await mesh.orchestrator.Ask(pb.AskRequest(query="Which ships are in the harbour?"))
        nobody = await mesh.orchestrator.Ask(pb.AskRequest(query="What is the square root of nine?"))
    assert found.plan_source == plan_pb2.PLAN_SOURCE_OFFLINE
    assert (found.planner, found.answer_source) == ("offline", run_pb2.ANSWER_SOURCE_RENDERED)
    assert (
        found.answer
        == """\
## List ships

|   load | ship |
| -----: | ---- |
| 12.5 % | Fram |
|   80 % | Gjøa |"""
    )
    assert nobody.outcome == run_pb2.RUN_OUTCOME_NO_AGENT
    assert "Which ships are in the harbour?" in nobody.answer
    assert (found.usage.llm_calls, nobody.usage.llm_calls) == (0, 0)


@pytest.mark.parametrize("before", ["", WITHOUT_THE_EXTRA], ids=["as installed", "without the extra"])
def test_it_answers_without_a_model(before: str) -> None:
    ran = subprocess.run([sys.executable, "-c", before + ASK], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("sentence embeddings") == 1
    assert ("no sentence embeddings" in ran.stdout) or not before
