"""A call that came in over HTTP, as the handlers of the gRPC server see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import NoReturn

import grpc
from connectrpc.errors import ConnectError
from google.protobuf.message import Message
from google.rpc import status_pb2

from agentmesh.deadline import Deadline
from agentmesh.jsonvalues import OFF_LOOP_BYTES
from agentmesh.transport.calls import Metadata
from agentmesh.transport.details import STATUS_KEY
from orchestrator_svc.api.http.errors import connect_error
from orchestrator_svc.api.http.rpcs import Serve


class HttpCall:
    """One call; has what `agentmesh.transport.calls.Call` promises.

    Args:
        headers: Of the request, names in lower case.
        peer: Where it came from.
        deadline: The caller's.
        name: Called with each pair of trailing metadata when it is set.
        write: Makes bytes of a message of a stream.
    """

    def __init__(
        self,
        headers: Metadata,
        peer: str,
        deadline: Deadline,
        *,
        name: Callable[[str, str], None],
        write: Callable[[Message], bytes],
    ) -> None:
        self._headers = headers
        self._peer = peer
        self._deadline = deadline
        self._name = name
        self._write = write
        self._trailers: Metadata = ()
        self._status: status_pb2.Status | None = None
        self._messages: asyncio.Queue[bytes | None] = asyncio.Queue()

    def invocation_metadata(self) -> Metadata:
        return self._headers

    def peer(self) -> str:
        return self._peer

    def time_remaining(self) -> float:
        return self._deadline.remaining()

    def trailing_metadata(self) -> Metadata:
        return self._trailers

    def set_trailing_metadata(self, trailing_metadata: Metadata) -> None:
        self._trailers = trailing_metadata
        for key, value in trailing_metadata:
            if isinstance(value, str):
                self._name(key, value)

    def code(self) -> grpc.StatusCode | None:
        if self._status is None:
            return None
        return next(code for code in grpc.StatusCode if code.value[0] == self._status.code)

    def set_code(self, code: grpc.StatusCode) -> None:
        self._status = status_pb2.Status(code=code.value[0], message=self._status.message if self._status else "")

    def set_details(self, details: str) -> None:
        self._status = status_pb2.Status(code=self._status.code if self._status else 0, message=details)

    async def write(self, message: Message) -> None:
        """Hand over one message; return when it was sent."""
        is_large = message.ByteSize() > OFF_LOOP_BYTES
        self._messages.put_nowait(await asyncio.to_thread(self._write, message) if is_large else self._write(message))
        await self._messages.join()

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()) -> NoReturn:
        status = status_pb2.Status(code=code.value[0], message=details)
        for key, value in trailing_metadata:
            if key == STATUS_KEY and isinstance(value, bytes):
                status = status_pb2.Status.FromString(value)
        self._status = status
        raise grpc.aio.AbortError

    async def answer(self, serve: Serve, request: bytes) -> bytes:
        """Return the answer of a method that gives one.

        Raises:
            ConnectError: The call failed.
        """
        try:
            answer = await serve(request, self)
        except grpc.aio.AbortError:
            raise self._error() from None
        if self._status is not None and self._status.code:
            raise self._error()
        assert answer is not None
        return answer

    async def messages(self, serve: Serve, request: bytes) -> AsyncGenerator[bytes, None]:
        """Give what a method streams; the next one is made when the one before was sent.

        The method runs in a task of its own, because it writes and connectrpc asks; it ends with this generator.

        Raises:
            ConnectError: The call failed.
        """
        work = asyncio.ensure_future(serve(request, self))
        work.add_done_callback(lambda _: self._messages.put_nowait(None))
        try:
            while (message := await self._messages.get()) is not None:
                yield message
                self._messages.task_done()
            try:
                await work
            except grpc.aio.AbortError:
                raise self._error() from None
        finally:
            work.cancel()
            await asyncio.wait([work])

    def _error(self) -> ConnectError:
        assert self._status is not None
        return connect_error(self._status)
