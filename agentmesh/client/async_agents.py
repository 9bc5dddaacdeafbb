"""Changes of who is in the mesh, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agentmesh.client.agents import AgentChange
from agentmesh.client.async_stream import AsyncStream, Call
from agentmesh.client.course import EndlessCourse
from agentmesh.client.reading_agents import ChangeReader
from agentmesh.client.turns import Turns
from agentmesh.jsonvalues import OFF_LOOP_BYTES
from agentmesh.v1.registry_service_pb2 import WatchAgentsResponse


class AsyncAgentChanges(AsyncStream[WatchAgentsResponse, AgentChange]):
    """Who is in the mesh, then each change of that, to be read once; the request is sent when reading begins.

    It ends by an error only: `errors.ShuttingDown` where the orchestrator leaves, `errors.Unreachable` where it is
    gone. A new one begins with everything again. Leaving the loop ends the call; see `AsyncRunEvents`.
    """

    def __init__(self, open_call: Callable[[float | None], Call[WatchAgentsResponse]], peer: str, turns: Turns) -> None:
        """As `AsyncStream`; errors call the server `peer`."""
        self._reader = reader = ChangeReader()

        def opened(timeout_seconds: float | None) -> Call[WatchAgentsResponse]:
            reader.begin()
            return open_call(timeout_seconds)

        super().__init__(opened, EndlessCourse(peer), turns)

    async def _read(self, message: WatchAgentsResponse) -> AgentChange | None:
        if message.ByteSize() > OFF_LOOP_BYTES:
            return await asyncio.to_thread(self._reader.read, message)
        return self._reader.read(message)
