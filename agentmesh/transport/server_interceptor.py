"""The one server interceptor: request checks, deadline, errors to statuses, call log, span and duration.

One and not five, because each costs every call (benchmarks/transport.py). It takes the deserializer of a method away
and parses inside its own `try`: what does not parse would otherwise be answered past every interceptor, with the text
of the protobuf library. Health and reflection, `/grpc.*`, pass untouched.

Calls that come in by another protocol are served by the same code: `ServerInterceptor.guard`.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast
from urllib.parse import unquote

import grpc
import structlog
from google.protobuf.message import Message
from google.rpc import status_pb2
from opentelemetry import trace

from agentmesh import errors
from agentmesh.deadline import Deadline, current_deadline
from agentmesh.errors import Code, MeshError
from agentmesh.incidents import as_internal, close_incident
from agentmesh.reasons import code_of, reason_of
from agentmesh.telemetry.failures import told
from agentmesh.telemetry.rpc import ServedCall
from agentmesh.telemetry.spans import current_trace_id, record_bug
from agentmesh.transport.calls import Call
from agentmesh.transport.door import Door
from agentmesh.transport.requests import RequestReader
from agentmesh.transport.sending import send_message, send_status
from agentmesh.transport.status import from_rpc_error, to_status

_log = structlog.get_logger(scope="agentmesh.rpc")


Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # quoted: generic for the type checker alone
_Behavior = Callable[[Message, Call], Any]


@dataclass(frozen=True, slots=True)
class WireProtocol:
    """What differs between the protocols that a call may come in by."""

    name: str
    """In telemetry, as the conventions have it."""
    ends_calls: bool
    """Whether it ends a call at the caller's deadline by itself."""
    off_loop_bytes: float
    """Messages of more bytes than this are parsed and serialized in a thread, because that takes long."""


GRPC: Final = WireProtocol("grpc", ends_calls=True, off_loop_bytes=math.inf)


@dataclass(frozen=True, slots=True)
class _Method:
    name: str  # agentmesh.v1.Agent/Execute
    parse: Callable[[bytes], Message]
    serialize: Callable[[Message], bytes]
    behavior: _Behavior
    max_seconds: float
    stall_seconds: float
    protocol: WireProtocol


_Work = Callable[[_Method, Message, Call], Coroutine[Any, Any, bytes | None]]


class ServerInterceptor(grpc.aio.ServerInterceptor):
    """Serves unary and server-streaming methods whose handlers are coroutines or async generators.

    Handlers raise MeshError; what else escapes is a bug: logged with its traceback, answered with a fixed text. The
    deadline of a call is in `current_deadline`: the caller's, or the server's maximum if that comes first.

    Args:
        reader: Makes requests from bytes.
        door: Lets calls in.
        max_call_seconds: The server's maximum for every call.
        unlimited: Methods without that maximum, as `/agentmesh.v1.Registry/WatchAgents`.
        stall_seconds: How long the reader of a stream may hold up one message of an async generator.
    """

    def __init__(
        self,
        reader: RequestReader,
        door: Door,
        *,
        max_call_seconds: float,
        unlimited: Collection[str],
        stall_seconds: float,
    ) -> None:
        self._reader = reader
        self._door = door
        self._max_call_seconds = max_call_seconds
        self._unlimited = frozenset(unlimited)
        self._stall_seconds = stall_seconds
        self._handlers: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Put our handler in the place of the servicer's; made once for each method."""
        name = handler_call_details.method
        known = self._handlers.get(name)
        if known is not None:
            return known
        handler = await continuation(handler_call_details)
        if handler is None or name.startswith("/grpc."):  # none: the core answers UNIMPLEMENTED
            return handler
        made = self._handlers[name] = self.guard(name, handler)
        return made

    def guard(self, name: str, handler: Handler, protocol: WireProtocol = GRPC) -> Handler:
        """Return what serves the method: a handler that takes bytes, raises nothing but AbortError, and leaves a log.

        Args:
            name: As `/agentmesh.v1.Agent/Execute`.
            handler: With the deserializer and the serializer of the protocol.
            protocol: What the calls come in by.

        Raises:
            TypeError: For a method that takes a stream.
        """
        if handler.request_streaming or handler.request_deserializer is None or handler.response_serializer is None:
            raise TypeError(f"{name}: only methods that take one message are served")
        method = _Method(
            name=name.removeprefix("/"),
            parse=handler.request_deserializer,
            serialize=handler.response_serializer,
            behavior=cast("_Behavior", handler.unary_stream if handler.response_streaming else handler.unary_unary),
            max_seconds=math.inf if name in self._unlimited else self._max_call_seconds,
            stall_seconds=self._stall_seconds,
            protocol=protocol,
        )
        work: _Work = _stream if handler.response_streaming else _unary

        async def serve(serialized: bytes, context: Call) -> bytes | None:
            return await self._serve(method, work, serialized, context)

        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(serve, response_serializer=method.serialize)
        return grpc.unary_unary_rpc_method_handler(serve)

    async def _read(self, method: _Method, serialized: bytes) -> Message:
        if len(serialized) > method.protocol.off_loop_bytes:
            return await asyncio.to_thread(self._reader.read, serialized, method.parse)
        return self._reader.read(serialized, method.parse)

    async def _serve(self, method: _Method, work: _Work, serialized: bytes, context: Call) -> bytes | None:
        started = time.perf_counter()
        code = Code.OK
        error: MeshError | None = None
        answer: bytes | None = None
        observed = ServedCall(method.name, method.protocol.name, context.invocation_metadata())
        try:
            await self._door.enter(method.name)
            request = await self._read(method, serialized)
            answer = await _within_maximum(method, work(method, request, context), context)
            code = _code_that_is_set(context)
        except asyncio.CancelledError:
            # context.cancelled() is still False here, and time_remaining() is None without a deadline.
            code = Code.DEADLINE_EXCEEDED if _remaining(context) <= 0 else Code.CANCELLED
            raise
        except grpc.aio.AbortError:
            code = _code_that_is_set(context)
            raise
        except (KeyboardInterrupt, SystemExit, GeneratorExit):  # the process, or the task, is to end
            raise
        except BaseException as raised:  # noqa: BLE001 - the edge: a call without an answer would hang (panics of Rust)
            error, status = _answer_to(raised, method)
            code = code_of(error)
            try:
                await send_status(status, context)
            except grpc.aio.UsageError:  # the handler aborted, and raised something else afterwards
                code = _code_that_is_set(context)
        finally:
            _log_call(method, code, error, started, context)
            observed.end(code, "" if error is None else str(reason_of(error)))
        return answer


