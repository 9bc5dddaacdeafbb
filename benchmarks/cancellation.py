"""How long it takes until a skill sees that the caller of ExecutePlan has left: caller -> orchestrator -> agent.

    python -m benchmarks.cancellation

Everything is in one process and over loopback, so the clocks are the same. The design allows 250 ms.
"""

from __future__ import annotations

import asyncio
import statistics
import time

import grpc.aio

from agentmesh.agent import Agent
from agentmesh.v1 import orchestrator_service_pb2, orchestrator_service_pb2_grpc, plan_pb2
from orchestrator_svc.bootstrap import build
from orchestrator_svc.config import read_config

ROUNDS = 100


async def measure(rounds: int) -> list[float]:
    """Milliseconds from the cancel of the call to the cancel of the skill, one a round."""
    begun: asyncio.Queue[None] = asyncio.Queue()
    left: asyncio.Queue[float] = asyncio.Queue()
    agent = Agent("waiting_agent", version="1.0.0", description="Waits.")

    @agent.skill(effect="READ_ONLY")
    async def wait() -> dict[str, str]:
        """Wait for ever."""
        begun.put_nowait(None)
        try:
            await asyncio.Event().wait()
        finally:
            left.put_nowait(time.perf_counter())
        return {}

    orchestrator = build(read_config({"AGENTMESH_LISTEN": "127.0.0.1:0"}).config)
    await orchestrator.start()
    request = orchestrator_service_pb2.ExecutePlanRequest(
        plan=plan_pb2.Plan(steps=[plan_pb2.PlanStep(id="a", skill="waiting_agent__wait")]),
        answer_format=orchestrator_service_pb2.ANSWER_FORMAT_RAW,
    )
    found = []
    async with (
        await agent.start(orchestrator=orchestrator.server.address) as running,
        grpc.aio.insecure_channel(orchestrator.server.address) as channel,
    ):
        await running.registered()
        stub = orchestrator_service_pb2_grpc.OrchestratorStub(channel)
        for _ in range(rounds):
            call = stub.ExecutePlan(request)
            ended = asyncio.ensure_future(call.code())
            await begun.get()
            cancelled = time.perf_counter()
            call.cancel()
            found.append((await left.get() - cancelled) * 1000)
            await ended
    await orchestrator.stop()
    return found


def main() -> None:
    """Print the median and the range."""
    found = sorted(asyncio.run(measure(ROUNDS)))
    print(
        f"cancel reaches the skill: median {statistics.median(found):.1f} ms, "
        f"p95 {found[int(len(found) * 0.95)]:.1f} ms, range {found[0]:.1f} to {found[-1]:.1f} ms, {len(found)} cancels"
    )


if __name__ == "__main__":
    main()
