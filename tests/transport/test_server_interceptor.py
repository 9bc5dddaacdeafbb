"""What a handler raises, how long it may run, who hears that the caller left, what the log says."""

import asyncio
import re
from typing import Any

import grpc
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from agentmesh import errors
from agentmesh.deadline import current_deadline
from agentmesh.transport import Service, build_server, open_channel, reading
from agentmesh.transport.details import STATUS_KEY
from agentmesh.v1 import agent_service_pb2 as pb
from agentmesh.v1 import agent_service_pb2_grpc as pb_grpc
from tests.transport.support import SERVICE, Context, Messages, Options, call, progress, served

MARKER = "hunter2-at-db.internal"


def capture_logs() -> Any:  # noqa: ANN401 - a context manager of structlog
    return structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars])


def wire_texts(error: grpc.aio.AioRpcError) -> str:
    """Everything of a failed call that came over the wire."""
    return repr((error.details(), error.debug_error_string(), error.initial_metadata(), error.trailing_metadata()))


@pytest.mark.parametrize("kind", [ValueError, KeyError, TimeoutError, OSError, AssertionError, ExceptionGroup])
async def test_what_a_bug_says_is_in_the_log_and_in_nothing_that_is_sent(kind: type[Exception]) -> None:
    raised = ExceptionGroup(MARKER, [errors.NotFound(MARKER)]) if kind is ExceptionGroup else kind(MARKER)

    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        raise raised

    async with served(execute) as agent:
        with capture_logs() as logs, pytest.raises(grpc.aio.AioRpcError) as caught:
            await agent.bare_stub.Execute(call(), timeout=10)
        with pytest.raises(errors.Internal) as rebuilt:
            await agent.stub.Execute(call(), timeout=10)
    assert MARKER not in wire_texts(caught.value)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    said = re.fullmatch(r"internal error, incident ([0-9a-f]{16})", caught.value.details() or "")
    assert said is not None
    unexpected = [entry for entry in logs if entry["event"] == "unexpected error"]
    assert [entry["incident"] for entry in unexpected] == [said[1]]
    assert unexpected[0]["exc_info"] is raised
    assert unexpected[0]["log_level"] == "error"
    assert rebuilt.value.message != caught.value.details(), "every incident has its own number"


class Panic(BaseException):
    """As extensions written in Rust raise: no Exception, and the call must be answered all the same."""


@pytest.mark.parametrize(
    "raised",
    [
        Panic(MARKER),
        errors.ResourceExhausted("busy", retry_after_seconds="soon"),  # type: ignore[arg-type]
        errors.NotFound("gone", metadata={"id": 7}),  # type: ignore[dict-item]
    ],
    ids=["panic", "text for a number", "number for a text"],
)
async def test_whatever_is_raised_the_call_is_answered(raised: BaseException) -> None:
    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        raise raised

    async with served(execute) as agent:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await agent.bare_stub.Execute(call(), timeout=10)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert re.fullmatch(r"internal error, incident ([0-9a-f]{16})", caught.value.details() or "")


@pytest.mark.parametrize("given", [KeyError("city"), None, 404], ids=["an exception", "nothing", "a number"])
async def test_an_error_that_was_not_given_a_text_is_sent_all_the_same(given: Any) -> None:  # noqa: ANN401
    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        raise errors.NotFound(given)

    async with served(execute) as agent:
        with pytest.raises(errors.NotFound) as caught:
            await agent.stub.Execute(call(), timeout=10)
    assert caught.value.message == str(given)


async def test_a_bug_in_the_middle_of_a_stream_ends_it_with_the_fixed_text() -> None:
    async def stream(request: pb.ExecuteStreamRequest, context: Context) -> Messages:
        yield progress("one")
        raise RuntimeError(MARKER)

    async with served(stream=stream) as agent:
        messages = aiter(agent.bare_stub.ExecuteStream(pb.ExecuteStreamRequest(call=call()), timeout=10))
        assert (await anext(messages)).progress.message == "one"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(messages)
    assert MARKER not in wire_texts(caught.value)
    assert (caught.value.details() or "").startswith("internal error, incident ")


@pytest.mark.parametrize("answer", [None, "text", b"bytes"])
async def test_an_answer_of_a_wrong_type_is_a_bug(answer: Any) -> None:  # noqa: ANN401
    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        return answer  # type: ignore[no-any-return]

    async def stream(request: pb.ExecuteStreamRequest, context: Context) -> Messages:
        yield answer

    async with served(execute, stream) as agent:
        with pytest.raises(errors.Internal):
            await agent.stub.Execute(call(), timeout=10)
        with pytest.raises(errors.Internal):
            await anext(aiter(agent.stub.ExecuteStream(pb.ExecuteStreamRequest(call=call()), timeout=10)))


