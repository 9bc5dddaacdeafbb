"""Calls that leave: their deadline, their errors, who cancels whom."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import grpc
import pytest

from agentmesh import errors
from agentmesh.deadline import Deadline, current_deadline
from agentmesh.transport import open_channel, reading
from agentmesh.v1 import agent_service_pb2 as pb
from agentmesh.v1 import agent_service_pb2_grpc as pb_grpc
from tests.transport.support import Context, Messages, call, progress, served

STREAM_REQUEST = pb.ExecuteStreamRequest(call=call())


class Watched:
    """A handler that never answers, and tells what happened to it."""

    def __init__(self) -> None:
        self.calls = 0
        self.remaining: float | None = None
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def execute(self, request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        self.calls += 1
        self.remaining = context.time_remaining()
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        raise AssertionError

    async def stream(self, request: pb.ExecuteStreamRequest, context: Context) -> Messages:
        self.calls += 1
        self.started.set()
        try:
            while True:
                yield progress()
                await asyncio.sleep(0)
        finally:
            self.cancelled.set()


@contextlib.asynccontextmanager
async def held_up(address: str) -> AsyncIterator[tuple[str, asyncio.Event, asyncio.Event]]:
    """An address whose connections reach the other one only when they are let through.

    Gives the address, an event for a connection that is waiting, and one that lets all through.
    """
    waiting, through = asyncio.Event(), asyncio.Event()
    host, _, port = address.rpartition(":")
    copying: list[asyncio.Task[None]] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting.set()
        await through.wait()
        upstream_reader, upstream_writer = await asyncio.open_connection(host, int(port))
        copying.append(asyncio.create_task(_copy(reader, upstream_writer)))
        copying.append(asyncio.create_task(_copy(upstream_reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", waiting, through
        await asyncio.gather(*copying)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until one side hangs up."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_a_connection_that_takes_its_time_is_waited_for() -> None:
    async with (
        served() as agent,
        held_up(agent.server.address) as (address, waiting, through),
        open_channel(address) as channel,
    ):
        answer = asyncio.ensure_future(pb_grpc.AgentStub(channel).Execute(call(), timeout=30))
        await waiting.wait()
        done, _ = await asyncio.wait([answer], timeout=0.5)
        assert not done, "given up before the other side had time to answer"
        through.set()
        await answer


async def seen_timeout(explicit: float | None, deadline: Deadline | None) -> float | None:
    seen: list[float | None] = []

    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        seen.append(context.time_remaining())
        return pb.ExecuteResponse()

    async with served(execute) as agent:
        token = current_deadline.set(deadline)
        await agent.stub.Execute(call(), timeout=explicit)
        current_deadline.reset(token)
    return seen[0]


@pytest.mark.parametrize(
    ("explicit", "left", "at_least", "at_most"),
    [(30, None, 20, 33), (None, 30, 20, 33), (30, 300, 20, 33), (300, 30, 20, 33), (None, float("inf"), None, None)],
)
async def test_the_timeout_is_the_smaller_of_what_is_asked_for_and_what_is_left(
    explicit: float | None, left: float | None, at_least: float | None, at_most: float | None
) -> None:
    seen = await seen_timeout(explicit, None if left is None else Deadline.after(left))
    if at_least is None or at_most is None:
        assert seen is None
    else:
        assert seen is not None
        assert at_least < seen < at_most


async def test_without_any_deadline_the_server_sees_none() -> None:
    assert await seen_timeout(None, None) is None


@pytest.mark.parametrize("left", [0.0, 0.02, -1.0])
async def test_with_no_time_left_nothing_is_sent(left: float) -> None:
    watched = Watched()
    async with served(watched.execute, watched.stream) as agent:
        current_deadline.set(Deadline.after(left, clock=lambda: 100.0))
        with pytest.raises(errors.DeadlineExceeded, match="no time was left to call the agent"):
            await agent.stub.Execute(call(), timeout=10)
        with pytest.raises(errors.DeadlineExceeded, match="no time was left to call the agent"):
            await anext(aiter(agent.stub.ExecuteStream(STREAM_REQUEST)))
        current_deadline.set(None)
    assert watched.calls == 0


async def test_deadlines_cascade_and_each_hop_gets_a_little_less() -> None:
    watched = Watched()
    between: list[float] = []
    async with served(watched.execute) as leaf:

        async def forward(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
            deadline = current_deadline.get()
            assert deadline is not None
            between.append(deadline.remaining())
            return await leaf.stub.Execute(request)

        async with served(forward) as middle:
            with pytest.raises(errors.DeadlineExceeded):
                await middle.stub.Execute(call(), timeout=0.3)
            await watched.cancelled.wait()
    assert watched.remaining is not None
    assert 0 < watched.remaining < between[0]


async def test_a_cancellation_reaches_the_leaf_through_two_hops() -> None:
    watched = Watched()
    async with served(watched.execute) as leaf:

        async def forward(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
            return await leaf.stub.Execute(request)

        async with served(forward) as middle:
            waiting = asyncio.ensure_future(middle.stub.Execute(call(), timeout=30))
            await watched.started.wait()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await watched.cancelled.wait()


async def test_a_task_group_that_fails_cancels_its_calls_at_the_server() -> None:
    watched = Watched()

    async def fail() -> None:
        await watched.started.wait()
        raise RuntimeError("a sibling")

    async def ask(stub: pb_grpc.AgentAsyncStub) -> None:
        await stub.Execute(call(), timeout=30)

    async with served(watched.execute) as agent:
        with pytest.raises(ExceptionGroup, match="unhandled"):
            await together(ask(agent.stub), fail())
        await watched.cancelled.wait()


async def together(*work: Coroutine[Any, Any, None]) -> None:
    async with asyncio.TaskGroup() as group:
        for one in work:
            group.create_task(one)


async def test_leaving_the_block_cancels_the_stream() -> None:
    watched = Watched()
    async with served(stream=watched.stream) as agent:
        stream = agent.stub.ExecuteStream(STREAM_REQUEST, timeout=30)  # held, so that nothing is collected as garbage
        async with reading(stream) as messages:
            async for _ in messages:
                break
        await watched.cancelled.wait()
        assert stream.done()


async def test_an_exception_in_the_block_cancels_the_stream() -> None:
    watched = Watched()

    async def fail_while_reading(stub: pb_grpc.AgentAsyncStub) -> None:
        async with reading(stub.ExecuteStream(STREAM_REQUEST, timeout=30)) as messages:
            await anext(messages)
            raise KeyError

    async with served(stream=watched.stream) as agent:
        with pytest.raises(KeyError):
            await fail_while_reading(agent.stub)
        await watched.cancelled.wait()


async def test_a_cancelled_reader_cancels_the_stream() -> None:
    watched = Watched()

    async def read_all(stub: pb_grpc.AgentAsyncStub) -> None:
        async with reading(stub.ExecuteStream(STREAM_REQUEST, timeout=30)) as messages:
            await drained(messages)

    async with served(stream=watched.stream) as agent:
        task = asyncio.create_task(read_all(agent.stub))
        await watched.started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await watched.cancelled.wait()


async def test_a_stream_is_read_to_its_end_and_its_error_is_of_our_tree() -> None:
    async def stream(request: pb.ExecuteStreamRequest, context: Context) -> Messages:
        yield progress("one")
        yield progress("two")
        raise errors.NotFound("no such city")

    async with served(stream=stream) as agent, reading(agent.stub.ExecuteStream(STREAM_REQUEST, timeout=30)) as seen:
        assert [(await anext(seen)).progress.message for _ in range(2)] == ["one", "two"]
        with pytest.raises(errors.NotFound, match="no such city"):
            await anext(seen)


async def test_metadata_of_the_channel_and_of_the_call_are_both_sent() -> None:
    seen: list[dict[str, Any]] = []

    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        seen.append(dict(context.invocation_metadata() or ()))
        return pb.ExecuteResponse()

    async with served(execute) as agent, open_channel(agent.server.address, metadata={"x-caller": "tests"}) as channel:
        stub: pb_grpc.AgentAsyncStub = pb_grpc.AgentStub(channel)
        await stub.Execute(call(), timeout=10, metadata=(("x-own", "1"),))
        await stub.Execute(call(), timeout=10)
    assert (seen[0]["x-caller"], seen[0]["x-own"]) == ("tests", "1")
    assert seen[1]["x-caller"] == "tests"


async def test_closing_a_channel_under_a_call_is_an_error_and_no_cancellation_of_the_caller() -> None:
    watched = Watched()
    async with served(watched.execute, watched.stream) as agent:
        unary = open_channel(agent.server.address, peer="agent x")
        waiting = asyncio.ensure_future(pb_grpc.AgentStub(unary).Execute(call(), timeout=30))
        await watched.started.wait()
        await unary.close()
        with pytest.raises(errors.Unreachable, match="agent x is unavailable: the connection was closed on this side"):
            await waiting
        streaming = open_channel(agent.server.address, peer="agent x")
        async with reading(pb_grpc.AgentStub(streaming).ExecuteStream(STREAM_REQUEST, timeout=30)) as messages:
            await anext(messages)
            await streaming.close()
            with pytest.raises(errors.Unreachable, match="agent x is unavailable"):
                await drained(messages)


async def drained(messages: AsyncIterator[pb.ExecuteStreamResponse]) -> None:
    async for _ in messages:
        pass


async def test_a_caller_who_leaves_while_the_channel_is_closed_is_cancelled() -> None:
    watched = Watched()
    async with served(watched.execute) as agent:
        channel = open_channel(agent.server.address)
        waiting = asyncio.ensure_future(pb_grpc.AgentStub(channel).Execute(call(), timeout=30))
        await watched.started.wait()
        waiting.cancel()
        await channel.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_calls_on_a_closed_channel_are_unreachable() -> None:
    async with served() as agent:
        channel = open_channel(agent.server.address)
        await channel.close()
        stub: pb_grpc.AgentAsyncStub = pb_grpc.AgentStub(channel)
        with pytest.raises(errors.Unreachable):
            await stub.Execute(call(), timeout=10)
        with pytest.raises(errors.Unreachable):
            await anext(aiter(stub.ExecuteStream(STREAM_REQUEST, timeout=10)))


async def test_channels_to_one_address_have_connections_of_their_own() -> None:
    peers: list[str] = []

    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        peers.append(context.peer())
        return pb.ExecuteResponse()

    async with (
        served(execute) as agent,
        open_channel(agent.server.address) as first,
        open_channel(agent.server.address) as second,
    ):
        for channel in (first, second):
            await pb_grpc.AgentStub(channel).Execute(call(), timeout=10)
    assert len(set(peers)) == 2


async def test_a_channel_finds_a_server_that_starts_later() -> None:
    async with served() as gone:
        address = gone.server.address
    channel = open_channel(address, peer="the agent")
    stub: pb_grpc.AgentAsyncStub = pb_grpc.AgentStub(channel)
    with pytest.raises(errors.Unreachable):
        await stub.Execute(call(), timeout=10)
    async with served(listen=address):
        await stub.Execute(call(), timeout=30, wait_for_ready=True)
    await channel.close()


async def test_the_trailers_of_a_failed_call_are_on_its_cause() -> None:
    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        context.set_trailing_metadata((("agentmesh-usage-bin", b"\x01"),))
        raise errors.SkillFailed("out of paper")

    async with served(execute) as agent:
        with pytest.raises(errors.SkillFailed) as caught:
            await agent.stub.Execute(call(), timeout=10)
        cause = caught.value.__cause__
        assert isinstance(cause, grpc.aio.AioRpcError)
        assert ("agentmesh-usage-bin", b"\x01") in tuple(cause.trailing_metadata())


async def test_the_trailers_of_a_call_that_succeeds_are_read_from_the_call() -> None:
    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        context.set_trailing_metadata((("agentmesh-run-id", "r1"),))
        return pb.ExecuteResponse()

    async with served(execute) as agent:
        running = agent.stub.Execute(call(), timeout=10)
        await running
        assert ("agentmesh-run-id", "r1") in tuple(await running.trailing_metadata())


async def test_an_answer_that_does_not_parse_is_an_error_of_the_other_side() -> None:
    async def garbage(request: bytes, context: object) -> bytes:
        return b"\xff\xff\xff"

    async def garbage_stream(request: bytes, context: object) -> AsyncIterator[bytes]:
        yield progress().SerializeToString()
        yield b"\xff\xff\xff"

    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Execute": grpc.unary_unary_rpc_method_handler(garbage),
        "ExecuteStream": grpc.unary_stream_rpc_method_handler(garbage_stream),
    }
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("agentmesh.v1.Agent", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with open_channel(f"127.0.0.1:{port}", peer="the agent") as channel:
            stub: pb_grpc.AgentAsyncStub = pb_grpc.AgentStub(channel)
            with pytest.raises(errors.RemoteError, match="the agent answered with bytes that do not parse"):
                await stub.Execute(call(), timeout=10)
            async with reading(stub.ExecuteStream(STREAM_REQUEST, timeout=10)) as messages:
                assert await anext(messages) == progress()
                with pytest.raises(errors.RemoteError, match="do not parse"):
                    await anext(messages)
    finally:
        await server.stop(None)
