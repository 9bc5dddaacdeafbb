"""The client for code without an event loop.

It has a channel of gRPC's own threads rather than a loop in a thread: two event loops in one process get in each
other's way inside grpc.aio.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self, TypeVar, cast

import grpc

from agentmesh.cards import Effect
from agentmesh.client import reading, requests
from agentmesh.client.requests import Turn
from agentmesh.client.values import Answer, Listing, RoutedPlan, RunRecord
from agentmesh.deadline import timeout_of_call
from agentmesh.jsonvalues import JsonObject
from agentmesh.transport.options import MAX_MESSAGE_BYTES, channel_options, proxy_options
from agentmesh.transport.status import from_rpc_error
from agentmesh.v1.orchestrator_service_pb2_grpc import OrchestratorStub
from agentmesh.v1.registry_service_pb2 import ListAgentsRequest
from agentmesh.v1.registry_service_pb2_grpc import RegistryStub

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class MeshClient:
    """Asks one orchestrator; close it, or use `with`. May be shared by threads.

    Methods raise exceptions of `agentmesh.errors`: `Unreachable` where nothing answers, else what the orchestrator
    says. Ctrl-C while one waits cancels the work in the mesh. Without `timeout_seconds` the server's maximum applies
    (60 s by default).

    Args:
        address: `host:port`, `ipv4:...`, `ipv6:[...]:port`, `dns:///...` or `unix:/path`; it connects with the first
            call.
    """

    def __init__(self, address: str) -> None:
        self._peer = f"the orchestrator at {address}"
        options = (*channel_options(MAX_MESSAGE_BYTES), *proxy_options(address))
        self._channel = grpc.insecure_channel(address, options=options)
        self._orchestrator = OrchestratorStub(self._channel)
        self._registry = RegistryStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._channel.close()

    def ask(
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
        return reading.read_answer(self._call(self._orchestrator.Ask, request, timeout_seconds))

    def plan(
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
        return reading.read_plan(self._call(self._orchestrator.Plan, request, timeout_seconds))

    def execute_plan(
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
        return reading.read_answer(self._call(self._orchestrator.ExecutePlan, request, timeout_seconds).result)

    def get_run(
        self, run_id: str, *, step_id: str = "", item_index: int | None = None, timeout_seconds: float | None = None
    ) -> RunRecord:
        """Return a run with its results; with `step_id` (and `item_index`) only that of the step (the item)."""
        request = requests.get_run_request(run_id, step_id, item_index)
        return reading.read_run(self._call(self._orchestrator.GetRun, request, timeout_seconds).run, self._peer)

    def list_agents(self, *, timeout_seconds: float | None = None) -> Listing:
        """Return who is in the mesh now."""
        return reading.read_listing(self._call(self._registry.ListAgents, ListAgentsRequest(), timeout_seconds))

    def _call(
        self,
        method: grpc.UnaryUnaryMultiCallable[_Request, _Response],
        request: _Request,
        timeout_seconds: float | None,
    ) -> _Response:
        call = method.future(request, timeout=timeout_of_call(self._peer, timeout_seconds))
        try:
            return call.result()
        except grpc.RpcError as error:
            raise from_rpc_error(_as_aio(cast("grpc.Call", error)), self._peer) from error
        finally:
            call.cancel()  # after Ctrl-C the server must hear of it; changes nothing for a call that has ended


def _as_aio(error: grpc.Call) -> grpc.aio.AioRpcError:
    """The same error as the other half of gRPC raises it, so that one table of errors serves both."""
    return grpc.aio.AioRpcError(
        code=error.code(),
        initial_metadata=grpc.aio.Metadata(*(error.initial_metadata() or ())),
        trailing_metadata=grpc.aio.Metadata(*(error.trailing_metadata() or ())),
        details=error.details(),
    )
