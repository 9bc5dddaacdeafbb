"""A google.rpc.Status with its details, small enough for the trailers of a response.

Trailers beyond about 8 kB are lost with the status that they carry. They hold it in base64, and its message a second
time with every byte that is not printable ASCII written as three. So the size that is limited is that one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from google.protobuf import duration_pb2, message
from google.rpc import error_details_pb2, status_pb2

from agentmesh.errors import Code, Reason, Violation, ViolationReason

STATUS_KEY: Final = "grpc-status-details-bin"
"""Trailing metadata that carries a serialized google.rpc.Status."""
MAX_TRAILER_BYTES: Final = 7000
"""Status and message together as they are in the trailers; 8 kB is where clients begin to refuse them."""

_MAX_MESSAGE_BYTES: Final = 768
_MAX_PATH_BYTES: Final = 256
_MAX_DESCRIPTION_BYTES: Final = 512
_MAX_METADATA_ENTRIES: Final = 8
_MAX_KEY_BYTES: Final = 64
_MAX_VALUE_BYTES: Final = 128
_ANY_BYTES: Final = 64  # what wraps a detail: its type URL, tags, lengths
_ENTRY_BYTES: Final = 3  # tag and length of a violation
_AND_MORE_BYTES: Final = 64  # the violation that says "and N more"
_MAX_RETRY_SECONDS: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Received:
    """The details of a status; what it does not have is empty."""

    reason: str
    domain: str
    metadata: Mapping[str, str]
    retry_after_seconds: float | None
    violations: tuple[Violation, ...]


def pack(
    *,
    code: Code,
    message: str,
    reason: Reason,
    domain: str,
    metadata: Mapping[str, str],
    retry_after_seconds: float | None,
    violations: Sequence[Violation],
) -> status_pb2.Status:
    """Make the status; over-long texts are cut, and of the violations as many are there as fit.

    If not all fit, a last one without a path says "and N more". They are in a QuotaFailure where the code is
    RESOURCE_EXHAUSTED, which leaves out their reason, and else in a BadRequest.
    """
    status = status_pb2.Status(code=code, message=cut(message, _MAX_MESSAGE_BYTES))
    info = error_details_pb2.ErrorInfo(reason=reason, domain=domain)
    for key, value in list(metadata.items())[:_MAX_METADATA_ENTRIES]:
        info.metadata[cut(key, _MAX_KEY_BYTES)] = cut(value, _MAX_VALUE_BYTES)
    status.details.add().Pack(info)
    if retry_after_seconds is not None:
        seconds = 0.0 if math.isnan(retry_after_seconds) else retry_after_seconds
        nanos = round(min(max(seconds, 0.0), _MAX_RETRY_SECONDS) * 1e9)
        delay = duration_pb2.Duration(seconds=nanos // 10**9, nanos=nanos % 10**9)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    if violations:
        left = MAX_TRAILER_BYTES - trailer_bytes(status)
        if code is Code.RESOURCE_EXHAUSTED:
            quota = error_details_pb2.QuotaFailure(violations=_fitting(violations, left, _quota_violation))
            status.details.add().Pack(quota)
        else:
            bad_request = error_details_pb2.BadRequest(field_violations=_fitting(violations, left, _field_violation))
            status.details.add().Pack(bad_request)
    return status


def trailer_bytes(status: status_pb2.Status) -> int:
    """Bytes that the status and its message take in the trailers of a response."""
    escaped = sum(1 if 0x20 <= byte <= 0x7E and byte != ord("%") else 3 for byte in status.message.encode())
    return _base64_bytes(status.ByteSize()) + escaped


def parse_status(serialized: bytes) -> status_pb2.Status | None:
    """Parse what a peer sent; None if it is no status."""
    try:
        return status_pb2.Status.FromString(serialized)
    except message.DecodeError:
        return None


def unpack(status: status_pb2.Status) -> Received:
    """Read the details that we know; others, and those that do not parse, are left out."""
    info = _detail(status, error_details_pb2.ErrorInfo)
    retry = _detail(status, error_details_pb2.RetryInfo)
    bad_request = _detail(status, error_details_pb2.BadRequest)
    quota = _detail(status, error_details_pb2.QuotaFailure)
    return Received(
        reason=info.reason if info else "",
        domain=info.domain if info else "",
        metadata=dict(info.metadata) if info else {},
        retry_after_seconds=retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9 if retry else None,
        violations=(
            *(_invalid(entry) for entry in (bad_request.field_violations if bad_request else ())),
            *(_over_limit(entry) for entry in (quota.violations if quota else ())),
        ),
    )


def cut(text: str, max_bytes: int) -> str:
    """Return the text as UTF-8 can carry it, in at most `max_bytes` bytes; `...` shows that it was longer."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= max_bytes:
        return encoded.decode()
    return encoded[: max_bytes - 3].decode(errors="ignore") + "..."


_Detail = TypeVar("_Detail", bound=message.Message)


def _detail(status: status_pb2.Status, kind: type[_Detail]) -> _Detail | None:
    for detail in status.details:
        if detail.TypeName() == kind.DESCRIPTOR.full_name:
            try:
                return kind.FromString(detail.value)
            except message.DecodeError:
                return None
    return None


def _invalid(entry: error_details_pb2.BadRequest.FieldViolation) -> Violation:
    # A reason that only a newer peer knows is shown as the general one: the text says what is wrong.
    reason = ViolationReason(entry.reason) if entry.reason in set(ViolationReason) else ViolationReason.RULE
    return Violation(entry.field, reason, entry.description)


def _over_limit(entry: error_details_pb2.QuotaFailure.Violation) -> Violation:
    return Violation(entry.subject, ViolationReason.LIMIT, entry.description)


_Entry = TypeVar("_Entry", error_details_pb2.BadRequest.FieldViolation, error_details_pb2.QuotaFailure.Violation)


def _fitting(
    violations: Sequence[Violation], trailer_bytes_left: int, entry_of: Callable[[Violation], _Entry]
) -> Iterator[_Entry]:
    left = trailer_bytes_left * 3 // 4 - _ANY_BYTES
    for position, violation in enumerate(violations):
        entry = entry_of(violation)
        left -= entry.ByteSize() + _ENTRY_BYTES
        is_last = position == len(violations) - 1
        if left < (0 if is_last else _AND_MORE_BYTES):
            yield entry_of(Violation("", violation.reason, f"and {len(violations) - position} more"))
            return
        yield entry


def _field_violation(violation: Violation) -> error_details_pb2.BadRequest.FieldViolation:
    return error_details_pb2.BadRequest.FieldViolation(
        field=cut(violation.path, _MAX_PATH_BYTES),
        description=cut(violation.message, _MAX_DESCRIPTION_BYTES),
        reason=violation.reason,
    )


def _quota_violation(violation: Violation) -> error_details_pb2.QuotaFailure.Violation:
    return error_details_pb2.QuotaFailure.Violation(
        subject=cut(violation.path, _MAX_PATH_BYTES), description=cut(violation.message, _MAX_DESCRIPTION_BYTES)
    )


def _base64_bytes(size: int) -> int:
    return (size + 2) // 3 * 4