async def test_the_error_of_a_call_further_down_that_nobody_caught_keeps_its_meaning() -> None:
    async def missing(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        raise errors.NotFound("no such city")

    async with served(missing) as below:

        async def forwards(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
            return await below.bare_stub.Execute(request)

        async with served(forwards) as above:
            with pytest.raises(errors.NotFound, match="no such city"):
                await above.stub.Execute(call(), timeout=10)


@pytest.mark.parametrize("swallowed", [False, True])
async def test_a_call_that_the_handler_aborted_is_left_alone(swallowed: bool) -> None:  # noqa: FBT001
    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        try:
            await context.abort(grpc.StatusCode.DATA_LOSS, "lost", (("own", "trailer"),))
        except grpc.aio.AbortError:
            if not swallowed:
                raise
        raise errors.NotFound("too late")

    async with served(execute) as agent:
        with capture_logs() as logs:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await agent.bare_stub.Execute(call(), timeout=10)
            await agent.server.drain(10)  # the caller has the status before the handler is over
    assert caught.value.code() is grpc.StatusCode.DATA_LOSS
    assert caught.value.details() == "lost"
    assert dict(caught.value.trailing_metadata()) == {"own": "trailer"}
    assert [(entry["event"], entry["code"]) for entry in logs] == [("rpc", "DATA_LOSS")]


async def test_trailers_of_the_handler_are_kept_beside_the_details_of_an_error() -> None:
    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        context.set_trailing_metadata((("agentmesh-run-id", "abc"),))
        raise errors.NotFound("no such city")

    async with served(execute) as agent:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await agent.bare_stub.Execute(call(), timeout=10)
    trailers = dict(caught.value.trailing_metadata())
    assert trailers.pop("agentmesh-run-id") == "abc"
    assert list(trailers) == [STATUS_KEY]


async def seen_remaining(callers_timeout: float | None, options: Options | None = None) -> float:
    seen = []

    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        deadline = current_deadline.get()
        assert deadline is not None
        seen.append(deadline.remaining())
        return pb.ExecuteResponse()

    async with served(execute, **(options or {})) as agent:
        await agent.bare_stub.Execute(call(), timeout=callers_timeout)
    return seen[0]


async def test_the_handler_knows_the_callers_deadline() -> None:
    assert 20 < await seen_remaining(30) < 33  # on the wire a timeout is rounded up


async def test_without_a_deadline_of_the_caller_the_servers_maximum_is_the_deadline() -> None:
    assert 50 < await seen_remaining(None) <= 60
    assert 90 < await seen_remaining(None, {"max_call_seconds": 100}) <= 100


async def test_the_servers_maximum_cuts_a_later_deadline() -> None:
    assert 5 < await seen_remaining(1000, {"max_call_seconds": 10}) <= 10


async def test_a_method_can_be_without_a_maximum() -> None:
    options: Options = {"max_call_seconds": 10, "unlimited": [f"/{SERVICE}/Execute"]}
    assert await seen_remaining(None, options) == float("inf")
    assert 900 < await seen_remaining(1000, options) < 1100


@pytest.mark.parametrize("callers_timeout", [None, 1000])
async def test_when_the_servers_maximum_passes_the_handler_is_cancelled_and_the_caller_told(
    callers_timeout: float | None,
) -> None:
    cancelled = asyncio.Event()

    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    async with served(execute, max_call_seconds=0.05) as agent:
        with pytest.raises(errors.DeadlineExceeded, match=r"the server's maximum of 0\.05 s passed"):
            await agent.stub.Execute(call(), timeout=callers_timeout)
        await cancelled.wait()


async def test_when_the_callers_deadline_passes_the_handler_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    async with served(execute) as agent:
        with pytest.raises(errors.DeadlineExceeded):
            await agent.stub.Execute(call(), timeout=0.05)
        await cancelled.wait()


async def test_when_the_caller_leaves_the_handler_is_cancelled_and_nothing_counts_as_unexpected() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    async with served(execute) as agent:
        with capture_logs() as logs:
            waiting = asyncio.ensure_future(agent.stub.Execute(call(), timeout=30))
            await started.wait()
            waiting.cancel()
            await cancelled.wait()
            await agent.server.drain(10)
    assert [(entry["event"], entry["code"]) for entry in logs] == [("rpc", "CANCELLED")]


async def test_when_the_reader_of_a_stream_leaves_the_generator_is_closed() -> None:
    closed = asyncio.Event()
    tasks = set()

    async def stream(request: pb.ExecuteStreamRequest, context: Context) -> Messages:
        tasks.add(asyncio.current_task())
        try:
            while True:
                yield progress("more")
                await asyncio.sleep(0)
        finally:
            tasks.add(asyncio.current_task())
            closed.set()

    async with served(stream=stream) as agent:
        async with reading(agent.stub.ExecuteStream(pb.ExecuteStreamRequest(call=call()), timeout=30)) as messages:
            assert (await anext(messages)).progress.message == "more"
        await closed.wait()
    assert len(tasks) == 1, "begun and closed in one task, so that context variables and spans fit"


async def test_a_stream_may_also_be_a_coroutine_that_writes() -> None:
    class Writing(pb_grpc.AgentServicer):
        async def ExecuteStream(self, request: pb.ExecuteStreamRequest, context: Context) -> None:  # type: ignore[override]
            await context.write(progress(request.call.skill))

    service = Service(SERVICE, pb_grpc.add_AgentServicer_to_server, Writing())  # type: ignore[abstract]
    server = build_server("127.0.0.1:0", [service])
    await server.start()
    async with open_channel(server.address) as channel:
        stream = pb_grpc.AgentStub(channel).ExecuteStream(pb.ExecuteStreamRequest(call=call("echo")), timeout=10)
        assert [message.progress.message async for message in stream] == ["echo"]
    await server.stop()


async def test_one_line_a_call_says_method_code_duration_peer_and_what_is_bound() -> None:
    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        structlog.contextvars.bind_contextvars(run_id=request.run_id)
        if request.skill == "fail":
            raise errors.ArgumentsInvalid(
                "city is required",
                violations=[errors.Violation("city", errors.ViolationReason.ARGUMENT_MISSING, "is required")],
            )
        return pb.ExecuteResponse()

    async with served(execute) as agent:
        with capture_logs() as logs:
            await agent.stub.Execute(pb.ExecuteRequest(skill="work", run_id="r1"), timeout=10)
            with pytest.raises(errors.ArgumentsInvalid):
                await agent.stub.Execute(pb.ExecuteRequest(skill="fail", run_id="r2"), timeout=10)
            async for _ in agent.stub.ExecuteStream(pb.ExecuteStreamRequest(call=call()), timeout=10):
                pass
            await agent.server.drain(10)
    first, second, third = (dict(entry) for entry in logs)
    assert first.pop("duration_ms") >= 0
    assert first.pop("peer").startswith("ipv4:127.0.0.1:")
    assert first == {
        "scope": "agentmesh.rpc",
        "event": "rpc",
        "log_level": "info",
        "method": f"{SERVICE}/Execute",
        "code": "OK",
        "run_id": "r1",
    }
    assert (second["run_id"], second["code"], second["reason"]) == ("r2", "INVALID_ARGUMENT", "ARGUMENTS_INVALID")
    assert (second["error"], second["violations"]) == ("<withheld>", ["*: ARGUMENT_MISSING"])
    assert (third["method"], third["code"]) == (f"{SERVICE}/ExecuteStream", "OK")
    assert "run_id" not in third, "what one call bound is not seen by the next"


@pytest.mark.usefixtures("capturing")
async def test_where_content_is_captured_the_line_has_what_an_error_says() -> None:
    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        missing = errors.Violation("city", errors.ViolationReason.ARGUMENT_MISSING, "is required")
        raise errors.ArgumentsInvalid("city is required", violations=[missing])

    async with served(execute) as agent:
        with capture_logs() as logs, pytest.raises(errors.ArgumentsInvalid):
            await agent.stub.Execute(call(), timeout=10)
    assert logs[0]["error"] == "city is required"
    assert logs[0]["violations"] == ["city: ARGUMENT_MISSING: is required"]


async def test_of_violations_that_do_not_fit_the_status_the_log_has_all() -> None:
    many = [errors.Violation(f"steps[{n}]", errors.ViolationReason.SHAPE, "x" * 100) for n in range(500)]

    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        raise errors.PlanInvalid("500 violations", violations=many)

    async with served(execute) as agent:
        with capture_logs() as logs, pytest.raises(errors.PlanInvalid):
            await agent.stub.Execute(call(), timeout=10)
    assert len(logs[0]["violations"]) == 500


async def test_health_and_reflection_are_not_in_the_log() -> None:
    async with served() as agent:
        with capture_logs() as logs:
            stub: Any = health_pb2_grpc.HealthStub(agent.bare)
            await stub.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=10)
    assert logs == []


async def test_a_code_that_a_handler_sets_without_raising_is_in_the_log() -> None:
    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        context.set_code(grpc.StatusCode.ALREADY_EXISTS)
        return pb.ExecuteResponse()

    async with served(execute) as agent:
        with capture_logs() as logs, pytest.raises(errors.RemoteError):
            await agent.stub.Execute(call(), timeout=10)
    assert [entry["code"] for entry in logs] == ["ALREADY_EXISTS"]


async def test_a_method_that_streams_requests_is_not_served() -> None:
    async def collect(requests: object, context: object) -> bytes:
        raise AssertionError((requests, context))

    def add(servicer: Any, server: grpc.aio.Server) -> None:  # noqa: ANN401
        handler = grpc.stream_unary_rpc_method_handler(servicer, bytes, bytes)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("x.Y", {"Z": handler}),))

    server = build_server("127.0.0.1:0", [Service("x.Y", add, collect)])
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await channel.stream_unary("/x.Y/Z")(iter([]), timeout=10)
    await server.stop()
