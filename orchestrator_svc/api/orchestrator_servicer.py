"""agentmesh.v1.Orchestrator over gRPC."""

from __future__ import annotations

from typing import Any, NoReturn, TypeAlias

import grpc.aio
from structlog.contextvars import bind_contextvars

from agentmesh.deadline import Deadline, current_deadline
from agentmesh.errors import FieldNotSupported
from agentmesh.metadata import RUN_ID
from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import orchestrator_service_pb2_grpc, run_pb2
from orchestrator_svc.api.requests import is_raw, max_effect_of, plan_of, question_of, scope_of
from orchestrator_svc.api.responses import ask_response, plan_response, run_message
from orchestrator_svc.app.answer import Answering
from orchestrator_svc.app.ports.planner import Question
from orchestrator_svc.app.route import Scope
from orchestrator_svc.app.run import Run

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class OrchestratorServicer(orchestrator_service_pb2_grpc.OrchestratorServicer):
    """Translates and delegates; rpcs of the contract that are not built yet say so."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    async def Ask(self, request: pb.AskRequest, context: Context) -> run_pb2.AskResponse:
        raw = is_raw(request.answer_format)
        run = self._begin(question_of(request), context)
        await self._answering.ask(run, scope_of(request), _deadline(), raw=raw)
        return await ask_response(run, results=raw or request.include_results)

    async def Plan(self, request: pb.PlanRequest, context: Context) -> pb.PlanResponse:
        run = self._answering.runs.begin(question_of(request))
        catalog = await self._answering.plan(run, scope_of(request), _deadline())
        return plan_response(run, catalog)

    async def ExecutePlan(
        self,
        request: pb.ExecutePlanRequest,
        context: Context,
    ) -> pb.ExecutePlanResponse:
        raw, source = is_raw(request.answer_format), await plan_of(request)
        run = self._begin(Question(request.query), context)
        scope = Scope(max_effect=max_effect_of(request.max_effect))
        await self._answering.execute_plan(run, source, scope, _deadline(), raw=raw)
        return pb.ExecutePlanResponse(result=await ask_response(run, results=raw or request.include_results))

    async def GetRun(self, request: pb.GetRunRequest, context: Context) -> pb.GetRunResponse:
        run = await self._answering.runs.get(request.run_id)
        item_index = request.item_index if request.HasField("item_index") else None
        return pb.GetRunResponse(run=await run_message(run, request.step_id, item_index))

    def AskStream(self, request: pb.AskStreamRequest, context: Context) -> NoReturn:
        raise FieldNotSupported("AskStream is not built yet; call Ask")

    def WatchRun(self, request: pb.WatchRunRequest, context: Context) -> NoReturn:
        raise FieldNotSupported("WatchRun is not built yet; call GetRun")

    async def ListRuns(self, request: pb.ListRunsRequest, context: Context) -> pb.ListRunsResponse:
        raise FieldNotSupported("ListRuns is not built yet; call GetRun")

    async def CancelRun(self, request: pb.CancelRunRequest, context: Context) -> pb.CancelRunResponse:
        raise FieldNotSupported("CancelRun is not built yet; cancel the call to Ask")

    def _begin(self, question: Question, context: Context) -> Run:
        run = self._answering.runs.begin(question)
        bind_contextvars(run_id=run.id)
        context.set_trailing_metadata(((RUN_ID, run.id),))
        return run


def _deadline() -> Deadline:
    """The deadline that the server interceptor keeps: the caller's, or the server's maximum."""
    return current_deadline.get() or Deadline.never()
