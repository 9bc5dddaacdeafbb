"""The agents of the mesh as a loop uses them: tools of a model, called over gRPC at the addresses where they listen."""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Final

from agentmesh.cards import split_skill_id
from agentmesh.client import Listing
from agentmesh.jsonvalues import JsonObject
from agentmesh.transport import from_struct, open_channel, to_struct
from agentmesh.v1.agent_service_pb2 import ExecuteRequest
from agentmesh.v1.agent_service_pb2_grpc import AgentStub

if TYPE_CHECKING:
    from agentmesh.v1.agent_service_pb2_grpc import AgentAsyncStub

_TIMEOUT_SECONDS: Final = 20.0


class Agents:
    """One channel an agent, opened while it is entered."""

    def __init__(self, listing: Listing) -> None:
        self._addresses = {agent.name: agent.endpoints[0].address for agent in listing.agents}
        self._stack = AsyncExitStack()
        self._stubs: dict[str, AgentAsyncStub] = {}
        self.tools: Final = [
            _tool(skill.id, skill.description, skill.input_schema) for agent in listing.agents for skill in agent.skills
        ]
        """As Chat Completions takes them. Leaner than the tools of the mesh, whose model must know what is returned."""

    async def __aenter__(self) -> Agents:
        for name, address in self._addresses.items():
            channel = await self._stack.enter_async_context(open_channel(address, peer=f"agent `{name}`"))
            self._stubs[name] = AgentStub(channel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def call(self, skill: str, arguments: JsonObject) -> JsonObject:
        """Return the result of a skill, named by its id; raises MeshError."""
        agent, name = split_skill_id(skill)
        request = ExecuteRequest(skill=name, arguments=to_struct(arguments))
        return from_struct((await self._stubs[agent].Execute(request, timeout=_TIMEOUT_SECONDS)).result)


def _tool(name: str, description: str, parameters: JsonObject) -> JsonObject:
    schema: JsonObject = {"type": "object", "properties": {}, **parameters}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}
