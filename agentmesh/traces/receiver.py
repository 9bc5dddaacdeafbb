"""Takes spans over OTLP/gRPC (https://opentelemetry.io/docs/specs/otlp/#otlpgrpc) into a store.

Metrics and logs are taken as well and dropped: a process that exports them to the same endpoint should have nothing to
complain about.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from agentmesh.listen import CannotListen, ListenAddress
from agentmesh.traces.otlp import spans_of
from agentmesh.traces.store import TraceStore
from agentmesh.transport.options import MAX_MESSAGE_BYTES, server_options

_COLLECTOR: Final = "opentelemetry.proto.collector"
_NOTHING: Final = b""
"""An empty message: all was taken."""

_Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"


class OtlpReceiver:
    """A gRPC server for exporters on this machine; nothing else may reach it, for it asks nobody who they are.

    Args:
        store: Takes the spans; in the same thread.
        listen: A loopback address; port 0 takes a free one.

    Raises:
        CannotListen: It is none.
    """

    def __init__(self, store: TraceStore, listen: str = "127.0.0.1:0") -> None:
        self._store = store
        self._listen = ListenAddress.parse(listen)
        self._listen.check_plaintext(allowed=False)
        self._server: grpc.aio.Server | None = None
        self._address = str(self._listen)

    @property
    def address(self) -> str:
        """Where it listens, with the real port once it has started."""
        return self._address

    async def start(self) -> None:
        """Bind and take spans.

        Raises:
            CannotListen: The address is taken.
        """
        server = grpc.aio.server(options=server_options(MAX_MESSAGE_BYTES))
        server.add_generic_rpc_handlers(
            (
                _service("trace.v1.TraceService", self._take_spans),
                _service("metrics.v1.MetricsService", _drop),
                _service("logs.v1.LogsService", _drop),
            )
        )
        try:
            port = server.add_insecure_port(str(self._listen))
        except RuntimeError:
            raise CannotListen(f"cannot listen on {self._listen}: {self._listen.why_not()}") from None
        self._address = self._listen.with_port(port)
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Close, without waiting for requests in flight."""
        if self._server is not None:
            await self._server.stop(None)

    async def _take_spans(self, request: bytes, context: _Context) -> bytes:
        try:
            # Parsed here, where a request that does not parse has a status, and not a traceback in the log.
            message = trace_service_pb2.ExportTraceServiceRequest.FromString(request)
        except DecodeError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the request is no ExportTraceServiceRequest")
        refused = 0
        for received in spans_of(message.resource_spans):
            if received.span is None:
                refused += 1
            else:
                self._store.add(received.span, received.size_bytes)
        if not refused:
            return _NOTHING
        self._store.refuse(refused)
        answer = trace_service_pb2.ExportTraceServiceResponse()
        answer.partial_success.rejected_spans = refused
        answer.partial_success.error_message = "ids are 16 bytes for traces and 8 for spans, and not all zero"
        return answer.SerializeToString()


async def _drop(_request: bytes, _context: _Context) -> bytes:
    return _NOTHING


def _service(name: str, export: Callable[[bytes, _Context], Awaitable[bytes]]) -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(
        f"{_COLLECTOR}.{name}", {"Export": grpc.unary_unary_rpc_method_handler(export)}
    )
