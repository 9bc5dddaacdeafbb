"""A span for every call of the client for threads, and the trace that goes on with it; as the asyncio half has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, cast

import grpc

from agentmesh.client.rpc_errors import from_threaded
from agentmesh.errors import Code
from agentmesh.reasons import code_of, reason_of
from agentmesh.telemetry.rpc import SentCall, server_attributes

_Call: TypeAlias = Any
"""A `grpc.Call` and `grpc.Future` in one, which the stubs for types have no name for."""
_Continuation: TypeAlias = Callable[[grpc.ClientCallDetails, Any], _Call]


class SyncClientInterceptor(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
):
    """Unary calls, sent as futures, and server-streaming ones.

    Args:
        peer: What texts of errors call the other side.
        address: What the channel is opened to.
    """

    def __init__(self, peer: str, address: str) -> None:
        self._peer = peer
        self._server = server_attributes(address)

    def intercept_unary_unary(
        self, continuation: _Continuation, details: grpc.ClientCallDetails, request: object
    ) -> _Call:
        call, sent = self._sent(continuation, details, request)
        call.add_done_callback(lambda ended: self._note_end(sent, ended))
        return call

    def intercept_unary_stream(
        self, continuation: _Continuation, details: grpc.ClientCallDetails, request: object
    ) -> _Call:
        call, sent = self._sent(continuation, details, request)
        call.add_done_callback(lambda ended: self._note_end_of_stream(sent, ended))
        return call

    def _sent(
        self, continuation: _Continuation, details: grpc.ClientCallDetails, request: object
    ) -> tuple[_Call, SentCall]:
        sent = SentCall(details.method.removeprefix("/"), self._server)
        try:
            metadata = (*(details.metadata or ()), *sent.metadata().items())
            return continuation(_Details(metadata), request), sent
        except BaseException as error:  # the channel was closed before
            sent.end(Code.INTERNAL, type(error).__qualname__)
            raise

    def _note_end_of_stream(self, sent: SentCall, ended: _Call) -> None:
        if ended.code() is grpc.StatusCode.CANCELLED:  # whoever read it has enough
            sent.end_on_purpose()
        else:
            self._note_end(sent, ended)

    def _note_end(self, sent: SentCall, ended: _Call) -> None:
        if ended.code() is grpc.StatusCode.OK:
            sent.end(Code.OK)
            return
        error = from_threaded(cast("grpc.RpcError", ended), self._peer)
        sent.end(code_of(error), str(reason_of(error)))


class _Details(grpc.ClientCallDetails):
    """What is changed; of the rest gRPC takes what the call itself has."""

    def __init__(self, metadata: tuple[tuple[str, str | bytes], ...]) -> None:
        self.metadata = metadata
