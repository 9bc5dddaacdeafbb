"""The rpcs of services by their path, each as the gRPC server serves it, for every form of messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, cast

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import MethodDescriptor

from agentmesh.jsonvalues import OFF_LOOP_BYTES
from agentmesh.transport import Service
from agentmesh.transport.calls import Call
from agentmesh.transport.server_interceptor import Handler, WireProtocol
from orchestrator_svc.api.http.codecs import CODECS

Serve = Callable[[bytes, Call], Awaitable[bytes | None]]
"""Takes a request, gives the answer if it is not a stream; raises AbortError when the call has failed."""
Guard = Callable[[str, Handler, WireProtocol], Handler]

_HTTP: Final = WireProtocol("connectrpc", ends_calls=False, off_loop_bytes=OFF_LOOP_BYTES)


@dataclass(frozen=True, slots=True)
class Rpc:
    """One rpc."""

    service: str
    name: str
    streams: bool
    """Whether it answers with a stream."""
    serve: Mapping[str, Serve]
    """By the name of the codec."""

    @property
    def path(self) -> str:
        """As `/agentmesh.v1.Orchestrator/Ask`."""
        return f"/{self.service}/{self.name}"


def rpcs_of(services: Sequence[Service], guard: Guard) -> Mapping[str, Rpc]:
    """Return every rpc of the services by its path.

    Args:
        services: As the gRPC server has them.
        guard: `MeshServer.guard` of that server.
    """
    rpcs = (
        _rpc(service, method, guard)
        for service in services
        for method in descriptor_pool.Default().FindServiceByName(service.name).methods
    )
    return {rpc.path: rpc for rpc in rpcs}


def _rpc(service: Service, method: MethodDescriptor, guard: Guard) -> Rpc:
    path = f"/{service.name}/{method.name}"
    behavior = getattr(service.servicer, method.name)
    request = message_factory.GetMessageClass(method.input_type)
    made = grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
    serve = {
        codec.name: _serving(guard(path, made(behavior, partial(codec.read, request), codec.write), _HTTP))
        for codec in CODECS.values()
    }
    return Rpc(service.name, method.name, method.server_streaming, serve)


def _serving(handler: Handler) -> Serve:
    return cast("Serve", handler.unary_stream if handler.response_streaming else handler.unary_unary)
