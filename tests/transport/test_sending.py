"""A reader that takes nothing holds up nobody but itself, and not for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import structlog

from agentmesh import errors
from agentmesh.transport import reading
from agentmesh.v1 import agent_service_pb2 as pb
from tests.transport.support import Context, Messages, call, progress, served

LARGE = progress("x" * 256 * 1024)
"""Some two dozen fill the window of a reader, which is found out as soon as they do."""
REQUEST = pb.ExecuteStreamRequest(call=call())
LONG_SECONDS = 30.0
"""Not reached unless a promise is broken."""

pytestmark = pytest.mark.timeout(LONG_SECONDS)


class Endless:
    """A stream of large messages, until it is closed."""

    def __init__(self) -> None:
        self.made = 0
        self.closed = asyncio.Event()

    async def stream(self, request: pb.ExecuteStreamRequest, context: Context) -> Messages:
        del request, context
        try:
            while True:
                self.made += 1
                yield LARGE
        finally:
            self.closed.set()

    async def held_up(self) -> None:
        """Wait until a message no longer leaves."""
        seen = 0
        while seen < self.made:
            seen = self.made
            await asyncio.sleep(0.1)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - for what has no event
        await asyncio.sleep(0.01)


async def take_all(messages: AsyncIterator[pb.ExecuteStreamResponse], taken: list[pb.ExecuteStreamResponse]) -> None:
    async for message in messages:
        taken.append(message)  # noqa: PERF401 - what came before an error is kept


def calls_in(logs: list[Any]) -> list[tuple[str, str | None]]:
    return [(entry["code"], entry.get("reason")) for entry in logs if entry["event"] == "rpc"]


async def test_a_reader_that_takes_nothing_is_cut_off_and_the_handler_closed() -> None:
    endless = Endless()
    async with served(stream=endless.stream, stall_seconds=0.2) as agent:
        with structlog.testing.capture_logs() as logs:
            async with reading(agent.stub.ExecuteStream(REQUEST)) as messages:
                assert await anext(messages) == LARGE
                await endless.closed.wait()
                await until(lambda: agent.server.calls_in_flight == 0)
                taken: list[pb.ExecuteStreamResponse] = []
                with pytest.raises(errors.ReaderStalled, match=r"took nothing for 0\.2 s") as caught:
                    await take_all(messages, taken)
    assert 1 + len(taken) == endless.made, "what was sent before is not lost"
    assert not caught.value.transient
    assert calls_in(logs) == [("CANCELLED", "READER_STALLED")]
    assert [entry["event"] for entry in logs] == ["rpc"]


async def test_a_reader_that_goes_on_in_time_is_not() -> None:
    endless = Endless()
    async with served(stream=endless.stream, stall_seconds=LONG_SECONDS) as agent:
        async with reading(agent.stub.ExecuteStream(REQUEST)) as messages:
            await anext(messages)
            await endless.held_up()
            behind = endless.made
            for _ in range(2 * behind):
                assert await anext(messages) == LARGE
        await endless.closed.wait()


async def test_what_the_handler_takes_between_two_messages_is_no_stall() -> None:
    async def stream(request: pb.ExecuteStreamRequest, context: Context) -> Messages:
        yield progress("one")
        await asyncio.sleep(0.1)
        yield progress("two")

    async with served(stream=stream, stall_seconds=0.02) as agent:
        assert [m.progress.message async for m in agent.stub.ExecuteStream(REQUEST)] == ["one", "two"]


async def test_a_reader_that_leaves_while_a_message_is_held_up_is_no_error_of_ours() -> None:
    endless = Endless()
    async with served(stream=endless.stream, stall_seconds=LONG_SECONDS) as agent:
        with structlog.testing.capture_logs() as logs:
            async with reading(agent.stub.ExecuteStream(REQUEST)) as messages:
                await anext(messages)
                await endless.held_up()
            await endless.closed.wait()
            await until(lambda: agent.server.calls_in_flight == 0)
    assert [entry["event"] for entry in logs] == ["rpc"]
    assert calls_in(logs) == [("CANCELLED", None)]


async def test_the_servers_maximum_ends_a_call_whose_status_cannot_leave_either() -> None:
    endless = Endless()
    async with served(stream=endless.stream, stall_seconds=LONG_SECONDS, max_call_seconds=0.5) as agent:
        with structlog.testing.capture_logs() as logs:
            async with reading(agent.stub.ExecuteStream(REQUEST)) as messages:
                await anext(messages)
                await endless.closed.wait()
                await until(lambda: agent.server.calls_in_flight == 0)
                with pytest.raises(errors.DeadlineExceeded, match=r"the server's maximum of 0\.5 s passed"):
                    await take_all(messages, [])
    assert calls_in(logs) == [("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")]


async def test_the_callers_deadline_ends_it_as_well() -> None:
    endless = Endless()
    async with served(stream=endless.stream, stall_seconds=LONG_SECONDS) as agent:
        with structlog.testing.capture_logs() as logs:
            async with reading(agent.stub.ExecuteStream(REQUEST, timeout=0.5)) as messages:
                await anext(messages)
                await endless.closed.wait()
                await until(lambda: agent.server.calls_in_flight == 0)
    assert calls_in(logs) == [("DEADLINE_EXCEEDED", None)]
