"""Rpcs as telemetry sees them, on both sides: a span each, its duration in a histogram, the context that links them.

By the conventions for RPC (https://opentelemetry.io/docs/specs/semconv/rpc/). The interceptors call this; they are
where every rpc passes once. Those of gRPC itself, health and reflection, have neither span nor duration. A heartbeat
has no span, because each would be a trace of its own, every few seconds, that says nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, TypeAlias

from opentelemetry import context as otel_context
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import Histogram
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind
from opentelemetry.util.types import AttributeValue

from agentmesh.errors import Code
from agentmesh.telemetry import names
from agentmesh.telemetry.propagation import get_global_textmap
from agentmesh.telemetry.spans import TRACER, failed

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Bounds of the buckets of durations: from a hop to the longest Ask."""

_UNTRACED: Final = frozenset({"agentmesh.v1.Registry/Heartbeat"})
_OF_GRPC: Final = "grpc."
_SERVERS_FAULT: Final = frozenset(
    {Code.UNKNOWN, Code.DEADLINE_EXCEEDED, Code.UNIMPLEMENTED, Code.INTERNAL, Code.UNAVAILABLE, Code.DATA_LOSS}
)
"""Codes that are an error of the server; with the others it did what it is there for."""

_METER: Final = metrics.get_meter(names.SCOPE)
_SERVER_SECONDS: Final = _METER.create_histogram(
    names.RPC_SERVER_DURATION,
    unit="s",
    description="Duration of rpcs as the server sees them.",
    explicit_bucket_boundaries_advisory=SECONDS,
)
_CLIENT_SECONDS: Final = _METER.create_histogram(
    names.RPC_CLIENT_DURATION,
    unit="s",
    description="Duration of rpcs as the client sees them, each attempt.",
    explicit_bucket_boundaries_advisory=SECONDS,
)

Pairs: TypeAlias = Iterable[tuple[str, str | bytes]]


@dataclass(slots=True)
class Cancelling:
    """Whether calls that are cancelled here are cancelled on purpose, which is no error of anybody."""

    on_purpose: bool = False


cancelling: ContextVar[Cancelling | None] = ContextVar("agentmesh_cancelling", default=None)
"""What holds for the calls of this task and of those that it starts."""

_attributes: ContextVar[Mapping[str, AttributeValue]] = ContextVar("agentmesh_rpc_attributes")


@contextmanager
def rpc_attributes(attributes: Mapping[str, AttributeValue]) -> Iterator[None]:
    """Add these to the spans of the rpcs that are called in the block."""
    token = _attributes.set(attributes)
    try:
        yield
    finally:
        _attributes.reset(token)


class ServedCall:
    """An rpc that is being served: its span is the current one from now until `end`, which the same task calls.

    Args:
        method: As `agentmesh.v1.Agent/Execute`.
        system: What it came in by, as the conventions name it: `grpc`, `connectrpc`.
        metadata: What the caller sent, with the context of its trace.
    """

    def __init__(self, method: str, system: str, metadata: Pairs | None) -> None:
        self._method = method
        # From nothing but the metadata: a span that the server happened to be started in is not what calls it.
        context = get_global_textmap().extract(tuple(metadata or ()), Context(), _METADATA)
        self._span = _started(method, SpanKind.SERVER, {names.RPC_SYSTEM: system}, context)
        self._token = otel_context.attach(trace.set_span_in_context(self._span, context))
        self._began = time.perf_counter()

    def end(self, code: Code, error_type: str = "") -> None:
        """Note how it ended.

        Args:
            code: What the caller got.
            error_type: Why, for what is an error of the server; the code by default.
        """
        seconds = time.perf_counter() - self._began
        self._span.set_attribute(names.RPC_STATUS_CODE, code.name)
        if code in _SERVERS_FAULT:
            failed(self._span, error_type or code.name)
        _record(_SERVER_SECONDS, seconds, self._method, code)
        otel_context.detach(self._token)
        self._span.end()


class SentCall:
    """An rpc that is sent, as a child of the current span.

    Args:
        method: As `agentmesh.v1.Agent/Execute`.
        server: Where it goes: attributes of the address.
    """

    def __init__(self, method: str, server: Mapping[str, AttributeValue]) -> None:
        self._method = method
        self._cancelling = cancelling.get()
        attributes = {names.RPC_SYSTEM: "grpc", **server, **_attributes.get({})}
        self._span = _started(method, SpanKind.CLIENT, attributes, otel_context.get_current())
        self._began = time.perf_counter()
        self._ended = False

    def metadata(self) -> dict[str, str]:
        """What to send, so that the other side goes on with this trace."""
        carrier: dict[str, str] = {}
        get_global_textmap().inject(carrier, trace.set_span_in_context(self._span))
        return carrier

    def end(self, code: Code, error_type: str = "") -> None:
        """Note how it ended; the first time counts.

        Args:
            code: What came back.
            error_type: Why, if it is an error; the code by default.
        """
        if self._ended:
            return
        self._ended = True
        seconds = time.perf_counter() - self._began
        self._span.set_attribute(names.RPC_STATUS_CODE, code.name)
        on_purpose = code is Code.CANCELLED and self._cancelling is not None and self._cancelling.on_purpose
        if code is not Code.OK and not on_purpose:
            failed(self._span, error_type or code.name)
        # In the context of the span, so that an exemplar leads to it.
        _record(_CLIENT_SECONDS, seconds, self._method, code, trace.set_span_in_context(self._span))
        self._span.end()

    def end_on_purpose(self) -> None:
        """Note that nobody wants the rest of it, which is no error."""
        if not self._ended:
            self._cancelling = Cancelling(on_purpose=True)
            self.end(Code.CANCELLED)


def _started(method: str, kind: SpanKind, attributes: Mapping[str, AttributeValue], context: Context) -> Span:
    if method in _UNTRACED or method.startswith(_OF_GRPC):
        return INVALID_SPAN
    return TRACER.start_span(method, context, kind, {names.RPC_METHOD: method, **attributes})


def _record(histogram: Histogram, seconds: float, method: str, code: Code, context: Context | None = None) -> None:
    if method.startswith(_OF_GRPC):
        return
    attributes: dict[str, AttributeValue] = {names.RPC_METHOD: method, names.RPC_STATUS_CODE: code.name}
    if code is not Code.OK:
        attributes[names.ERROR_TYPE] = code.name
    histogram.record(seconds, attributes, context)


def server_attributes(address: str) -> Mapping[str, AttributeValue]:
    """Return what the conventions say of the address that a channel is opened to; of several, the list as it is."""
    target = address.removeprefix("dns:///").removeprefix("ipv4:").removeprefix("ipv6:")
    host, colon, port = target.rpartition(":")
    if address.startswith("unix:") or "," in target or not colon or not port.isdecimal():
        return {names.SERVER_ADDRESS: target}
    return {names.SERVER_ADDRESS: host.strip("[]"), names.SERVER_PORT: int(port)}


class _Metadata(Getter[Sequence[tuple[str, str | bytes]]]):
    """Reads the pairs of a call."""

    def get(self, carrier: Sequence[tuple[str, str | bytes]], key: str) -> list[str] | None:
        return [value for name, value in carrier if name == key and isinstance(value, str)] or None

    def keys(self, carrier: Sequence[tuple[str, str | bytes]]) -> list[str]:
        return [name for name, _ in carrier]


_METADATA: Final = _Metadata()
