"""The spans of an rpc on both sides, however it ends, unary and streaming: the first columns of the table of statuses.

What ends an rpc is real: a deadline, a cancellation, a port where nobody listens, over real gRPC.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import grpc.aio
import pytest
from opentelemetry.sdk.trace import ReadableSpan

from agentmesh import errors
from agentmesh.telemetry import names
from agentmesh.telemetry.rpc import Cancelling, cancelling
from agentmesh.telemetry.spans import record_bug, span
from agentmesh.transport import open_channel
from agentmesh.v1 import agent_service_pb2_grpc as pb_grpc
from tests.telemetry.collectors import closed_port
from tests.telemetry.recording import Spans
from tests.telemetry.rpc_ways import Held, Way, ended
from tests.telemetry.span_tree import attributes_of
from tests.transport.support import Context

pytestmark = pytest.mark.parametrize("way", list(Way), ids=["unary", "stream"])

MARK = "marker-91d2"


async def nothing(context: Context) -> None:
    del context


@contextmanager
def cancelled_here(how: Cancelling) -> Iterator[None]:
    """What holds for the calls of tasks that are begun in the block."""
    token = cancelling.set(how)
    try:
        yield
    finally:
        cancelling.reset(token)


def exceptions(recorded: ReadableSpan) -> list[object]:
    """The types of the exceptions that a span has."""
    return [(event.attributes or {})[names.EXCEPTION_TYPE] for event in recorded.events]


async def test_success_is_unset_on_both_sides(way: Way, spans: Spans) -> None:
    async with way.served(nothing) as agent:
        await way.call(agent.stub)
    assert await ended(spans) == {"CLIENT": "OK", "SERVER": "OK"}
    server, client = spans.ended  # the inner one ends first
    host, port = agent.server.address.split(":")
    assert attributes_of(client) == {
        names.RPC_SYSTEM: "grpc",
        names.RPC_METHOD: way,
        names.RPC_STATUS_CODE: "OK",
        names.SERVER_ADDRESS: host,
        names.SERVER_PORT: int(port),
    }
    assert attributes_of(server) == {names.RPC_SYSTEM: "grpc", names.RPC_METHOD: way, names.RPC_STATUS_CODE: "OK"}


@pytest.mark.parametrize(
    ("raised", "client", "server"),
    [
        (errors.NotFound("?"), "NOT_FOUND ERROR NOT_FOUND", "NOT_FOUND"),
        (errors.PermissionDenied("?"), "PERMISSION_DENIED ERROR PERMISSION_DENIED", "PERMISSION_DENIED"),
        (errors.Unreachable("?"), "UNAVAILABLE ERROR UNREACHABLE", "UNAVAILABLE ERROR UNREACHABLE"),
    ],
    ids=["the callers fault", "not allowed", "the servers fault"],
)
async def test_a_status_is_an_error_of_the_caller_and_of_the_server_only_where_it_is_its_fault(
    way: Way, raised: errors.MeshError, client: str, server: str, spans: Spans
) -> None:
    async def refuse(context: Context) -> None:
        raise raised

    async with way.served(refuse) as agent:
        with pytest.raises(type(raised)):
            await way.call(agent.stub)
    assert await ended(spans) == {"CLIENT": client, "SERVER": server}
    assert [exceptions(recorded) for recorded in spans.ended] == [[], []], "a status is no exception"


async def test_a_handler_that_aborts_by_itself(way: Way, spans: Spans) -> None:
    async def abort(context: Context) -> None:
        await context.abort(grpc.StatusCode.DATA_LOSS, "gone")

    async with way.served(abort) as agent:
        with pytest.raises(errors.RemoteError):
            await way.call(agent.stub)
    assert await ended(spans) == {"CLIENT": "DATA_LOSS ERROR REMOTE_ERROR", "SERVER": "DATA_LOSS ERROR DATA_LOSS"}


class Plain(ValueError):
    """As most exceptions."""


def fall_over(kind: type[Exception]) -> None:
    raise kind(MARK)


class Closed(Exception):
    """To which nothing can be added."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)


async def test_a_bug_is_recorded_once_where_it_was_raised_without_what_it_says(way: Way, spans: Spans) -> None:
    async def fail(context: Context) -> None:
        with span("inner") as inner:
            try:
                fall_over(Plain)
            except Plain as bug:
                record_bug(inner, bug)
                raise

    async with way.served(fail) as agent:
        with pytest.raises(errors.Internal):
            await way.call(agent.stub)
    assert await ended(spans) == {"CLIENT": "INTERNAL ERROR INTERNAL", "SERVER": "INTERNAL ERROR INTERNAL"}
    assert [exceptions(recorded) for recorded in spans.ended] == [["Plain"], [], []]
    assert MARK not in "".join(recorded.to_json() for recorded in spans.ended)


