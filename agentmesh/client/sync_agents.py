"""Changes of who is in the mesh, for code without an event loop; as `agentmesh.client.async_agents`."""

from __future__ import annotations

from collections.abc import Callable

from agentmesh.client.agents import AgentChange
from agentmesh.client.course import EndlessCourse
from agentmesh.client.reading_agents import ChangeReader
from agentmesh.client.sync_stream import Call, Stream
from agentmesh.client.turns import Turns
from agentmesh.v1.registry_service_pb2 import WatchAgentsResponse


class AgentChanges(Stream[WatchAgentsResponse, AgentChange]):
    """Who is in the mesh, then each change of that, to be read once by one thread.

    It ends by an error only: `errors.ShuttingDown` where the orchestrator leaves, `errors.Unreachable` where it is
    gone. A new one begins with everything again. Leaving the loop ends the call; see `RunEvents`.
    """

    def __init__(self, open_call: Callable[[float | None], Call[WatchAgentsResponse]], peer: str, turns: Turns) -> None:
        """As `Stream`."""
        self._reader = reader = ChangeReader()

        def opened(timeout_seconds: float | None) -> Call[WatchAgentsResponse]:
            reader.begin()
            return open_call(timeout_seconds)

        super().__init__(opened, peer, EndlessCourse(peer), turns)

    def _read(self, message: WatchAgentsResponse) -> AgentChange | None:
        return self._reader.read(message)
