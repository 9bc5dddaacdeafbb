"""The one client interceptor: what remains of the deadline and the trace go out, errors of our tree come back.

One class for each kind of call, because grpc.aio registers an interceptor of both kinds for unary calls alone.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar, cast

import grpc

from agentmesh import errors
from agentmesh.deadline import timeout_of_call
from agentmesh.errors import Code, MeshError
from agentmesh.reasons import code_of, reason_of
from agentmesh.telemetry.rpc import SentCall, server_attributes
from agentmesh.transport.status import from_rpc_error

_CLOSED: Final = "the connection was closed on this side"

# Quoted: the classes are generic for the type checker alone.
_UnaryCall: TypeAlias = "grpc.aio.UnaryUnaryCall[Any, Any]"
_StreamCall: TypeAlias = "grpc.aio.UnaryStreamCall[Any, Any]"
_Details: TypeAlias = grpc.aio.ClientCallDetails
_Message = TypeVar("_Message")


def _no_channel() -> None:
    return None


class _Outgoing:
    """What both kinds do before a call.

    Args:
        peer: What texts of errors call the other side.
        metadata: Sent with every call, before what the call itself brings.
        address: What the channel is opened to.
    """

    def __init__(self, peer: str, metadata: Mapping[str, str], address: str) -> None:
        self._peer = peer
        self._server = server_attributes(address)
        self._metadata = tuple(metadata.items())
        self._channel: Callable[[], grpc.aio.Channel | None] = _no_channel

    def belongs_to(self, channel: grpc.aio.Channel) -> None:
        """Tell the interceptor its channel, which is made after it."""
        self._channel = weakref.ref(channel)

    def _prepared(self, details: _Details) -> tuple[_Details, SentCall]:
        timeout = timeout_of_call(self._peer, details.timeout)
        method = cast("str | bytes", details.method)  # declared as text, and bytes
        sent = SentCall((method if isinstance(method, str) else method.decode()).removeprefix("/"), self._server)
        metadata = (*self._metadata, *sent.metadata().items(), *(details.metadata or ()))
        prepared = grpc.aio.ClientCallDetails(
            method=details.method,
            timeout=timeout,
            metadata=grpc.aio.Metadata(*metadata),
            credentials=details.credentials,
            wait_for_ready=details.wait_for_ready,
        )
        return prepared, sent

    def _channel_is_closed(self) -> bool:
        channel = self._channel()
        return channel is None or channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN

    def _check_read(self, message: object) -> None:
        """Raise for the None that grpc.aio gives where the bytes that came do not parse."""
        if message is None:
            raise errors.RemoteError(f"{self._peer} answered with bytes that do not parse", code=Code.INTERNAL)

    def _unreachable(self) -> errors.Unreachable:
        return errors.Unreachable(f"{self._peer} is unavailable: {_CLOSED}")


class UnaryClientInterceptor(_Outgoing, grpc.aio.UnaryUnaryClientInterceptor):
    """Unary calls."""

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: _Details, request: object
    ) -> _UnaryCall:
        """Raise MeshError where the call fails; CancelledError only where the caller is cancelled."""
        details, sent = self._prepared(client_call_details)
        with _observed(sent):
            try:
                call: _UnaryCall = await continuation(details, request)
                # The call itself: a cancellation while `call.code()` is awaited would not reach the server.
                self._check_read(await call)
            except grpc.aio.AioRpcError as error:
                raise from_rpc_error(error, self._peer) from error
            except grpc.aio.UsageError as error:  # the channel was closed before
                raise self._unreachable() from error
            except asyncio.CancelledError:
                # This task is the interceptor's own. It is cancelled once by a caller who leaves, and once by a channel
                # that is closed, which must not look like a cancellation to a caller who stays.
                if self._channel_is_closed() and _cancellations() == 1:
                    raise self._unreachable() from None
                raise
        return call


class StreamClientInterceptor(_Outgoing, grpc.aio.UnaryStreamClientInterceptor):
    """Server-streaming calls."""

    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: _Details, request: object
    ) -> AsyncIterator[Any]:
        """Return the messages; reading them raises MeshError where the call fails."""
        details, sent = self._prepared(client_call_details)
        reader = _Reader()
        with _observed(sent, whole=False):
            try:
                call: _StreamCall = await continuation(details, request)
            except grpc.aio.UsageError as error:
                raise self._unreachable() from error
            call.add_done_callback(lambda ended: _note_left(sent, reader, ended))
        messages = self._messages(call, sent, reader)
        weakref.finalize(messages, sent.end_on_purpose).atexit = False  # nobody has read it, or will read on
        return messages

    async def _messages(self, call: _StreamCall, sent: SentCall, reader: _Reader) -> AsyncIterator[Any]:
        with _observed(sent):
            try:
                reader.waits()
                async for message in call:
                    self._check_read(message)
                    reader.has_one()
                    yield message
                    reader.waits()
            except grpc.aio.AioRpcError as error:
                raise from_rpc_error(error, self._peer) from error
            except asyncio.CancelledError:
                if self._channel_is_closed() and _cancellations() == 0:  # this task is the reader's
                    raise self._unreachable() from None
                raise


@dataclass(slots=True)
class _Reader:
    """Whoever reads a stream."""

    task: asyncio.Task[Any] | None = None
    is_waiting: bool = False
    """For the next message; how that ends is how the call ended."""

    def waits(self) -> None:
        self.task, self.is_waiting = asyncio.current_task(), True

    def has_one(self) -> None:
        self.is_waiting = False


@contextmanager
def _observed(sent: SentCall, *, whole: bool = True) -> Iterator[None]:
    """Note how the call ended, by what leaves the block; where it is not the whole call, only how it failed."""
    try:
        yield
    except asyncio.CancelledError:
        sent.end(Code.CANCELLED)
        raise
    except MeshError as error:
        sent.end(code_of(error), str(reason_of(error)))
        raise
    except GeneratorExit:  # whoever read it has enough
        sent.end_on_purpose()
        raise
    except BaseException as error:
        sent.end(Code.INTERNAL, type(error).__qualname__)
        raise
    if whole:
        sent.end(Code.OK)


def _note_left(sent: SentCall, reader: _Reader, ended: grpc.aio.Call) -> None:
    """For a stream that is left while nobody waits for its next message: by a task that is cancelled, or on purpose."""
    if not ended.cancelled() or reader.is_waiting:
        return
    if reader.task is not None and reader.task.cancelling():
        sent.end(Code.CANCELLED)
    else:
        sent.end_on_purpose()


@asynccontextmanager
async def reading(call: grpc.aio.UnaryStreamCall[Any, _Message]) -> AsyncIterator[AsyncIterator[_Message]]:
    """Give the messages of a stream, and cancel the call when the block is left.

    Leaving a bare `async for` early does not cancel it: the server would go on sending.
    """
    messages = aiter(call)
    try:
        yield messages
    finally:
        call.cancel()
        if isinstance(messages, AsyncGenerator):
            await messages.aclose()


def _cancellations() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
