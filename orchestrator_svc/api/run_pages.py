"""Lists of runs, page by page; a page token is the start and the id of the last run that was shown."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from agentmesh.errors import RequestInvalid
from agentmesh.v1 import orchestrator_service_pb2, run_pb2
from orchestrator_svc.api.enum_values import run_outcome_value, run_state_value
from orchestrator_svc.api.page_tokens import PageTokens, not_a_token
from orchestrator_svc.api.responses import usage_message
from orchestrator_svc.api.times import timestamp
from orchestrator_svc.app.ports.run_store import RunFilter, RunPosition, RunSummary
from orchestrator_svc.app.run import RunState
from orchestrator_svc.core.verdict import RunOutcome

DEFAULT_PAGE_SIZE: Final = 50

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END: Final = datetime.max.replace(tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_PLACE: Final = struct.Struct(">q16s")
"""Microseconds since 1970; run id."""


class ListsRuns(Protocol):
    """What `RunStore` and `Runs` have in common."""

    async def list(self, wanted: RunFilter, *, before: RunPosition | None, limit: int) -> Sequence[RunSummary]:
        """As `RunStore.list`."""
        ...


async def list_runs(
    runs: ListsRuns, request: orchestrator_service_pb2.ListRunsRequest, caller: str
) -> orchestrator_service_pb2.ListRunsResponse:
    """One page of the caller's runs, newest first.

    Raises:
        RequestInvalid: The page token is not one of ours, or of a list with other filters; a time is none.
    """
    wanted = _filter_of(request, caller)
    tokens = _tokens(wanted)
    before = _position(tokens.position_of(request.page_token)) if request.page_token else None
    size = request.page_size or DEFAULT_PAGE_SIZE
    found = await runs.list(wanted, before=before, limit=size + 1)
    page = found[:size]
    return orchestrator_service_pb2.ListRunsResponse(
        runs=map(_summary_message, page),
        next_page_token=tokens.token_of(_place(page[-1].position)) if len(found) > size else "",
    )


def _filter_of(request: orchestrator_service_pb2.ListRunsRequest, caller: str) -> RunFilter:
    state, outcome = run_pb2.RunState.Name(request.state), run_pb2.RunOutcome.Name(request.outcome)
    return RunFilter(
        caller=caller,
        state=RunState(state.removeprefix("RUN_STATE_")) if request.state else None,
        outcome=RunOutcome(outcome.removeprefix("RUN_OUTCOME_")) if request.outcome else None,
        conversation_id=request.conversation_id or None,
        started_after=_moment("started_after", request),
        started_before=_moment("started_before", request),
    )


def _moment(
    field: Literal["started_after", "started_before"], request: orchestrator_service_pb2.ListRunsRequest
) -> datetime | None:
    """The first microsecond that is not before the bound: runs start at whole ones, so it bounds the same runs."""
    if not request.HasField(field):
        return None
    bound: Timestamp = getattr(request, field)
    try:
        moment = bound.ToDatetime(tzinfo=UTC)
    except ValueError:
        raise RequestInvalid.of(field, "is no time of the years 1 to 9999") from None
    return moment + _MICROSECOND if bound.nanos % 1000 and moment < _END else moment


def _place(position: RunPosition) -> bytes:
    return _PLACE.pack((position.started_at - _EPOCH) // _MICROSECOND, bytes.fromhex(position.run_id))


def _position(place: bytes) -> RunPosition:
    try:
        microseconds, run_id = _PLACE.unpack(place)
        return RunPosition(_EPOCH + timedelta(microseconds=microseconds), run_id.hex())
    except (struct.error, OverflowError):
        raise not_a_token() from None


def _tokens(wanted: RunFilter) -> PageTokens:
    bounds = [moment.isoformat() if moment else None for moment in (wanted.started_after, wanted.started_before)]
    return PageTokens("runs", [wanted.caller, wanted.state, wanted.outcome, wanted.conversation_id, *bounds])


def _summary_message(run: RunSummary) -> run_pb2.RunSummary:
    message = run_pb2.RunSummary(
        run_id=run.position.run_id,
        query=run.query,
        state=run_state_value(run.state),
        conversation_id=run.conversation_id,
        started_at=timestamp(run.position.started_at),
        usage=usage_message(run.ledger),
    )
    if run.outcome is not None:
        message.outcome = run_outcome_value(run.outcome)
    if run.ended_at is not None:
        message.ended_at.CopyFrom(timestamp(run.ended_at))
    return message
