"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from agentmesh.cards import Effect
from agentmesh.client import reading, requests
from agentmesh.client.agents import Listing
from agentmesh.client.async_events import AsyncRunEvents
from agentmesh.client.credentials import metadata_of
from agentmesh.client.enums import RunOutcome, RunState
from agentmesh.client.options import AskOptions, ExecuteOptions, Turn
from agentmesh.client.reading_agents import read_listing
from agentmesh.client.values import Answer, RoutedPlan, RunRecord, RunSummary
from agentmesh.jsonvalues import OFF_LOOP_BYTES, JsonObject
from agentmesh.transport.channel import open_channel
from agentmesh.v1.orchestrator_service_pb2 import AskStreamRequest, ListRunsRequest
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
        token: Bearer token that names the caller, whose runs are its own. Empty: `anonymous`.
    """

    def __init__(self, address: str, *, token: str = "") -> None:
        self._peer = f"the orchestrator at {address}"
        self._channel = open_channel(address, peer=self._peer, metadata=metadata_of(token))
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

    async def ask(self, query: str, *, timeout_seconds: float | None = None, **options: Unpack[AskOptions]) -> Answer:
        """Ask a question; see `AskOptions`."""
        request = requests.ask_request(query, **options)
        return await _read_answer(await self._orchestrator.Ask(request, timeout=timeout_seconds))

    def ask_stream(
        self, query: str, *, timeout_seconds: float | None = None, **options: Unpack[AskOptions]
    ) -> AsyncRunEvents:
        """As `ask`, with what happens on the way. Leaving the loop ends the run, unless it is to `keep_running`."""
        request = AskStreamRequest(ask=requests.ask_request(query, **options))
        return AsyncRunEvents(lambda: self._orchestrator.AskStream(request, timeout=timeout_seconds), self._peer)

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
        self, plan: JsonObject, *, timeout_seconds: float | None = None, **options: Unpack[ExecuteOptions]
    ) -> Answer:
        """Run a plan in the plan language; see `ExecuteOptions`."""
        request = requests.execute_plan_request(plan, **options)
        response = await self._orchestrator.ExecutePlan(request, timeout=timeout_seconds)
        return await _read_answer(response.result)

    async def get_run(
        self, run_id: str, *, step_id: str = "", item_index: int | None = None, timeout_seconds: float | None = None
    ) -> RunRecord:
        """Return a run with its results; with `step_id` (and `item_index`) only that of the step (the item)."""
        request = requests.get_run_request(run_id, step_id, item_index)
        response = await self._orchestrator.GetRun(request, timeout=timeout_seconds)
        return reading.read_run(response.run, self._peer)

    def list_runs(
        self,
        *,
        state: RunState | None = None,
        outcome: RunOutcome | None = None,
        started_after: datetime | None = None,
        started_before: datetime | None = None,
        conversation_id: str = "",
        page_size: int = 0,
        timeout_seconds: float | None = None,
    ) -> AsyncIterator[RunSummary]:
        """Return the caller's runs that fit every filter, newest first, asking for page after page while one reads.

        Args:
            started_after: Runs that arrived then or later; aware.
            started_before: Runs that arrived earlier than that; aware.
            page_size: Runs a page, at most 1000; 0: 50.
            timeout_seconds: For each page.
        """
        request = requests.list_runs_request(
            state=state,
            outcome=outcome,
            started_after=started_after,
            started_before=started_before,
            conversation_id=conversation_id,
            page_size=page_size,
        )
        return self._runs(request, timeout_seconds)

    def watch_run(
        self, run_id: str, *, after_sequence: int = 0, timeout_seconds: float | None = None
    ) -> AsyncRunEvents:
        """Return the events of a run after the first so many: those that have been, then those to come."""
        request = requests.watch_run_request(run_id, after_sequence)
        return AsyncRunEvents(
            lambda: self._orchestrator.WatchRun(request, timeout=timeout_seconds),
            self._peer,
            after_sequence=after_sequence,
        )

    async def cancel_run(self, run_id: str, *, timeout_seconds: float | None = None) -> RunState:
        """Cancel a run for everybody who waits for it; return CANCELLED, or the state in which it had ended before."""
        request = requests.cancel_run_request(run_id)
        return reading.read_state((await self._orchestrator.CancelRun(request, timeout=timeout_seconds)).state)

    async def list_agents(self, *, timeout_seconds: float | None = None) -> Listing:
        """Return who is in the mesh now."""
        return read_listing(await self._registry.ListAgents(ListAgentsRequest(), timeout=timeout_seconds))

    async def _runs(self, request: ListRunsRequest, timeout_seconds: float | None) -> AsyncIterator[RunSummary]:
        while True:
            page = await self._orchestrator.ListRuns(request, timeout=timeout_seconds)
            for run in page.runs:
                yield reading.read_summary(run)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token


async def _read_answer(message: AskResponse) -> Answer:
    """A large one in a thread: 3 MiB of results take a third of a second, and others wait on the event loop."""
    if message.ByteSize() > OFF_LOOP_BYTES:
        return await asyncio.to_thread(reading.read_answer, message)
    return reading.read_answer(message)
