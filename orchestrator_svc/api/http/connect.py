"""The Connect protocol by connectrpc: frames, content types, errors, callers that leave.

connectrpc gets bodies and gives bytes: requests are parsed where gRPC parses them, behind the door and inside the one
`try`, so that it has no text of its own to show. What it compresses would hold up the event loop: nothing is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeAlias

from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.request import RequestContext
from connectrpc.server import ConnectASGIApplication, Endpoint

from agentmesh.deadline import Deadline, current_deadline
from agentmesh.transport.options import MAX_MESSAGE_BYTES
from orchestrator_svc.api.http.calls import HttpCall
from orchestrator_svc.api.http.codecs import CODECS
from orchestrator_svc.api.http.rpcs import Rpc


@dataclass(frozen=True, slots=True)
class _Body:
    """A request, and the name of the codec that it is in."""

    content: bytes
    codec: str


_Context: TypeAlias = "RequestContext[_Body, bytes]"


class _BytesCodec:
    """Leaves bytes as they are, and remembers what they are."""

    def __init__(self, name: str) -> None:
        self._name = name

    def name(self) -> str:
        return self._name

    def encode(self, message: bytes) -> bytes:
        return message

    def decode(self, data: bytes | bytearray, message_class: type[_Body]) -> _Body:
        return message_class(bytes(data), self._name)


class ConnectApp(ConnectASGIApplication[Mapping[str, Rpc]]):
    """An ASGI application for the rpcs; the deadline of a call is in `current_deadline` before it is called."""

    def __init__(self, rpcs: Mapping[str, Rpc]) -> None:
        super().__init__(
            service=rpcs,
            endpoints=lambda service: {
                path: Endpoint.server_stream(_method(rpc), _stream(rpc))
                if rpc.streams
                else Endpoint.unary(_method(rpc), _unary(rpc))
                for path, rpc in service.items()
            },
            read_max_bytes=MAX_MESSAGE_BYTES,
            compressions=(),
            codecs=[_BytesCodec(name) for name in CODECS],
        )

    @property
    def path(self) -> str:
        """Empty: the paths of the endpoints are whole."""
        return ""


def _method(rpc: Rpc) -> MethodInfo[_Body, bytes]:
    return MethodInfo(
        name=rpc.name,
        service_name=rpc.service,
        input=_Body,
        output=bytes,
        stream_type=StreamType.SERVER_STREAM if rpc.streams else StreamType.UNARY,
        idempotency_level=IdempotencyLevel.UNKNOWN,
    )


def _unary(rpc: Rpc) -> Callable[[_Body, _Context], Awaitable[bytes]]:
    async def answer(body: _Body, context: _Context) -> bytes:
        return await _call(body, context).answer(rpc.serve[body.codec], body.content)

    return answer


def _stream(rpc: Rpc) -> Callable[[_Body, _Context], AsyncIterator[bytes]]:
    async def answers(body: _Body, context: _Context) -> AsyncIterator[bytes]:
        async with aclosing(_call(body, context).messages(rpc.serve[body.codec], body.content)) as messages:
            async for message in messages:
                yield message

    return answers


def _call(body: _Body, context: _Context) -> HttpCall:
    def name(key: str, value: str) -> None:
        context.response_headers[key] = value
        context.response_trailers[key] = value

    return HttpCall(
        tuple(context.request_headers.allitems()),
        f"http:{context.client_address or ''}",
        current_deadline.get() or Deadline.never(),
        name=name,
        write=CODECS[body.codec].write,
    )
