"""The two kinds of rpc, to say of both at once what their spans are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import TypeAlias

from agentmesh.telemetry import names
from agentmesh.transport import reading
from agentmesh.v1 import agent_service_pb2 as pb
from agentmesh.v1 import agent_service_pb2_grpc as pb_grpc
from tests.telemetry.recording import Spans
from tests.telemetry.span_tree import attributes_of, context_of
from tests.transport.support import Context, Execute, Messages, Served, Stream, call, progress, served

Metadata: TypeAlias = tuple[tuple[str, str], ...]
Work = Callable[[Context], Awaitable[None]]


class Way(StrEnum):
    """A kind of rpc: its method."""

    UNARY = "agentmesh.v1.Agent/Execute"
    STREAM = "agentmesh.v1.Agent/ExecuteStream"

    def served(self, work: Work) -> AbstractAsyncContextManager[Served]:
        """Serve what does the work."""
        return served(*methods(work))

    async def call(
        self, stub: pb_grpc.AgentAsyncStub, *, seconds: float | None = None, metadata: Metadata = ()
    ) -> None:
        """Call it with this deadline, and read it to its end."""
        if self is Way.UNARY:
            await stub.Execute(call(), timeout=seconds, metadata=metadata)
            return
        request = pb.ExecuteStreamRequest(call=call())
        async with reading(stub.ExecuteStream(request, timeout=seconds, metadata=metadata)) as messages:
            async for _ in messages:
                pass


def methods(work: Work) -> tuple[Execute, Stream]:
    """What does the work, unary and streaming; a stream has sent a message before."""

    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        del request
        await work(context)
        return pb.ExecuteResponse()

    async def stream(request: pb.ExecuteStreamRequest, context: Context) -> Messages:
        del request
        yield progress()
        await work(context)
        yield pb.ExecuteStreamResponse(result=pb.ExecuteResponse())

    return execute, stream


async def ended(spans: Spans) -> dict[str, str]:
    """How the one rpc ended on its sides, by kind: its code, and ERROR with the reason where it is one.

    Says that the server's span is beneath the client's, where there are both.
    """
    await spans.all_ended()
    said = {}
    for span in spans.named("agentmesh.v1."):
        assert span.kind.name not in said, "one span a side"
        code, status = attributes_of(span)[names.RPC_STATUS_CODE], span.status
        failed = f" {status.status_code.name} {status.description}" if status.description else ""
        said[span.kind.name] = f"{code}{failed}"
    by_kind = {span.kind.name: span for span in spans.named("agentmesh.v1.")}
    if len(by_kind) == len(("CLIENT", "SERVER")):
        above, below = context_of(by_kind["CLIENT"]), by_kind["SERVER"]
        assert below.parent is not None
        assert (below.parent.span_id, below.parent.trace_id) == (above.span_id, above.trace_id)
        assert context_of(below).trace_id == above.trace_id
    return said


class Held:
    """Work that does not end by itself."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.left = asyncio.Event()

    async def __call__(self, context: Context) -> None:
        del context
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.left.set()
