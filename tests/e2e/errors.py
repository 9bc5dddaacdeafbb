"""Reads what a failed call said."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
import grpc.aio
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status


@dataclass(frozen=True)
class Refusal:
    """A status with its details."""

    code: grpc.StatusCode
    message: str
    reason: str
    fields: dict[str, str]
    """Violation reason by field."""
    descriptions: dict[str, str]
    limits: dict[str, str]
    """What was met, by the limit: QuotaFailure."""
    retry_seconds: float | None
    metadata: dict[str, str]


def refusal_of(error: grpc.aio.AioRpcError) -> Refusal:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # an AioRpcError has what it reads
    assert isinstance(status, status_pb2.Status), error.details()
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    quota = error_details_pb2.QuotaFailure()
    has_retry = False
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad)
        detail.Unpack(quota)
        has_retry = detail.Unpack(retry) or has_retry
    assert info.domain == "agentmesh"
    return Refusal(
        code=error.code(),
        message=status.message,
        reason=info.reason,
        fields={violation.field: violation.reason for violation in bad.field_violations},
        descriptions={violation.field: violation.description for violation in bad.field_violations},
        limits={violation.subject: violation.description for violation in quota.violations},
        retry_seconds=retry.retry_delay.ToNanoseconds() / 1e9 if has_retry else None,
        metadata=dict(info.metadata),
    )
