"""What a caller gives, as messages of the contract.

Values are judged by the orchestrator; here only what no message can carry is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from agentmesh import errors
from agentmesh.card_messages import effect_to_message
from agentmesh.cards import Effect
from agentmesh.client.plans import plan_message
from agentmesh.errors import Violation, ViolationReason
from agentmesh.jsonvalues import Json
from agentmesh.v1 import card_pb2
from agentmesh.v1.orchestrator_service_pb2 import (
    ANSWER_FORMAT_RAW,
    ANSWER_FORMAT_TEXT,
    ROLE_ASSISTANT,
    ROLE_USER,
    AnswerFormat,
    AskRequest,
    ExecutePlanRequest,
    GetRunRequest,
    PlanRequest,
)
from agentmesh.v1.orchestrator_service_pb2 import Turn as TurnMessage


class Role(StrEnum):
    """Who said something; orchestrator_service.proto (Role)."""

    USER = "USER"
    ASSISTANT = "ASSISTANT"


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier message of a conversation."""

    role: Role
    text: str


_ROLES: Final = {Role.USER: ROLE_USER, Role.ASSISTANT: ROLE_ASSISTANT}


def ask_request(
    query: str,
    *,
    history: Iterable[Turn],
    raw: bool,
    allowed_skills: Iterable[str],
    max_effect: Effect | None,
    include_results: bool,
) -> AskRequest:
    return AskRequest(
        query=_text("query", query),
        history=_turns(history),
        answer_format=_format(raw=raw),
        allowed_skills=_skills(allowed_skills),
        max_effect=_effect(max_effect),
        include_results=include_results,
    )


def plan_request(
    query: str, *, history: Iterable[Turn], allowed_skills: Iterable[str], max_effect: Effect | None
) -> PlanRequest:
    return PlanRequest(
        query=_text("query", query),
        history=_turns(history),
        allowed_skills=_skills(allowed_skills),
        max_effect=_effect(max_effect),
    )


def execute_plan_request(
    plan: Json, *, query: str, raw: bool, max_effect: Effect | None, include_results: bool
) -> ExecutePlanRequest:
    return ExecutePlanRequest(
        plan=plan_message(plan),
        query=_text("query", query),
        answer_format=_format(raw=raw),
        max_effect=_effect(max_effect),
        include_results=include_results,
    )


def get_run_request(run_id: str, step_id: str, item_index: int | None) -> GetRunRequest:
    return GetRunRequest(run_id=_text("run_id", run_id), step_id=_text("step_id", step_id), item_index=item_index)


def _text(field: str, value: str) -> str:
    """Bytes of a command line that are no UTF-8 arrive as halves of surrogate pairs, which no message carries."""
    try:
        value.encode()
    except UnicodeEncodeError:
        violation = Violation(field, ViolationReason.RULE, "must be Unicode text")
        raise errors.RequestInvalid(f"`{field}` is no Unicode text", violations=[violation]) from None
    return value


def _turns(history: Iterable[Turn]) -> list[TurnMessage]:
    return [
        TurnMessage(role=_ROLES[turn.role], text=_text(f"history[{index}].text", turn.text))
        for index, turn in enumerate(history)
    ]


def _skills(allowed_skills: Iterable[str]) -> list[str]:
    return [_text(f"allowed_skills[{index}]", skill) for index, skill in enumerate(allowed_skills)]


def _format(*, raw: bool) -> AnswerFormat.ValueType:
    return ANSWER_FORMAT_RAW if raw else ANSWER_FORMAT_TEXT


def _effect(effect: Effect | None) -> card_pb2.Effect.ValueType:
    return card_pb2.EFFECT_UNSPECIFIED if effect is None else effect_to_message(effect)