@pytest.mark.parametrize("bug", [Plain, Closed])
async def test_a_bug_that_nobody_recorded_is_recorded_by_the_server(
    way: Way, bug: type[Exception], spans: Spans
) -> None:
    async def fail(context: Context) -> None:
        raise bug(MARK)

    async with way.served(fail) as agent:
        with pytest.raises(errors.Internal):
            await way.call(agent.stub)
    assert await ended(spans) == {"CLIENT": "INTERNAL ERROR INTERNAL", "SERVER": "INTERNAL ERROR INTERNAL"}
    assert [exceptions(recorded) for recorded in spans.ended] == [[bug.__name__], []]


async def test_a_deadline_is_an_error_on_both_sides(way: Way, spans: Spans) -> None:
    async with way.served(Held()) as agent:
        with pytest.raises(errors.DeadlineExceeded):
            await way.call(agent.stub, seconds=0.2)
        assert await ended(spans) == {
            "CLIENT": "DEADLINE_EXCEEDED ERROR DEADLINE_EXCEEDED",
            "SERVER": "DEADLINE_EXCEEDED ERROR DEADLINE_EXCEEDED",
        }


async def test_a_caller_who_is_cancelled_is_told_so_and_the_server_has_done_nothing_wrong(
    way: Way, spans: Spans
) -> None:
    held = Held()
    async with way.served(held) as agent:
        calling = asyncio.create_task(way.call(agent.stub))
        await held.begun.wait()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        await held.left.wait()
        assert await ended(spans) == {"CLIENT": "CANCELLED ERROR CANCELLED", "SERVER": "CANCELLED"}


async def test_what_is_cancelled_on_purpose_is_no_error(way: Way, spans: Spans) -> None:
    held, on_purpose = Held(), Cancelling()
    async with way.served(held) as agent:
        with cancelled_here(on_purpose):
            calling = asyncio.create_task(way.call(agent.stub))
        await held.begun.wait()
        on_purpose.on_purpose = True
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert await ended(spans) == {"CLIENT": "CANCELLED", "SERVER": "CANCELLED"}


async def test_an_endpoint_that_is_dead_has_a_span_of_the_caller_alone(way: Way, spans: Spans) -> None:
    with closed_port() as address:
        async with open_channel(address, peer="the agent") as channel:
            with pytest.raises(errors.Unreachable):
                await way.call(pb_grpc.AgentStub(channel))
    assert await ended(spans) == {"CLIENT": "UNAVAILABLE ERROR UNREACHABLE"}


async def test_a_channel_that_is_closed_under_a_call_is_an_error_although_nobody_cancelled(
    way: Way, spans: Spans
) -> None:
    held = Held()
    async with way.served(held) as agent:
        calling = asyncio.create_task(way.call(agent.stub))
        await held.begun.wait()
        await agent.channel.close()
        with pytest.raises(errors.Unreachable):
            await calling
        assert await ended(spans) == {"CLIENT": "UNAVAILABLE ERROR UNREACHABLE", "SERVER": "CANCELLED"}


async def test_a_call_over_a_channel_that_was_closed(way: Way, spans: Spans) -> None:
    async with way.served(nothing) as agent:
        await agent.channel.close()
        with pytest.raises(errors.Unreachable):
            await way.call(agent.stub)
    assert await ended(spans) == {"CLIENT": "UNAVAILABLE ERROR UNREACHABLE"}


async def test_a_call_for_which_no_time_is_left_is_not_sent_and_has_no_span(way: Way, spans: Spans) -> None:
    async with way.served(nothing) as agent:
        with pytest.raises(errors.DeadlineExceeded):
            await way.call(agent.stub, seconds=0)
    assert await ended(spans) == {}


async def test_a_call_that_cannot_be_sent_as_it_is_has_a_span_that_says_so(way: Way, spans: Spans) -> None:
    async with way.served(nothing) as agent:
        with pytest.raises((grpc.aio.InternalError, errors.RemoteError)) as raised:
            await way.call(agent.stub, metadata=(("no name", ""),))
    why = "REMOTE_ERROR" if raised.type is errors.RemoteError else raised.type.__qualname__
    assert await ended(spans) == {"CLIENT": f"INTERNAL ERROR {why}"}


@pytest.mark.usefixtures("capturing")
async def test_content_that_may_be_captured_is_there(way: Way, spans: Spans) -> None:
    async def fail(context: Context) -> None:
        raise Plain(MARK)

    async with way.served(fail) as agent:
        with pytest.raises(errors.Internal):
            await way.call(agent.stub)
    server, _ = await spans.all_ended()
    assert [(event.attributes or {})[names.EXCEPTION_MESSAGE] for event in server.events] == [MARK]
