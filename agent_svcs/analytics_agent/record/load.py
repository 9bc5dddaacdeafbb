"""What the mesh is given to do while it is recorded: a light load all the time, and too much for one of it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Final

from agent_svcs.analytics_agent.record.processes import ORCHESTRATOR, RunningMesh
from agentmesh import errors
from agentmesh.jsonvalues import JsonObject
from agentmesh.transport import open_channel, to_struct
from agentmesh.v1 import agent_service_pb2, agent_service_pb2_grpc, orchestrator_service_pb2
from agentmesh.v1.orchestrator_service_pb2_grpc import OrchestratorStub

FAULTY: Final = "config_agent"
FAULT: Final = "{clients} clients, each on a connection of its own, call check_config of config_agent without a pause"

_CALLS: Final[Sequence[tuple[str, str, JsonObject]]] = (
    ("data_agent", "get_report", {}),
    ("config_agent", "check_config", {"component": "orchestrator"}),
    ("analytics_agent", "get_trends", {"entity": "data_agent", "metric": "memory_bytes"}),
)
"""Each once a second, one after the other."""
_QUESTION: Final = "Which components have a configuration?"
_CALL_SECONDS: Final = 5.0


def load_text(services: Collection[str]) -> str:
    """What `light_load` does with these services, in words."""
    calls = ", ".join(skill for _, skill, _ in _CALLS)
    question = f", and the question {_QUESTION!r} to the orchestrator" if ORCHESTRATOR in services else ""
    return f"once a second {calls}{question}"


async def light_load(mesh: RunningMesh) -> None:
    """Runs until it is cancelled."""
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        channels = {
            name: await stack.enter_async_context(open_channel(service.address))
            for name, service in mesh.services.items()
        }
        stubs = {name: agent_service_pb2_grpc.AgentStub(channels[name]) for name, _, _ in _CALLS}
        orchestrator = OrchestratorStub(channels[ORCHESTRATOR]) if ORCHESTRATOR in channels else None
        due = loop.time()
        while True:
            for name, skill, arguments in _CALLS:
                request = agent_service_pb2.ExecuteRequest(skill=skill, arguments=to_struct(arguments))
                with suppress(errors.MeshError):  # the faulty service may have no time for it
                    await stubs[name].Execute(request, timeout=_CALL_SECONDS)
            if orchestrator is not None:
                with suppress(errors.MeshError):
                    await orchestrator.Ask(orchestrator_service_pb2.AskRequest(query=_QUESTION), timeout=_CALL_SECONDS)
            due = max(due + 1.0, loop.time())
            await asyncio.sleep(due - loop.time())


async def too_many_calls(mesh: RunningMesh, clients: int, seconds: float) -> None:
    """The fault: `clients` callers that never wait, for `seconds`."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    request = agent_service_pb2.ExecuteRequest(skill="check_config", arguments=to_struct({"component": "orchestrator"}))

    async def one() -> None:
        async with open_channel(mesh.services[FAULTY].address) as channel:
            stub = agent_service_pb2_grpc.AgentStub(channel)
            while loop.time() < until:
                with suppress(errors.MeshError):
                    await stub.Execute(request, timeout=_CALL_SECONDS)

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(one())
