"""A server that drains: what it waits for, what it still serves, and what those see who call at the last moment."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection

import grpc
import pytest

from agentmesh import errors
from agentmesh.transport import build_server, open_channel
from agentmesh.v1 import agent_service_pb2 as pb
from agentmesh.v1 import agent_service_pb2_grpc as pb_grpc
from tests.transport.support import Context, Messages, agent_service, call, progress, served

LONG_SECONDS = 30.0
"""Not reached unless a promise is broken."""

pytestmark = pytest.mark.timeout(LONG_SECONDS)


class Background:
    """Work without a call, which ends when a test says so."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()

    def begin(self, until: asyncio.Event) -> asyncio.Task[None]:
        async def work() -> None:
            await until.wait()

        task = asyncio.create_task(work())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def __call__(self) -> Collection[asyncio.Task[None]]:
        return self.tasks


async def refuses(stub: pb_grpc.AgentAsyncStub) -> bool:
    try:
        await stub.Execute(call(), timeout=10)
    except errors.ShuttingDown:
        return True
    return False


async def test_a_drain_waits_for_work_without_a_call_also_for_such_as_begins_meanwhile() -> None:
    background = Background()
    first, second = asyncio.Event(), asyncio.Event()
    begun = background.begin(first)
    async with served(background=background) as agent:
        draining = asyncio.create_task(agent.server.drain(LONG_SECONDS))
        while not await refuses(agent.stub):
            pass
        later = background.begin(second)
        first.set()
        await begun
        assert await refuses(agent.stub), "it drains on"
        assert not draining.done()
        second.set()
        await draining
        assert later.done()
        with pytest.raises(errors.Unreachable):
            await agent.stub.Execute(call(), timeout=10)


async def test_work_without_a_call_outlives_the_grace_and_stays_its_owners() -> None:
    background = Background()
    task = background.begin(asyncio.Event())
    async with served(background=background) as agent:
        await agent.server.drain(0.05)
        with pytest.raises(errors.Unreachable):
            await agent.stub.Execute(call(), timeout=10)
    assert not task.done()
    task.cancel()


async def test_what_work_in_flight_needs_is_served_until_the_end() -> None:
    background = Background()
    done = asyncio.Event()
    work = background.begin(done)
    async with served(background=background, while_draining=["/agentmesh.v1.Agent/ExecuteStream"]) as agent:
        draining = asyncio.create_task(agent.server.drain(LONG_SECONDS))
        while not await refuses(agent.stub):
            pass
        stream = agent.stub.ExecuteStream(pb.ExecuteStreamRequest(call=call()), timeout=10)
        assert [message.WhichOneof("message") async for message in stream] == ["result"]
        assert not work.done()
        done.set()
        await draining


ROUNDS = 12
CALLERS = 12


class Caller:
    """Calls again and again, as clients of any make do, and counts the codes until nothing listens any more."""

    def __init__(self, address: str, codes: Counter[str]) -> None:
        self._address = address
        self._codes = codes
        self.answered = asyncio.Event()

    async def call(self) -> None:
        async with grpc.aio.insecure_channel(self._address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub = pb_grpc.AgentStub(channel)
            said = ""
            while "failed to connect" not in said:
                try:
                    await stub.Execute(call(), timeout=10)
                    async for _ in stub.ExecuteStream(pb.ExecuteStreamRequest(call=call()), timeout=10):
                        pass
                except grpc.aio.AioRpcError as error:
                    said = error.details() or ""
                    self._codes[error.code().name] += 1
                else:
                    self._codes["OK"] += 1
                    self.answered.set()


async def test_calls_that_come_as_a_drained_server_stops_are_unavailable_to_any_client() -> None:
    """The core drops calls that it has not handed out yet, and their callers would get CANCELLED."""

    async def stream(request: pb.ExecuteStreamRequest, context: Context) -> Messages:
        for _ in range(3):
            yield progress()

    codes: Counter[str] = Counter()
    for _ in range(ROUNDS):
        server = build_server("127.0.0.1:0", [agent_service(stream=stream)])
        await server.start()
        callers = [Caller(server.address, codes) for _ in range(CALLERS)]
        async with asyncio.TaskGroup() as group:
            for caller in callers:
                group.create_task(caller.call())
            for caller in callers:
                await caller.answered.wait()
            await server.drain(LONG_SECONDS)
    assert set(codes) == {"OK", "UNAVAILABLE"}, codes
    assert codes["OK"] >= ROUNDS * CALLERS
    assert codes["UNAVAILABLE"] >= ROUNDS * CALLERS


async def test_calls_through_our_channels_are_so_even_where_the_server_stops_at_once() -> None:
    codes: Counter[str] = Counter()

    async def calls(address: str, answered: asyncio.Event, stopped: asyncio.Event) -> None:
        async with open_channel(address) as channel:
            stub = pb_grpc.AgentStub(channel)
            while not stopped.is_set():
                try:
                    await stub.Execute(call(), timeout=10)
                except errors.MeshError as error:
                    codes[type(error).__name__] += 1
                else:
                    answered.set()

    for _ in range(ROUNDS):
        server = build_server("127.0.0.1:0", [agent_service()])
        await server.start()
        stopped = asyncio.Event()
        answered = [asyncio.Event() for _ in range(CALLERS)]
        async with asyncio.TaskGroup() as group:
            for event in answered:
                group.create_task(calls(server.address, event, stopped))
            for event in answered:
                await event.wait()
            await server.stop()
            stopped.set()
    assert set(codes) <= {"Unreachable", "ShuttingDown"}, codes
