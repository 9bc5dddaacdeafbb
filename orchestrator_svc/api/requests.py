"""Messages of callers become values of the use cases. What a message itself can say was checked before."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from agentmesh.card_messages import effect_from_message
from agentmesh.cards import Effect
from agentmesh.errors import RequestInvalid
from agentmesh.jsonvalues import OFF_LOOP_BYTES, JsonObject
from agentmesh.plan_messages import plan_to_json
from agentmesh.v1 import card_pb2, orchestrator_service_pb2
from orchestrator_svc.app.ports.planner import Question, Role, Turn
from orchestrator_svc.app.request import CacheMode, RunRequest
from orchestrator_svc.app.scope import Scope
from orchestrator_svc.core.budget import Budget

MAX_HISTORY_BYTES: Final = 32 * 1024
MAX_PLAN_BYTES: Final = 1024 * 1024
"""A plan, serialized: it comes back with the answer, beside the results."""

NOT_SUPPORTED: Final[Mapping[str, tuple[str, ...]]] = {}
"""Fields of the contract that are refused when they are used, because nothing stands behind them yet."""


class _Asks(Protocol):
    """What AskRequest and PlanRequest have in common."""

    @property
    def query(self) -> str: ...
    @property
    def history(self) -> Iterable[orchestrator_service_pb2.Turn]: ...
    @property
    def allowed_skills(self) -> Iterable[str]: ...
    @property
    def max_effect(self) -> card_pb2.Effect.ValueType: ...


def request_of_ask(message: orchestrator_service_pb2.AskRequest, caller: str) -> RunRequest:
    """Read a question.

    Raises:
        RequestInvalid: The turns of its history together are over 32 KiB.
    """
    return RunRequest(
        _question_of(message),
        scope=_scope_of(message),
        raw=_is_raw(message.answer_format),
        include_results=message.include_results,
        budget=_budget_of(message.budget),
        cache_mode=_cache_mode_of(message.cache_mode),
        keep_running=message.keep_running,
        conversation_id=message.conversation_id,
        caller=caller,
        request_id=message.request_id,
    )


def request_of_plan(message: orchestrator_service_pb2.PlanRequest, caller: str) -> RunRequest:
    """Read a question that is only routed; errors as of `request_of_ask`."""
    return RunRequest(
        _question_of(message), scope=_scope_of(message), cache_mode=_cache_mode_of(message.cache_mode), caller=caller
    )


async def request_of_execute_plan(message: orchestrator_service_pb2.ExecutePlanRequest, caller: str) -> RunRequest:
    """Read a plan to run; a large one off the event loop.

    Raises:
        RequestInvalid: The plan is over 1 MiB.
    """
    return RunRequest(
        Question(message.query),
        await _plan_of(message),
        scope=Scope(max_effect=_max_effect_of(message.max_effect)),
        raw=_is_raw(message.answer_format),
        include_results=message.include_results,
        budget=_budget_of(message.budget),
        keep_running=message.keep_running,
        conversation_id=message.conversation_id,
        caller=caller,
        request_id=message.request_id,
        plan_bytes=message.plan.ByteSize(),
    )


def _question_of(request: _Asks) -> Question:
    turns = tuple(
        Turn(Role.ASSISTANT if turn.role == orchestrator_service_pb2.ROLE_ASSISTANT else Role.USER, turn.text)
        for turn in request.history
    )
    size = sum(len(turn.text.encode()) for turn in turns)
    if size > MAX_HISTORY_BYTES:
        problem = f"the turns together have {size} bytes, at most {MAX_HISTORY_BYTES} are allowed"
        raise RequestInvalid.of("history", problem)
    return Question(request.query, turns)


def _scope_of(request: _Asks) -> Scope:
    return Scope(frozenset(request.allowed_skills), _max_effect_of(request.max_effect))


async def _plan_of(request: orchestrator_service_pb2.ExecutePlanRequest) -> JsonObject:
    size = request.plan.ByteSize()
    if size > MAX_PLAN_BYTES:
        raise RequestInvalid.of("plan", f"has {size} bytes, at most {MAX_PLAN_BYTES} are allowed")
    if size > OFF_LOOP_BYTES:
        return await asyncio.to_thread(plan_to_json, request.plan)
    return plan_to_json(request.plan)


def _cache_mode_of(value: orchestrator_service_pb2.CacheMode.ValueType) -> CacheMode:
    if not value:
        return CacheMode.USE
    return CacheMode(orchestrator_service_pb2.CacheMode.Name(value).removeprefix("CACHE_MODE_"))


def _budget_of(message: orchestrator_service_pb2.Budget) -> Budget:
    return Budget(
        message.llm_calls if message.HasField("llm_calls") else None,
        message.tokens if message.HasField("tokens") else None,
        message.cost_usd if message.HasField("cost_usd") else None,
        message.agent_calls if message.HasField("agent_calls") else None,
    )


def _max_effect_of(value: card_pb2.Effect.ValueType) -> Effect:
    """Read the greatest effect; unset: IDEMPOTENT."""
    return effect_from_message(value) if value else Effect.IDEMPOTENT


def _is_raw(answer_format: orchestrator_service_pb2.AnswerFormat.ValueType) -> bool:
    return answer_format == orchestrator_service_pb2.ANSWER_FORMAT_RAW
