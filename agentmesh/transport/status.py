"""Errors on the wire, in both directions, by the table of `agentmesh.reasons`.

A status carries `ErrorInfo` (domain `agentmesh`, a reason of ErrorReason, metadata), and where they apply `RetryInfo`
and the violations: in `QuotaFailure` where the code is RESOURCE_EXHAUSTED, else in `BadRequest`. The client rebuilds
the exception that the server raised.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final, TypedDict

import grpc
from google.rpc import status_pb2

from agentmesh import errors
from agentmesh.errors import Code, MeshError, Violation
from agentmesh.reasons import TABLE, code_of, reason_of
from agentmesh.transport.details import STATUS_KEY, Received, pack, parse_status, unpack

DOMAIN: Final = "agentmesh"
"""`ErrorInfo.domain` of every reason in the table."""

_CLASSES: Final[Mapping[tuple[Code, str], type[MeshError]]] = MappingProxyType(
    {entry: kind for kind, entry in reversed(list(TABLE.items()))}
)
_CODES: Final = frozenset(Code) - {Code.OK}
_OVER_SIZE: Final = re.compile(
    r"(?:(CLIENT|SERVER): )?\b(sent|received) message larger than max \((\d+) vs\. (\d+)\)", re.IGNORECASE
)
_OF_THE_CORE: Final = re.compile(
    r"failed to connect to|connections to all backends failing|errors resolving |Failed to create XdsClient"
    r"|empty address list|Stream removed|Socket closed|Connection reset|Broken pipe|recvmsg|Transport closed|GOAWAY"
    r"|Cancelling all calls|keepalive|ping timeout|Received RST_STREAM|Endpoint closing",
    re.IGNORECASE,
)
"""How texts begin that the gRPC core makes of a connection: not a peer's words, and nothing for callers."""
_IN_OUR_WORDS: Final = (
    (re.compile("Connection refused"), "nothing listens there"),
    (re.compile("No such file"), "there is no such socket"),
    (re.compile("backend unhealthy"), "it says that it takes no calls"),
    (re.compile("timed out|timeout", re.IGNORECASE), "it does not answer"),
    (re.compile("errors resolving"), "there is no such name"),
    (
        re.compile("failed to connect|connections to all|XdsClient|address list", re.IGNORECASE),
        "no connection could be made",
    ),
)
_DROPPED: Final = "CANCELLED"
"""What the core says of a call that a server ended without a word: it stopped before it had begun to handle it."""
_REMOTE_REASON: Final = "remote_reason"
_REMOTE_DOMAIN: Final = "remote_domain"


class _Common(TypedDict):
    violations: Sequence[Violation]
    retry_after_seconds: float | None
    metadata: Mapping[str, str]


def to_status(error: MeshError) -> status_pb2.Status:
    """Return what is sent for the error; it always fits the trailers of a response, cut where it must be.

    A subclass of one of our classes is sent as the nearest class of the table.
    """
    metadata = dict(error.metadata)
    if isinstance(error, errors.RemoteError) and error.remote_reason:
        metadata[_REMOTE_REASON] = error.remote_reason
    return pack(
        code=code_of(error),
        message=error.message,
        reason=reason_of(error),
        domain=DOMAIN,
        metadata=metadata,
        retry_after_seconds=error.retry_after_seconds,
        violations=error.violations,
    )


def from_status(status: status_pb2.Status, peer: str) -> MeshError:
    """Rebuild the error that `to_status` was given, as far as it was sent.

    A status that is not of the table, because an agent in another language, a proxy or a newer version made it, gives
    `errors.RemoteError` with its code, reason and message; but DEADLINE_EXCEEDED and CANCELLED always give
    `errors.DeadlineExceeded` and `errors.RunCancelled`, and UNAVAILABLE without a reason `errors.Unreachable`, as does
    a call that the server dropped.

    Args:
        status: As received; OK, which is no error, counts as UNKNOWN.
        peer: What texts call the one that sent it.
    """
    code = Code(status.code) if status.code in _CODES else Code.UNKNOWN
    received = unpack(status)
    kind = _class_for(code, received.reason) if received.domain == DOMAIN else None
    if kind is not None:
        error = _rebuild(kind, status.message, code, received)
    else:
        error = _foreign(status.message, code, received, peer)
    error.may_quote = True  # whatever its class: another process wrote it
    return error


