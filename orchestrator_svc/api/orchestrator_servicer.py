"""agentmesh.v1.Orchestrator over gRPC."""

from __future__ import annotations

from typing import Any

import grpc.aio
from structlog.contextvars import bind_contextvars

from agentmesh.deadline import Deadline, current_deadline
from agentmesh.errors import StepNotFound
from agentmesh.metadata import RUN_ID
from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import orchestrator_service_pb2_grpc, plan_pb2
from orchestrator_svc.api.requests import is_raw, max_effect_of, plan_source_of, question_of, scope_of
from orchestrator_svc.api.responses import ask_response, plan_message, run_message, usage_message
from orchestrator_svc.app.answer import Answering
from orchestrator_svc.app.ports.planner import Question
from orchestrator_svc.app.route import Scope
from orchestrator_svc.app.run import Run


class OrchestratorServicer(orchestrator_service_pb2_grpc.OrchestratorServicer):
    """Translates and delegates. The rpcs that are not here are refused by the generated base class."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    async def Ask(
        self, request: pb.AskRequest, context: grpc.aio.ServicerContext[pb.AskRequest, pb.AskResponse]
    ) -> pb.AskResponse:
        raw = is_raw(request.answer_format)
        run = self._begin(question_of(request), context)
        await self._answering.ask(run, scope_of(request), _deadline(), raw=raw)
        return await ask_response(run, results=raw or request.include_results)

    async def Plan(
        self, request: pb.PlanRequest, context: grpc.aio.ServicerContext[pb.PlanRequest, pb.PlanResponse]
    ) -> pb.PlanResponse:
        run = self._begin(question_of(request), context)
        catalog = await self._answering.plan(run, scope_of(request), _deadline())
        response = pb.PlanResponse(
            planner=run.planner, usage=usage_message(run.ledger), catalog_fingerprint=catalog.fingerprint
        )
        if run.plan is not None:
            response.plan.CopyFrom(plan_message(run.plan))
            response.mode = plan_pb2.Mode.Value(f"MODE_{run.plan.mode}")
        if run.plan_source is not None:
            response.plan_source = plan_pb2.PlanSource.Value(f"PLAN_SOURCE_{run.plan_source}")
        return response

    async def ExecutePlan(
        self,
        request: pb.ExecutePlanRequest,
        context: grpc.aio.ServicerContext[pb.ExecutePlanRequest, pb.ExecutePlanResponse],
    ) -> pb.ExecutePlanResponse:
        raw = is_raw(request.answer_format)
        run = self._begin(Question(request.query), context)
        scope = Scope(max_effect=max_effect_of(request.max_effect))
        await self._answering.execute_plan(run, plan_source_of(request.plan), scope, _deadline(), raw=raw)
        return pb.ExecutePlanResponse(result=await ask_response(run, results=raw or request.include_results))

    async def GetRun(
        self, request: pb.GetRunRequest, context: grpc.aio.ServicerContext[pb.GetRunRequest, pb.GetRunResponse]
    ) -> pb.GetRunResponse:
        run = await self._answering.runs.get(request.run_id)
        if request.step_id and (run.plan is None or request.step_id not in run.plan.by_id):
            raise StepNotFound(f"run {run.id} has no step `{request.step_id}`")
        return pb.GetRunResponse(run=await run_message(run, request.step_id))

    def _begin(self, question: Question, context: grpc.aio.ServicerContext[Any, Any]) -> Run:
        run = self._answering.runs.begin(question)
        bind_contextvars(run_id=run.id)
        context.set_trailing_metadata(((RUN_ID, run.id),))
        return run


def _deadline() -> Deadline:
    """The deadline that the server interceptor keeps: the caller's, or the server's maximum."""
    return current_deadline.get() or Deadline.never()
