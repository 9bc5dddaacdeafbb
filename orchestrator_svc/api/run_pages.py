"""Lists of runs, page by page.

A page token is the place of the last run that was shown, so runs that begin or are forgotten meanwhile move nothing. It
is bound to what was asked for: with other filters it would silently leave runs out.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from agentmesh.errors import RequestInvalid, Violation, ViolationReason
from agentmesh.jsonvalues import digest
from agentmesh.v1 import orchestrator_service_pb2, run_pb2
from orchestrator_svc.api.responses import usage_message
from orchestrator_svc.api.times import timestamp
from orchestrator_svc.app.ports.run_store import RunFilter, RunPosition, RunSummary
from orchestrator_svc.app.run import RunState
from orchestrator_svc.core.verdict import RunOutcome

DEFAULT_PAGE_SIZE: Final = 50

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END: Final = datetime.max.replace(tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_TOKEN: Final = struct.Struct(">B8sq16s")
"""Version; the beginning of the digest of the filters; microseconds since 1970; run id.

A multiple of three bytes, which base64 writes without padding.
"""
_VERSION: Final = 1


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
    before = _position_of(request.page_token, wanted) if request.page_token else None
    size = request.page_size or DEFAULT_PAGE_SIZE
    found = await runs.list(wanted, before=before, limit=size + 1)
    page = found[:size]
    return orchestrator_service_pb2.ListRunsResponse(
        runs=map(_summary_message, page),
        next_page_token=_token_of(page[-1].position, wanted) if len(found) > size else "",
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
        raise _invalid(field, "is no time of the years 1 to 9999") from None
    return moment + _MICROSECOND if bound.nanos % 1000 and moment < _END else moment


def _token_of(position: RunPosition, wanted: RunFilter) -> str:
    microseconds = (position.started_at - _EPOCH) // _MICROSECOND
    token = _TOKEN.pack(_VERSION, _fingerprint(wanted), microseconds, bytes.fromhex(position.run_id))
    return base64.urlsafe_b64encode(token).decode()


def _position_of(token: str, wanted: RunFilter) -> RunPosition:
    unpacked = _unpacked(token)
    if unpacked is None:
        raise _invalid("page_token", "is not the token of a page; leave it out to begin with the first page")
    fingerprint, position = unpacked
    if fingerprint != _fingerprint(wanted):
        raise _invalid("page_token", "belongs to a list with other filters; leave it out to begin with the first page")
    return position


def _unpacked(token: str) -> tuple[bytes, RunPosition] | None:
    try:
        packed = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
        version, fingerprint, microseconds, run_id = _TOKEN.unpack(packed)
        position = RunPosition(_EPOCH + timedelta(microseconds=microseconds), run_id.hex())
    except (binascii.Error, struct.error, OverflowError):
        return None
    return (fingerprint, position) if version == _VERSION else None


def _fingerprint(wanted: RunFilter) -> bytes:
    bounds = [moment.isoformat() if moment else None for moment in (wanted.started_after, wanted.started_before)]
    whole = digest([wanted.caller, wanted.state, wanted.outcome, wanted.conversation_id, *bounds])
    return bytes.fromhex(whole)[:8]


def _invalid(field: str, message: str) -> RequestInvalid:
    return RequestInvalid(f"{field} {message}", violations=[Violation(field, ViolationReason.RULE, message)])


def _summary_message(run: RunSummary) -> run_pb2.RunSummary:
    message = run_pb2.RunSummary(
        run_id=run.position.run_id,
        query=run.query,
        state=run_pb2.RunState.Value(f"RUN_STATE_{run.state}"),
        conversation_id=run.conversation_id,
        started_at=timestamp(run.position.started_at),
        usage=usage_message(run.ledger),
    )
    if run.outcome is not None:
        message.outcome = run_pb2.RunOutcome.Value(f"RUN_OUTCOME_{run.outcome}")
    if run.ended_at is not None:
        message.ended_at.CopyFrom(timestamp(run.ended_at))
    return message