async def _unary(method: _Method, request: Message, context: Call) -> bytes:
    returned = _call(method, request, context)
    answer = await returned if inspect.isawaitable(returned) else returned
    # ByteSize walks the whole message, so it is asked for only where its answer matters.
    if math.isfinite(method.protocol.off_loop_bytes) and answer.ByteSize() > method.protocol.off_loop_bytes:
        return await asyncio.to_thread(method.serialize, answer)
    return method.serialize(answer)


async def _stream(method: _Method, request: Message, context: Call) -> None:
    """An async generator runs in this task, and is closed with it whatever happens."""
    returned = _call(method, request, context)
    if not inspect.isasyncgen(returned):
        await returned  # a coroutine that writes to the context by itself
        return
    async with aclosing(returned) as messages:
        async for message in cast("AsyncGenerator[Message, None]", messages):
            await send_message(message, context, stall_seconds=method.stall_seconds)


def _call(method: _Method, request: Message, context: Call) -> Any:  # noqa: ANN401 - whatever the handler is
    try:
        return method.behavior(request, context)
    except NotImplementedError:  # the generated base class, which is not a coroutine
        raise errors.FieldNotSupported(f"{method.name} is not supported yet") from None


async def _within_maximum(method: _Method, work: Coroutine[Any, Any, bytes | None], context: Call) -> bytes | None:
    """Set the deadline of the call; give up at the server's maximum, and by some protocols at the deadline."""
    remaining = _remaining(context)
    seconds = min(remaining, method.max_seconds)
    current_deadline.set(Deadline.after(seconds))
    if remaining <= method.max_seconds and method.protocol.ends_calls:
        return await work
    end = asyncio.timeout(seconds)
    try:
        async with end:
            return await work
    except TimeoutError:
        if not end.expired():
            raise
        whose = "the deadline of the caller" if remaining <= seconds else f"the server's maximum of {seconds:g} s"
        raise errors.DeadlineExceeded(f"{whose} passed") from None


def _remaining(context: Call) -> float:
    """Seconds until the caller's deadline; infinite if it has none, where gRPC says None."""
    remaining = context.time_remaining()
    return math.inf if remaining is None else remaining


def _code_that_is_set(context: Call) -> Code:
    """What the handler set or aborted with; OK if it did neither."""
    status = cast("grpc.StatusCode | None", context.code())
    return Code.OK if status is None else Code(status.value[0])


def _answer_to(raised: BaseException, method: _Method) -> tuple[MeshError, status_pb2.Status]:
    error = _as_mesh_error(raised, method)
    try:
        return error, to_status(error)
    except Exception as bug:  # noqa: BLE001 - what an author put into an error need not be what its types say
        error = _as_mesh_error(bug, method)
        return error, to_status(error)


def _as_mesh_error(raised: BaseException, method: _Method) -> MeshError:
    if isinstance(raised, MeshError):
        return raised
    if isinstance(raised, grpc.aio.AioRpcError):
        return from_rpc_error(raised, "a service behind this one")
    record_bug(trace.get_current_span(), raised)
    internal = as_internal(raised).in_trace(current_trace_id())
    _log.error("unexpected error", method=method.name, incident=close_incident(raised), exc_info=raised)
    return internal


def _log_call(method: _Method, code: Code, error: MeshError | None, started: float, context: Call) -> None:
    _log.info(
        "rpc",
        method=method.name,
        code=code.name,
        duration_ms=round((time.perf_counter() - started) * 1000, 3),
        peer=unquote(context.peer()),
        **(told(error) if error is not None else {}),
    )
