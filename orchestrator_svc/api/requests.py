"""Messages of callers become values of the use cases. What a message itself can say was checked before."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from agentmesh.card_messages import effect_from_message
from agentmesh.cards import Effect
from agentmesh.errors import RequestInvalid, Violation, ViolationReason
from agentmesh.jsonvalues import OFF_LOOP_BYTES, JsonObject
from agentmesh.plan_messages import plan_to_json
from agentmesh.v1 import card_pb2, orchestrator_service_pb2
from orchestrator_svc.app.ports.planner import Question, Role, Turn
from orchestrator_svc.app.route import Scope

MAX_HISTORY_BYTES: Final = 32 * 1024
MAX_PLAN_BYTES: Final = 1024 * 1024
"""A plan, serialized: it comes back with the answer, beside the results."""

NOT_SUPPORTED: Final[Mapping[str, tuple[str, ...]]] = {
    "agentmesh.v1.AskRequest": ("conversation_id", "request_id", "budget", "cache_mode", "keep_running"),
    "agentmesh.v1.PlanRequest": ("cache_mode",),
    "agentmesh.v1.ExecutePlanRequest": ("request_id", "conversation_id", "budget", "keep_running"),
    "agentmesh.v1.ListAgentsRequest": ("page_size", "page_token"),
}
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


def question_of(request: _Asks) -> Question:
    """Read question and history.

    Raises:
        RequestInvalid: The turns together are over 32 KiB.
    """
    turns = tuple(
        Turn(Role.ASSISTANT if turn.role == orchestrator_service_pb2.ROLE_ASSISTANT else Role.USER, turn.text)
        for turn in request.history
    )
    size = sum(len(turn.text.encode()) for turn in turns)
    if size > MAX_HISTORY_BYTES:
        message = f"the turns together have {size} bytes, at most {MAX_HISTORY_BYTES} are allowed"
        raise RequestInvalid(message, violations=[Violation("history", ViolationReason.RULE, message)])
    return Question(request.query, turns)


def scope_of(request: _Asks) -> Scope:
    """Read which skills the request may use."""
    return Scope(frozenset(request.allowed_skills), max_effect_of(request.max_effect))


async def plan_of(request: orchestrator_service_pb2.ExecutePlanRequest) -> JsonObject:
    """Read the plan, in the plan language; a large one off the event loop.

    Raises:
        RequestInvalid: It is over 1 MiB.
    """
    size = request.plan.ByteSize()
    if size > MAX_PLAN_BYTES:
        message = f"the plan has {size} bytes, at most {MAX_PLAN_BYTES} are allowed"
        raise RequestInvalid(message, violations=[Violation("plan", ViolationReason.RULE, message)])
    if size > OFF_LOOP_BYTES:
        return await asyncio.to_thread(plan_to_json, request.plan)
    return plan_to_json(request.plan)


def max_effect_of(value: card_pb2.Effect.ValueType) -> Effect:
    """Read the greatest effect; unset: IDEMPOTENT."""
    return effect_from_message(value) if value else Effect.IDEMPOTENT


def is_raw(answer_format: orchestrator_service_pb2.AnswerFormat.ValueType) -> bool:
    """Whether no text is wanted."""
    return answer_format == orchestrator_service_pb2.ANSWER_FORMAT_RAW
