"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from agentmesh.cards import Effect
from agentmesh.client import reading, requests
from agentmesh.client.requests import Turn
from agentmesh.client.values import Answer, Listing, RoutedPlan, RunRecord
from agentmesh.jsonvalues import OFF_LOOP_BYTES, JsonObject
from agentmesh.transport.channel import open_channel
from agentmesh.v1.orchestrator_service_pb2_grpc import OrchestratorStub
from agentmesh.v1.registry_service_pb2 import ListAgentsRequest
from agentmesh.v1.registry_service_pb2_grpc import RegistryStub
from agentmesh.v1.run_pb2 import AskResponse

if TYPE_CHECKING:
    from agentmesh.v1.orchestrator_service_pb2_grpc import OrchestratorAsyncStub
    from agentmesh.v1.registry_service_pb2_grpc import RegistryAsyncStub


class AsyncMeshClient:
    """Asks one orchestrator; make it inside the running event loop, and close it, or use `async with`.

    Methods raise exceptions of `agentmesh.errors`: `Unreachable` where nothing answers, else what the orchestrator
    says. A task that is cancelled while it waits cancels the work in the mesh. Without `timeout_seconds` the server's
    maximum applies (60 s by default).

    Args:
        address: `host:port`, `ipv4:...`, `ipv6:[...]:port`, `dns:///...` or `unix:/path`; it connects with the first
            call.
    """

    def __init__(self, address: str) -> None:
        self._peer = f"the orchestrator at {address}"
        self._channel = open_channel(address, peer=self._peer)
        self._orchestrator: OrchestratorAsyncStub = OrchestratorStub(self._channel)
        self._registry: RegistryAsyncStub = RegistryStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._channel.close()

    async def ask(
        self,
        query: str,
        *,
        history: Iterable[Turn] = (),
        raw: bool = False,
        allowed_skills: Iterable[str] = (),
        max_effect: Effect | None = None,
        include_results: bool = False,
        timeout_seconds: float | None = None,
    ) -> Answer:
        """Ask a question. `raw`: results and no text; no `allowed_skills`: all; no `max_effect`: IDEMPOTENT."""
        request = requests.ask_request(
            query,
            history=history,
            raw=raw,
            allowed_skills=allowed_skills,
            max_effect=max_effect,
            include_results=include_results,
        )
        return await _read_answer(await self._orchestrator.Ask(request, timeout=timeout_seconds))

    async def plan(
        self,
        query: str,
        *,
        history: Iterable[Turn] = (),
        allowed_skills: Iterable[str] = (),
        max_effect: Effect | None = None,
        timeout_seconds: float | None = None,
    ) -> RoutedPlan:
        """Return what would run for a question; nothing runs."""
        request = requests.plan_request(query, history=history, allowed_skills=allowed_skills, max_effect=max_effect)
        return reading.read_plan(await self._orchestrator.Plan(request, timeout=timeout_seconds))

    async def execute_plan(
        self,
        plan: JsonObject,
        *,
        query: str = "",
        raw: bool = False,
        max_effect: Effect | None = None,
        include_results: bool = False,
        timeout_seconds: float | None = None,
    ) -> Answer:
        """Run a plan in the plan language. `query`, the question to answer, is required unless `raw`."""
        request = requests.execute_plan_request(
            plan, query=query, raw=raw, max_effect=max_effect, include_results=include_results
        )
        response = await self._orchestrator.ExecutePlan(request, timeout=timeout_seconds)
        return await _read_answer(response.result)

    async def get_run(
        self, run_id: str, *, step_id: str = "", item_index: int | None = None, timeout_seconds: float | None = None
    ) -> RunRecord:
        """Return a run with its results; with `step_id` (and `item_index`) only that of the step (the item)."""
        request = requests.get_run_request(run_id, step_id, item_index)
        response = await self._orchestrator.GetRun(request, timeout=timeout_seconds)
        return reading.read_run(response.run, self._peer)

    async def list_agents(self, *, timeout_seconds: float | None = None) -> Listing:
        """Return who is in the mesh now."""
        return reading.read_listing(await self._registry.ListAgents(ListAgentsRequest(), timeout=timeout_seconds))


async def _read_answer(message: AskResponse) -> Answer:
    """A large one in a thread: 3 MiB of results take a third of a second, and others wait on the event loop."""
    if message.ByteSize() > OFF_LOOP_BYTES:
        return await asyncio.to_thread(reading.read_answer, message)
    return reading.read_answer(message)
