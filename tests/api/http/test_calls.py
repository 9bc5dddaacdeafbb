"""A call over HTTP ends as one over gRPC: by its deadline, with its caller, in a drain, for a reader that stalls."""

from __future__ import annotations

import asyncio
from typing import Any

import psutil
import pytest
from structlog.testing import capture_logs

from agentmesh import errors
from agentmesh.deadline import current_deadline
from agentmesh.http.connections import Bounds
from agentmesh.jsonvalues import OFF_LOOP_BYTES
from agentmesh.metadata import RUN_ID
from agentmesh.v1 import agent_service_pb2 as pb
from tests.api.http.client import CONNECT_STREAM, JSON, connected, error_in, events_in, framed, frames_in, post, request
from tests.api.http.support import CALL, EXECUTE, EXECUTE_STREAM, two_doors, until
from tests.transport.support import SERVICE, Context, Messages, call, progress

LONG_SECONDS = 30.0
"""Not reached unless a promise is broken."""

pytestmark = pytest.mark.timeout(LONG_SECONDS)

STREAM = {"call": CALL}


class Waiting:
    """A method that waits until it is released, and remembers what happened."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.released = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def __call__(self, request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        self.begun.set()
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return pb.ExecuteResponse()

    async def stream(self, request: pb.ExecuteStreamRequest, context: Context) -> Messages:
        yield progress("begun")
        await self(pb.ExecuteRequest(), context)
        yield pb.ExecuteStreamResponse(result=pb.ExecuteResponse())


async def test_an_answer_is_the_message_as_json_or_as_protobuf() -> None:
    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        answer = pb.ExecuteResponse()
        answer.result.update({"skill": request.skill})
        return answer

    async with two_doors(execute) as doors:
        as_json = await doors.execute()
        as_proto = await post(doors.http, EXECUTE, call().SerializeToString(), content_type="application/proto")
    assert (as_json.status, as_json.headers["content-type"]) == (200, "application/json")
    assert as_json.json["result"] == {"skill": "work"}
    assert pb.ExecuteResponse.FromString(as_proto.body).result["skill"] == "work"


async def test_a_large_message_goes_in_and_out() -> None:
    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        return pb.ExecuteResponse(result=request.arguments)

    text = "x" * (2 * OFF_LOOP_BYTES)
    async with two_doors(execute) as doors:
        answer = await post(doors.http, EXECUTE, {**CALL, "arguments": {"text": text}})
    assert answer.json["result"] == {"text": text}


async def test_what_breaks_a_rule_of_the_contract_is_refused_as_over_grpc() -> None:
    async with two_doors() as doors:
        with pytest.raises(errors.RequestInvalid) as caught:
            await doors.stub.Execute(pb.ExecuteRequest(), timeout=10)
        error = (await post(doors.http, EXECUTE, {})).error
    assert type(error) is errors.RequestInvalid
    assert (error.message, error.violations) == (caught.value.message, caught.value.violations)


async def test_a_field_that_is_not_built_is_refused_as_over_grpc() -> None:
    async with two_doors(not_supported={f"{SERVICE.rpartition('.')[0]}.ExecuteRequest": ("step_id",)}) as doors:
        error = (await post(doors.http, EXECUTE, {**CALL, "stepId": "scan"})).error
        missing = (await post(doors.http, f"/{SERVICE}/Describe", {})).error
    assert type(error) is errors.FieldNotSupported
    assert [violation.path for violation in error.violations] == ["step_id"]
    assert type(missing) is errors.FieldNotSupported


async def test_a_request_over_the_limit_is_refused_as_over_grpc() -> None:
    async with two_doors(max_request_bytes=1000) as doors:
        error = (await post(doors.http, EXECUTE, {**CALL, "runId": "x" * 1000})).error
    assert type(error) is errors.RequestInvalid
    assert "at most 1000 are taken" in error.message


async def test_the_deadline_of_the_caller_is_that_of_the_call() -> None:
    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        deadline = current_deadline.get()
        assert deadline is not None
        answer = pb.ExecuteResponse()
        answer.result.update({"seconds": deadline.remaining()})
        return answer

    async with two_doors(execute, max_call_seconds=7) as doors:
        of_caller = (await doors.execute(connect_timeout_ms="5000")).json["result"]["seconds"]
        of_server = (await doors.execute()).json["result"]["seconds"]
        at_most = (await doors.execute(connect_timeout_ms="9000")).json["result"]["seconds"]
    assert 0 < of_caller <= 5 < of_server <= 7
    assert 5 < at_most <= 7


@pytest.mark.parametrize("whose", ["caller", "server"])
async def test_a_call_ends_at_its_deadline_with_the_error_of_the_table(whose: str) -> None:
    waiting = Waiting()
    headers = {"connect_timeout_ms": "50"} if whose == "caller" else {}
    async with two_doors(waiting, waiting.stream, max_call_seconds=0.05 if whose == "server" else 60) as doors:
        answer = await doors.execute(**headers)
        events = events_in((await post(doors.http, EXECUTE_STREAM, STREAM, **headers)).body)
    assert answer.status == 504
    assert type(answer.error) is errors.DeadlineExceeded
    assert whose in answer.error.message
    assert waiting.cancelled.is_set()
    assert [name for name, _ in events] == ["message", "error"]
    assert type(error_in(events[1][1])) is errors.DeadlineExceeded


@pytest.mark.parametrize("given", ["soon", "-1", "12345678901", "1.5"])
async def test_a_deadline_that_is_no_number_of_milliseconds_is_refused(given: str) -> None:
    async with two_doors() as doors:
        answer = await doors.execute(connect_timeout_ms=given)
    assert answer.status == 400
    assert answer.json["code"] == "invalid_argument"


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        (EXECUTE, CALL, JSON),
        (EXECUTE_STREAM, STREAM, JSON),
        (EXECUTE_STREAM, framed(STREAM), CONNECT_STREAM),
    ],
    ids=["unary", "events", "connect stream"],
)
async def test_a_caller_who_leaves_cancels_the_work(path: str, body: Any, headers: dict[str, str]) -> None:  # noqa: ANN401 - JSON, or bytes
    waiting = Waiting()
    with capture_logs() as log:
        async with two_doors(waiting, waiting.stream) as doors:
            async with connected(doors.http) as connection:
                await connection.send(request(path, body, headers))
                await waiting.begun.wait()
            await waiting.cancelled.wait()
            await until(lambda: not doors.server.calls_in_flight)
    assert [entry["code"] for entry in log if entry["event"] == "rpc"] == ["CANCELLED"]


async def test_a_stream_comes_as_it_is_made_in_frames_of_connect() -> None:
    waiting = Waiting()
    async with two_doors(stream=waiting.stream) as doors, connected(doors.http) as connection:
        await connection.send(request(EXECUTE_STREAM, framed(STREAM), CONNECT_STREAM))
        status, headers = await connection.head()
        chunks = connection.chunks()
        first = await anext(chunks)
        waiting.released.set()
        rest = b"".join([chunk async for chunk in chunks])
    assert (status, headers["content-type"]) == (200, "application/connect+json")
    messages, end = frames_in(first + rest)
    assert [list(message) for message in messages] == [["progress"], ["result"]]
    assert end == {}


async def test_a_stream_comes_as_it_is_made_in_events_of_a_browser() -> None:
    waiting = Waiting()
    async with two_doors(stream=waiting.stream) as doors, connected(doors.http) as connection:
        await connection.send(request(EXECUTE_STREAM, STREAM, {**JSON, "accept": "text/event-stream"}))
        status, headers = await connection.head()
        chunks = connection.chunks()
        first = await anext(chunks)
        waiting.released.set()
        rest = b"".join([chunk async for chunk in chunks])
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    assert events_in(first)[0][1]["progress"]["message"] == "begun"
    assert [name for name, _ in events_in(first + rest)] == ["message", "message", "end"]


async def test_trailers_are_headers_also_of_what_fails() -> None:
    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        context.set_trailing_metadata(((RUN_ID, "r1"),))
        if request.run_id:
            raise errors.NotFound("no such thing")
        return pb.ExecuteResponse()

    async with two_doors(execute) as doors:
        answered = await doors.execute()
        failed = await post(doors.http, EXECUTE, {**CALL, "runId": "a"})
    for answer, status in ((answered, 200), (failed, 404)):
        assert answer.status == status
        assert answer.headers[RUN_ID] == "r1"
        assert answer.headers[f"trailer-{RUN_ID}"] == "r1"


async def test_a_call_leaves_one_line_in_the_log() -> None:
    with capture_logs() as log:
        async with two_doors() as doors:
            await doors.execute()
    (line,) = [entry for entry in log if entry["event"] == "rpc"]
    assert (line["method"], line["code"]) == (f"{SERVICE}/Execute", "OK")
    assert line["peer"].startswith("http:127.0.0.1:")


async def test_a_drain_lets_calls_over_http_finish_and_refuses_new_ones() -> None:
    waiting = Waiting()
    async with two_doors(waiting) as doors:
        in_flight = asyncio.create_task(doors.execute())
        await waiting.begun.wait()
        async with connected(doors.http) as connection:
            draining = asyncio.create_task(doors.server.drain(LONG_SECONDS))
            await until(lambda: doors.server.draining)
            refused = await connection.call(EXECUTE, CALL)
            not_ready = await connection.call("/readyz", b"", {}, "GET")
        waiting.released.set()
        assert (await in_flight).status == 200
        await draining
        with pytest.raises(ConnectionRefusedError):
            await doors.execute()
    assert (refused.status, type(refused.error)) == (503, errors.ShuttingDown)
    assert not_ready.status == 503


@pytest.mark.parametrize("path", [EXECUTE, EXECUTE_STREAM])
async def test_a_drain_that_takes_too_long_cancels_calls_over_http(path: str, caplog: pytest.LogCaptureFixture) -> None:
    waiting = Waiting()
    async with two_doors(waiting, waiting.stream) as doors, connected(doors.http) as connection:
        await connection.send(request(path, CALL if path == EXECUTE else STREAM))
        await waiting.begun.wait()
        await doors.server.drain(0)
        assert waiting.cancelled.is_set()
        assert await connection.ends()
    assert caplog.records == []


async def test_a_reader_that_takes_nothing_for_long_is_told_so_if_it_goes_on_and_cut_off_if_not() -> None:
    async def endless(request: pb.ExecuteStreamRequest, context: Context) -> Messages:
        while True:
            yield progress("x" * 60_000)

    def connections() -> int:
        port = int(doors.http.rpartition(":")[2])
        return sum(
            connection.laddr.port == port and connection.status == psutil.CONN_ESTABLISHED
            for connection in psutil.Process().net_connections(kind="tcp")
        )

    bounds = Bounds(stall_seconds=0.2)
    with capture_logs() as log:
        async with (
            two_doors(stream=endless, stall_seconds=0.2, bounds=bounds) as doors,
            connected(doors.http) as patient,
            connected(doors.http) as gone,
        ):
            for connection in (patient, gone):
                await connection.send(request(EXECUTE_STREAM, STREAM))
            await until(lambda: len([line for line in log if line.get("reason") == "READER_STALLED"]) == 2)
            name, error = events_in((await patient.answer()).body)[-1]
            await until(lambda: connections() == 1)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await gone.answer()
    assert (name, type(error_in(error))) == ("error", errors.ReaderStalled)
