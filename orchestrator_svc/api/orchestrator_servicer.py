"""agentmesh.v1.Orchestrator, over gRPC and over HTTP: of a context nothing is used but what `Call` has."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc.aio
from structlog.contextvars import bind_contextvars

from agentmesh.deadline import Deadline, current_deadline
from agentmesh.metadata import RUN_ID, TRACE_ID
from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import orchestrator_service_pb2_grpc, run_event_pb2, run_pb2
from orchestrator_svc.api.callers import Callers
from orchestrator_svc.api.enum_values import run_state_value
from orchestrator_svc.api.requests import request_of_ask, request_of_execute_plan, request_of_plan
from orchestrator_svc.api.responses import ask_response, plan_response, run_message
from orchestrator_svc.api.run_events import event_message
from orchestrator_svc.api.run_pages import list_runs
from orchestrator_svc.app.live_run import Attached
from orchestrator_svc.app.request import RunRequest
from orchestrator_svc.app.runs import Runs
from orchestrator_svc.app.tracing import served_by

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class OrchestratorServicer(orchestrator_service_pb2_grpc.OrchestratorServicer):
    """Translates and delegates."""

    def __init__(self, runs: Runs, callers: Callers) -> None:
        self._runs = runs
        self._callers = callers

    async def Ask(self, request: pb.AskRequest, context: Context) -> run_pb2.AskResponse:
        return await self._answer(request_of_ask(request, self._callers.of(context)), context)

    async def AskStream(self, request: pb.AskStreamRequest, context: Context) -> AsyncIterator[pb.AskStreamResponse]:
        wanted = request_of_ask(request.ask, self._callers.of(context))
        async with self._runs.attached(wanted, _deadline()) as attached:
            _name(attached, context)
            async with aclosing(_events(attached)) as events:
                async for event in events:
                    yield pb.AskStreamResponse(event=event)

    async def Plan(self, request: pb.PlanRequest, context: Context) -> pb.PlanResponse:
        run, catalog = await self._runs.plan(request_of_plan(request, self._callers.of(context)), _deadline())
        return plan_response(run, catalog)

    async def ExecutePlan(self, request: pb.ExecutePlanRequest, context: Context) -> pb.ExecutePlanResponse:
        wanted = await request_of_execute_plan(request, self._callers.of(context))
        return pb.ExecutePlanResponse(result=await self._answer(wanted, context))

    async def GetRun(self, request: pb.GetRunRequest, context: Context) -> pb.GetRunResponse:
        run = await self._runs.get(request.run_id, self._callers.of(context))
        item_index = request.item_index if request.HasField("item_index") else None
        return pb.GetRunResponse(run=await run_message(run, request.step_id, item_index))

    async def ListRuns(self, request: pb.ListRunsRequest, context: Context) -> pb.ListRunsResponse:
        return await list_runs(self._runs, request, self._callers.of(context))

    async def WatchRun(self, request: pb.WatchRunRequest, context: Context) -> AsyncIterator[pb.WatchRunResponse]:
        async with self._runs.watching(request.run_id, self._callers.of(context)) as attached:
            _name(attached, context)
            async with aclosing(_events(attached, request.after_sequence)) as events:
                async for event in events:
                    yield pb.WatchRunResponse(event=event)

    async def CancelRun(self, request: pb.CancelRunRequest, context: Context) -> pb.CancelRunResponse:
        run = await self._runs.cancel(request.run_id, self._callers.of(context))
        return pb.CancelRunResponse(state=run_state_value(run.state))

    async def _answer(self, wanted: RunRequest, context: Context) -> run_pb2.AskResponse:
        async with self._runs.attached(wanted, _deadline()) as attached:
            _name(attached, context)
            run = await attached.ended()
        return await ask_response(run, results=wanted.carries_results, replayed=attached.replayed)


async def _events(attached: Attached, after: int = 0) -> AsyncGenerator[run_event_pb2.RunEvent, None]:
    async with aclosing(attached.events(after)) as entries:
        async for entry in entries:
            yield await event_message(attached.run, entry, replayed=attached.replayed)


def _name(attached: Attached, context: Context) -> None:
    """Say in the log of the call, in its span and in its trailers, which run it is about."""
    run = attached.run
    bind_contextvars(run_id=run.id)
    served_by(run, replayed=attached.replayed)
    named = ((RUN_ID, run.id), (TRACE_ID, run.trace.id))
    context.set_trailing_metadata(tuple(pair for pair in named if pair[1]))


def _deadline() -> Deadline:
    """The deadline that the server interceptor keeps: the caller's, or the server's maximum."""
    return current_deadline.get() or Deadline.never()
