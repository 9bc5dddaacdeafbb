"""The client for code without an event loop.

It has a channel of gRPC's own threads rather than a loop in a thread: two event loops in one process get in each
other's way inside grpc.aio.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from types import TracebackType
from typing import Self, TypeVar, Unpack

import grpc

from agentmesh.addresses import read_target
from agentmesh.client import reading, requests
from agentmesh.client.agents import Lease, Listing
from agentmesh.client.credentials import metadata_of
from agentmesh.client.enums import RunState
from agentmesh.client.options import AskOptions, ExecuteOptions, RoutingOptions, RunFilters
from agentmesh.client.reading_agents import WholeListing, read_lease, read_listing
from agentmesh.client.rpc_errors import from_threaded
from agentmesh.client.scalars import moment_of
from agentmesh.client.sync_agents import AgentChanges
from agentmesh.client.sync_events import RunEvents
from agentmesh.client.sync_interceptor import SyncClientInterceptor
from agentmesh.client.turns import Turns
from agentmesh.client.values import Answer, RoutedPlan, RunRecord, RunSummary
from agentmesh.deadline import timeout_of_call
from agentmesh.errors import MeshError
from agentmesh.jsonvalues import JsonObject
from agentmesh.transport.options import MAX_MESSAGE_BYTES, channel_options, proxy_options
from agentmesh.v1.orchestrator_service_pb2 import AskStreamRequest, ListRunsRequest
from agentmesh.v1.orchestrator_service_pb2_grpc import OrchestratorStub
from agentmesh.v1.registry_service_pb2 import DeregisterRequest, HeartbeatRequest, ListAgentsRequest
from agentmesh.v1.registry_service_pb2_grpc import RegistryStub

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class MeshClient:
    """Asks an orchestrator, or several; close it, or use `with`. May be shared by threads.

    Methods raise exceptions of `agentmesh.errors`: `Unreachable` where nothing answers, else what the orchestrator
    says. Ctrl-C while one waits cancels the work in the mesh. Without `timeout_seconds` the server's maximum applies
    (60 s by default).

    Args:
        address: `host:port`, `ipv4:...`, `ipv6:[...]:port`, `dns:///...` or `unix:/path`; it connects with the first
            call. Several orchestrators are IP addresses with commas between them, or `dns:///name:port`, all that
            the name stands for: calls go round them. What one of them refuses because it is leaving goes to another,
            and so does what got no answer, if it only reads or has a `request_id`; a stream only before it began.
            Runs are known to the orchestrator that answers them.
        token: Bearer token that names the caller, whose runs are its own. Empty: `anonymous`.

    Raises:
        ValueError: The address is a list of something that cannot be listed.
    """

    def __init__(self, address: str, *, token: str = "") -> None:
        self._peer = f"the orchestrator at {address}"
        self._metadata = tuple(metadata_of(token).items())
        target = read_target(address)
        self._several = target.several
        core = channel_options(MAX_MESSAGE_BYTES, orchestrators=target.several)
        self._channel = grpc.insecure_channel(target.uri, options=(*core, *proxy_options(target.uri)))
        traced = grpc.intercept_channel(self._channel, SyncClientInterceptor(self._peer, target.uri))
        self._orchestrator = OrchestratorStub(traced)
        self._registry = RegistryStub(traced)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._channel.close()

    def ask(self, query: str, *, timeout_seconds: float | None = None, **options: Unpack[AskOptions]) -> Answer:
        """Ask a question; see `AskOptions`."""
        request = requests.ask_request(query, **options)
        safe = bool(request.request_id)
        return reading.read_answer(self._call(self._orchestrator.Ask, request, timeout_seconds, safe=safe))

    def ask_stream(
        self, query: str, *, timeout_seconds: float | None = None, **options: Unpack[AskOptions]
    ) -> RunEvents:
        """As `ask`, with what happens on the way. Leaving the loop ends the run, unless it is to `keep_running`."""
        request = AskStreamRequest(ask=requests.ask_request(query, **options))
        return RunEvents(
            lambda timeout: self._orchestrator.AskStream(
                request, timeout=self._timeout(timeout), metadata=self._metadata
            ),
            self._peer,
            self._turns(timeout_seconds, safe=bool(request.ask.request_id)),
        )

    def plan(
        self, query: str, *, timeout_seconds: float | None = None, **options: Unpack[RoutingOptions]
    ) -> RoutedPlan:
        """Return what would run for a question; nothing runs. See `RoutingOptions`."""
        request = requests.plan_request(query, **options)
        return reading.read_plan(self._call(self._orchestrator.Plan, request, timeout_seconds))

    def execute_plan(
        self, plan: JsonObject, *, timeout_seconds: float | None = None, **options: Unpack[ExecuteOptions]
    ) -> Answer:
        """Run a plan in the plan language; see `ExecuteOptions`."""
        request = requests.execute_plan_request(plan, **options)
        safe = bool(request.request_id)
        response = self._call(self._orchestrator.ExecutePlan, request, timeout_seconds, safe=safe)
        return reading.read_answer(response.result)

    def get_run(
        self, run_id: str, *, step_id: str = "", item_index: int | None = None, timeout_seconds: float | None = None
    ) -> RunRecord:
        """Return a run with its results; with `step_id` (and `item_index`) only that of the step (the item)."""
        request = requests.get_run_request(run_id, step_id, item_index)
        return reading.read_run(self._call(self._orchestrator.GetRun, request, timeout_seconds).run, self._peer)

    def list_runs(
        self, *, page_size: int = 0, timeout_seconds: float | None = None, **filters: Unpack[RunFilters]
    ) -> Iterator[RunSummary]:
        """Return the caller's runs that fit every filter, newest first, asking for page after page while one reads.

        Args:
            page_size: Runs a page, at most 1000; 0: 50.
            timeout_seconds: For each page.
            filters: See `RunFilters`.
        """
        return self._runs(requests.list_runs_request(page_size, **filters), timeout_seconds)

    def watch_run(self, run_id: str, *, after_sequence: int = 0, timeout_seconds: float | None = None) -> RunEvents:
        """Return the events of a run after the first so many: those that have been, then those to come."""
        request = requests.watch_run_request(run_id, after_sequence)
        return RunEvents(
            lambda timeout: self._orchestrator.WatchRun(
                request, timeout=self._timeout(timeout), metadata=self._metadata
            ),
            self._peer,
            self._turns(timeout_seconds),
            after_sequence=after_sequence,
        )

    def cancel_run(self, run_id: str, *, timeout_seconds: float | None = None) -> RunState:
        """Cancel a run for everybody who waits for it; return CANCELLED, or the state in which it had ended before."""
        request = requests.cancel_run_request(run_id)
        return reading.read_state(self._call(self._orchestrator.CancelRun, request, timeout_seconds).state)

    def list_agents(self, *, timeout_seconds: float | None = None) -> Listing:
        """Return who is in the mesh now, asking for as many pages as there are, `timeout_seconds` for each."""
        request, whole = ListAgentsRequest(), WholeListing()
        while token := whole.add(self._call(self._registry.ListAgents, request, timeout_seconds)):
            request.page_token = token
        return read_listing(whole.message)

    def watch_agents(
        self, *, report_seconds: float | None = None, timeout_seconds: float | None = None
    ) -> AgentChanges:
        """Return who is in the mesh now, then each change of that, until the reader leaves or the orchestrator does.

        Args:
            report_seconds: How often to say as well how the endpoints do, 0.1 to 3600; None: never.
            timeout_seconds: For all of it; None: no limit.
        """
        request = requests.watch_agents_request(report_seconds)
        return AgentChanges(
            lambda timeout: self._registry.WatchAgents(
                request, timeout=self._timeout(timeout), metadata=self._metadata
            ),
            self._peer,
            self._turns(timeout_seconds),
        )

    def register(
        self, card: JsonObject, address: str, *, ttl_seconds: float | None = None, timeout_seconds: float | None = None
    ) -> Lease:
        """List an endpoint of an agent that does not do it by itself, and return its lease; see `heartbeat`.

        Args:
            card: AgentCard in the protobuf JSON mapping; the agent at the address must have the same.
            address: gRPC target of the endpoint, which is called back.
            ttl_seconds: How long the lease lasts without a heartbeat, 1 to 3600; None: the registry's default.
            timeout_seconds: For the answer.
        """
        request = requests.register_request(card, address, ttl_seconds)
        return read_lease(self._call(self._registry.Register, request, timeout_seconds))

    def heartbeat(self, lease_id: str, *, timeout_seconds: float | None = None) -> datetime:
        """Prolong a lease, and return until when; `errors.LeaseNotFound` if it is gone: register again."""
        request = HeartbeatRequest(lease_id=lease_id)
        return moment_of(self._call(self._registry.Heartbeat, request, timeout_seconds).expires_at)

    def deregister(self, lease_id: str, *, timeout_seconds: float | None = None) -> None:
        """End a lease; fine if it had ended."""
        self._call(self._registry.Deregister, DeregisterRequest(lease_id=lease_id), timeout_seconds)

    def _runs(self, request: ListRunsRequest, timeout_seconds: float | None) -> Iterator[RunSummary]:
        while True:
            page = self._call(self._orchestrator.ListRuns, request, timeout_seconds)
            for run in page.runs:
                yield reading.read_summary(run)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def _call(
        self,
        method: grpc.UnaryUnaryMultiCallable[_Request, _Response],
        request: _Request,
        timeout_seconds: float | None,
        *,
        safe: bool = True,
    ) -> _Response:
        turns = self._turns(timeout_seconds, safe=safe)
        while True:
            try:
                return self._call_once(method, request, turns.timeout())
            except MeshError as error:
                pause = turns.pause_after(error)
                if pause is None:
                    raise
            time.sleep(pause)

    def _call_once(
        self,
        method: grpc.UnaryUnaryMultiCallable[_Request, _Response],
        request: _Request,
        timeout_seconds: float | None,
    ) -> _Response:
        call = method.future(request, timeout=self._timeout(timeout_seconds), metadata=self._metadata)
        try:
            return call.result()
        except grpc.RpcError as error:
            raise from_threaded(error, self._peer) from error
        finally:
            call.cancel()  # after Ctrl-C the server must hear of it; changes nothing for a call that has ended

    def _turns(self, timeout_seconds: float | None, *, safe: bool = True) -> Turns:
        return Turns(several=self._several, safe=safe, timeout_seconds=timeout_seconds)

    def _timeout(self, seconds: float | None) -> float | None:
        return timeout_of_call(self._peer, seconds)
