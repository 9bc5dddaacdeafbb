"""What finding a plan costs: the routing of one question, by a model that answers at once, and from the cache.

    .venv/bin/python -m benchmarks.plan_cache [questions]

One process with orchestrator, agent and model over loopback; one question at a time, RAW. Printed are medians and
ranges of `timings.route` in milliseconds: new questions, the same one again from memory, and from a Valkey server.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from agentmesh.telemetry.logs import configure_logs
from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import plan_pb2
from tests.e2e.mesh import Mesh, running_mesh
from tests.e2e.probe import Probe
from tests.fakes.llm_replies import Reply, calls
from tests.fakes.scripted_llm import LlmRequest, ScriptedLlm
from tests.redis_server import BINARIES, redis_server


def _route(_: LlmRequest) -> Reply:
    return calls(("probe_agent__echo", {"text": "x"}))


async def _asked(mesh: Mesh, query: str, source: plan_pb2.PlanSource.ValueType) -> float:
    response = await mesh.orchestrator.Ask(pb.AskRequest(query=query, answer_format=pb.ANSWER_FORMAT_RAW))
    if response.plan_source != source:
        raise RuntimeError(f"the plan came from {plan_pb2.PlanSource.Name(response.plan_source)}")
    return response.timings.route.ToNanoseconds() / 1e6


async def _measure(questions: int, llm: ScriptedLlm, settings: Mapping[str, str]) -> tuple[list[float], list[float]]:
    model = {
        "AGENTMESH_LLM_BASE_URL": llm.base_url,
        "AGENTMESH_LLM_MODELS": "scripted-1",
        "AGENTMESH_HTTP_LISTEN": "off",
    }
    async with running_mesh(Probe().agent(), settings={**model, **settings}) as mesh:
        new = [await _asked(mesh, f"question {number}", plan_pb2.PLAN_SOURCE_LLM) for number in range(questions)]
        again = [await _asked(mesh, "question 0", plan_pb2.PLAN_SOURCE_CACHE) for _ in range(questions)]
    return new, again


def _print(name: str, taken: list[float]) -> None:
    print(f"{name:<24}{statistics.median(taken):8.2f}  [{min(taken):.2f} to {max(taken):.2f}] ms")


async def main(questions: int) -> None:
    """Print the three lines."""
    configure_logs(level="error")
    with TemporaryDirectory() as directory:
        async with ScriptedLlm(script=_route) as llm, redis_server(BINARIES["valkey"], Path(directory)) as server:
            new, memory = await _measure(questions, llm, {})
            _, shared = await _measure(questions, llm, {"AGENTMESH_REGISTRY_URL": server.url})
    _print("routed by a model", new)
    _print("found in memory", memory)
    _print("found in Valkey", shared)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