def from_rpc_error(error: grpc.aio.AioRpcError, peer: str) -> MeshError:
    """As `from_status`, for a call that failed; also for what the gRPC core answers by itself.

    A message over a limit of the core is `errors.ResultTooLarge` for a response, `errors.RequestInvalid` for a request.
    """
    code = error.code().value[0]
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_KEY and isinstance(value, bytes):
            status = parse_status(value)
            # What a proxy puts over the status of the server wins: details that tell of another code are not its.
            if status is not None and status.code == code:
                return from_status(status, peer)
    text = error.details() or ""
    too_large = _over_size(text, peer) if code == Code.RESOURCE_EXHAUSTED else None
    return too_large or from_status(status_pb2.Status(code=code, message=text), peer)


def is_of_the_core(error: grpc.aio.AioRpcError) -> bool:
    """Whether no peer has said this: the gRPC core found a connection broken, or could not make one."""
    details = any(key == STATUS_KEY for key, _ in error.trailing_metadata() or ())
    is_unavailable = error.code() is grpc.StatusCode.UNAVAILABLE
    return is_unavailable and not details and _OF_THE_CORE.match(error.details() or "") is not None


def _class_for(code: Code, reason: str) -> type[MeshError] | None:
    for kind in (errors.AllStepsFailed, errors.RemoteError):  # any code
        if reason == TABLE[kind][1]:
            return kind
    return _CLASSES.get((code, reason))


def _rebuild(kind: type[MeshError], message: str, code: Code, received: Received) -> MeshError:
    common = _Common(
        violations=received.violations,
        retry_after_seconds=received.retry_after_seconds,
        metadata=received.metadata,
    )
    if issubclass(kind, errors.AllStepsFailed):
        return kind(message, code=code, **common)
    if issubclass(kind, errors.RemoteError):
        metadata = dict(received.metadata)
        remote_reason = metadata.pop(_REMOTE_REASON, "")
        common["metadata"] = metadata
        return kind(message, code=code, remote_reason=remote_reason, **common)
    return kind(message, **common)


def _foreign(message: str, code: Code, received: Received, peer: str) -> MeshError:
    metadata = dict(received.metadata)
    if received.domain:
        metadata[_REMOTE_DOMAIN] = received.domain
    if received.reason:
        metadata[_REMOTE_REASON] = received.reason
    received = replace(received, metadata=metadata)
    if code is Code.DEADLINE_EXCEEDED:
        return _rebuild(errors.DeadlineExceeded, f"{peer} did not answer in time", code, received)
    if code is Code.CANCELLED and message == _DROPPED and not received.reason:
        return _rebuild(errors.Unreachable, f"{peer} is unavailable: it dropped the call", code, received)
    if code is Code.CANCELLED:
        return _rebuild(errors.RunCancelled, f"{peer} cancelled the call", code, received)
    if code is Code.UNAVAILABLE and not received.reason:
        return _rebuild(errors.Unreachable, f"{peer} is unavailable: {_why_unavailable(message)}", code, received)
    text = message or f"{peer} answered {code.name} without a message"
    return _rebuild(errors.RemoteError, text, code, received)


def _why_unavailable(message: str) -> str:
    if not _OF_THE_CORE.match(message):
        return message or "no reason given"
    return next((words for pattern, words in _IN_OUR_WORDS if pattern.search(message)), "the connection broke")


def _over_size(text: str, peer: str) -> MeshError | None:
    found = _OVER_SIZE.search(text)
    if found is None:
        return None
    side, verb, size, limit = found.groups()
    if (side, verb.lower()) in {("CLIENT", "received"), ("SERVER", "sent")}:
        return errors.ResultTooLarge(f"the response of {peer} has {size} bytes, at most {limit} are taken")
    return errors.RequestInvalid(f"the request to {peer} has {size} bytes, at most {limit} are taken")
