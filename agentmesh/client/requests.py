"""What a caller gives, as messages of the contract.

Values are judged by the orchestrator; here only what no message can carry is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from agentmesh import errors
from agentmesh.card_messages import effect_to_message
from agentmesh.cards import Effect
from agentmesh.client.cards import card_message
from agentmesh.client.enums import RunOutcome, RunState
from agentmesh.client.options import Budget, CacheMode, Role, Turn
from agentmesh.client.plans import plan_message
from agentmesh.jsonvalues import Json, JsonObject
from agentmesh.v1 import card_pb2, registry_service_pb2, run_pb2
from agentmesh.v1 import orchestrator_service_pb2 as pb

_ROLES: Final = {Role.USER: pb.ROLE_USER, Role.ASSISTANT: pb.ROLE_ASSISTANT}


def ask_request(
    query: str,
    *,
    history: Iterable[Turn] = (),
    raw: bool = False,
    allowed_skills: Iterable[str] = (),
    max_effect: Effect | None = None,
    cache_mode: CacheMode | None = None,
    include_results: bool = False,
    conversation_id: str = "",
    request_id: str = "",
    budget: Budget | None = None,
    keep_running: bool = False,
) -> pb.AskRequest:
    """The parameters are those of `AskOptions`; named here, so that one which does not exist is a TypeError."""
    return pb.AskRequest(
        query=_text("query", query),
        history=_turns(history),
        conversation_id=_text("conversation_id", conversation_id),
        request_id=_text("request_id", request_id),
        answer_format=_format(raw=raw),
        allowed_skills=_skills(allowed_skills),
        max_effect=_effect(max_effect),
        budget=_budget(budget),
        cache_mode=_cache_mode(cache_mode),
        include_results=include_results,
        keep_running=keep_running,
    )


def plan_request(
    query: str,
    *,
    history: Iterable[Turn] = (),
    allowed_skills: Iterable[str] = (),
    max_effect: Effect | None = None,
    cache_mode: CacheMode | None = None,
) -> pb.PlanRequest:
    """The parameters are those of `RoutingOptions`."""
    return pb.PlanRequest(
        query=_text("query", query),
        history=_turns(history),
        allowed_skills=_skills(allowed_skills),
        max_effect=_effect(max_effect),
        cache_mode=_cache_mode(cache_mode),
    )


def execute_plan_request(
    plan: Json,
    *,
    query: str = "",
    raw: bool = False,
    max_effect: Effect | None = None,
    include_results: bool = False,
    conversation_id: str = "",
    request_id: str = "",
    budget: Budget | None = None,
    keep_running: bool = False,
) -> pb.ExecutePlanRequest:
    """The parameters are those of `ExecuteOptions`."""
    return pb.ExecutePlanRequest(
        plan=plan_message(plan),
        query=_text("query", query),
        answer_format=_format(raw=raw),
        max_effect=_effect(max_effect),
        include_results=include_results,
        request_id=_text("request_id", request_id),
        conversation_id=_text("conversation_id", conversation_id),
        budget=_budget(budget),
        keep_running=keep_running,
    )


def get_run_request(run_id: str, step_id: str, item_index: int | None) -> pb.GetRunRequest:
    request = pb.GetRunRequest(run_id=_text("run_id", run_id), step_id=_text("step_id", step_id))
    if item_index is not None:
        with _carried("item_index"):
            request.item_index = item_index
    return request


def list_runs_request(
    page_size: int,
    *,
    state: RunState | None = None,
    outcome: RunOutcome | None = None,
    started_after: datetime | None = None,
    started_before: datetime | None = None,
    conversation_id: str = "",
) -> pb.ListRunsRequest:
    """The parameters behind the page size are those of `RunFilters`."""
    request = pb.ListRunsRequest(
        started_after=_moment("started_after", started_after),
        started_before=_moment("started_before", started_before),
        conversation_id=_text("conversation_id", conversation_id),
    )
    with _carried("page_size"):
        request.page_size = page_size
    if state is not None:
        with _carried("state"):
            request.state = run_pb2.RunState.Value(f"RUN_STATE_{state}")
    if outcome is not None:
        with _carried("outcome"):
            request.outcome = run_pb2.RunOutcome.Value(f"RUN_OUTCOME_{outcome}")
    return request


def watch_run_request(run_id: str, after_sequence: int) -> pb.WatchRunRequest:
    request = pb.WatchRunRequest(run_id=_text("run_id", run_id))
    with _carried("after_sequence"):
        request.after_sequence = after_sequence
    return request


def cancel_run_request(run_id: str) -> pb.CancelRunRequest:
    return pb.CancelRunRequest(run_id=_text("run_id", run_id))


def register_request(card: JsonObject, address: str, ttl_seconds: float | None) -> registry_service_pb2.RegisterRequest:
    request = registry_service_pb2.RegisterRequest(card=card_message(card), address=_text("address", address))
    if ttl_seconds is not None:
        with _carried("ttl_seconds"):
            request.ttl.FromNanoseconds(round(ttl_seconds * 1e9))
    return request


def watch_agents_request(report_seconds: float | None) -> registry_service_pb2.WatchAgentsRequest:
    request = registry_service_pb2.WatchAgentsRequest()
    if report_seconds is not None:
        with _carried("report_seconds"):
            request.report_interval.FromNanoseconds(round(report_seconds * 1e9))
    return request


def _text(field: str, value: str) -> str:
    """Bytes of a command line that are no UTF-8 arrive as halves of surrogate pairs, which no message carries."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise errors.RequestInvalid.of(field, "must be Unicode text") from None
    return value


def _turns(history: Iterable[Turn]) -> list[pb.Turn]:
    return [
        pb.Turn(role=_ROLES[turn.role], text=_text(f"history[{index}].text", turn.text))
        for index, turn in enumerate(history)
    ]


def _skills(allowed_skills: Iterable[str]) -> list[str]:
    return [_text(f"allowed_skills[{index}]", skill) for index, skill in enumerate(allowed_skills)]


def _format(*, raw: bool) -> pb.AnswerFormat.ValueType:
    return pb.ANSWER_FORMAT_RAW if raw else pb.ANSWER_FORMAT_TEXT


def _effect(effect: Effect | None) -> card_pb2.Effect.ValueType:
    return card_pb2.EFFECT_UNSPECIFIED if effect is None else effect_to_message(effect)


def _cache_mode(mode: CacheMode | None) -> pb.CacheMode.ValueType:
    return pb.CACHE_MODE_UNSPECIFIED if mode is None else pb.CacheMode.Value(f"CACHE_MODE_{mode}")


def _budget(budget: Budget | None) -> pb.Budget | None:
    if budget is None:
        return None
    message = pb.Budget()
    for field in ("llm_calls", "tokens", "cost_usd", "agent_calls"):
        value = getattr(budget, field)
        if value is not None:
            with _carried(f"budget.{field}"):
                setattr(message, field, value)
    return message


def _moment(field: str, value: datetime | None) -> Timestamp | None:
    if value is None:
        return None
    if value.tzinfo is None:
        raise errors.RequestInvalid.of(field, "must have a time zone")
    message = Timestamp()
    message.FromDatetime(value)
    return message


@contextmanager
def _carried(field: str) -> Iterator[None]:
    """Protobuf refuses what the type of a field cannot hold, as a negative number, in words of its own."""
    try:
        yield
    except (ValueError, OverflowError) as error:  # OverflowError: infinity
        raise errors.RequestInvalid.of(field, f"cannot be sent: {error}") from None
