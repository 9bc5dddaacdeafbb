"""Streams that are left: early, between two messages, or without ever having been read. Each span ends, and once."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterable

import grpc
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from agentmesh import errors
from agentmesh.transport import reading
from agentmesh.v1 import agent_service_pb2 as pb
from tests.telemetry.recording import Spans
from tests.telemetry.rpc_ways import Held, Way, ended
from tests.transport.support import Context, call

REQUEST = pb.ExecuteStreamRequest(call=call())
LEFT = {"CLIENT": "CANCELLED", "SERVER": "CANCELLED"}


async def nothing(context: Context) -> None:
    del context


def by_kind(recorded: Iterable[ReadableSpan]) -> list[ReadableSpan]:
    return sorted(recorded, key=lambda span: span.kind.name)


async def test_a_reader_who_has_enough_leaves_on_purpose(spans: Spans) -> None:
    async with Way.STREAM.served(Held()) as agent:
        async with reading(agent.stub.ExecuteStream(REQUEST)) as messages:
            await anext(messages)
        assert await ended(spans) == LEFT


async def test_a_stream_that_is_dropped_unread_or_half_read_ends_with_its_channel(spans: Spans) -> None:
    """gRPC does not cancel it before: that is what `reading` is for."""
    held = Held()
    async with Way.STREAM.served(held) as agent:
        async for _ in agent.stub.ExecuteStream(REQUEST):
            break
        unread = agent.stub.ExecuteStream(REQUEST)
        await unread.initial_metadata()
        del unread
        gc.collect()
        await agent.channel.close()
        recorded = await spans.all_ended()
    assert [(span.kind.name, span.status.status_code) for span in by_kind(recorded)] == [
        ("CLIENT", StatusCode.UNSET),
        ("CLIENT", StatusCode.UNSET),
        ("SERVER", StatusCode.UNSET),
        ("SERVER", StatusCode.UNSET),
    ]


async def test_a_reader_who_is_cancelled_while_it_works_on_a_message(spans: Spans) -> None:
    has_one = asyncio.Event()

    async def read() -> None:
        async with reading(agent.stub.ExecuteStream(REQUEST)) as messages:
            async for _ in messages:
                has_one.set()
                await asyncio.Event().wait()

    async with Way.STREAM.served(Held()) as agent:
        task = asyncio.create_task(read())
        await has_one.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await ended(spans) == {"CLIENT": "CANCELLED ERROR CANCELLED", "SERVER": "CANCELLED"}


async def test_a_stream_that_is_cancelled_from_outside_while_it_is_read(spans: Spans) -> None:
    held = Held()
    async with Way.STREAM.served(held) as agent:
        stream = agent.stub.ExecuteStream(REQUEST)
        messages = aiter(stream)
        await anext(messages)
        await held.begun.wait()
        stream.cancel()
        with pytest.raises(asyncio.CancelledError):
            await anext(messages)
        assert await ended(spans) == LEFT


async def test_a_stream_that_has_failed_before_anybody_read_it_ends_when_it_is_dropped(spans: Spans) -> None:
    async with Way.STREAM.served(nothing) as agent:
        stream = agent.stub.ExecuteStream(pb.ExecuteStreamRequest())
        assert await stream.code() is grpc.StatusCode.INVALID_ARGUMENT
        del stream
        gc.collect()
        assert await ended(spans) == {"CLIENT": "CANCELLED", "SERVER": "INVALID_ARGUMENT"}


async def test_a_stream_that_has_failed_and_is_read_later_says_why(spans: Spans) -> None:
    async with Way.STREAM.served(nothing) as agent:
        stream = agent.stub.ExecuteStream(pb.ExecuteStreamRequest())
        await stream.code()
        with pytest.raises(errors.RequestInvalid):
            await anext(aiter(stream))
        assert (await ended(spans))["CLIENT"] == "INVALID_ARGUMENT ERROR REQUEST_INVALID"


async def test_a_stream_that_is_cancelled_before_it_is_sent(spans: Spans) -> None:
    async with Way.STREAM.served(nothing) as agent:
        stream = agent.stub.ExecuteStream(REQUEST)
        stream.cancel()
        with pytest.raises(asyncio.CancelledError):
            await anext(aiter(stream))
        assert await ended(spans) == {}


async def test_a_stream_that_is_left_open_when_its_channel_is_closed(spans: Spans) -> None:
    async with Way.STREAM.served(Held()) as agent:
        messages = aiter(agent.stub.ExecuteStream(REQUEST))
        await anext(messages)
        await agent.channel.close()
        assert await ended(spans) == LEFT
        with pytest.raises(errors.Unreachable):
            await anext(messages)
