"""What leaves a server for a reader that may take it slowly, or not at all: messages of a stream, and statuses."""

from __future__ import annotations

import asyncio
from typing import Final

import grpc
from google.protobuf.message import Message
from google.rpc import status_pb2

from agentmesh import errors
from agentmesh.transport.calls import Call
from agentmesh.transport.details import STATUS_KEY

_STATUS_SECONDS: Final = 0.2  # in which a status leaves that no message holds up
_STATUS_CODES: Final = {status.value[0]: status for status in grpc.StatusCode}


async def send_message(message: Message, context: Call, *, stall_seconds: float) -> None:
    """Write one message of a stream; return when the reader's flow control has let it go.

    Until then a stream produces nothing more. The window that a reader has is opened by the cores of both sides as the
    data flow, and not by what it reads: on loopback 4 to 6 MB went out to one that read nothing, whether in messages of
    1 kB or of 1 MB, fast or slowly. A stream of less ends without ever waiting for its reader.

    Raises:
        errors.ReaderStalled: The message was held up for so long.
        asyncio.CancelledError: The reader is gone.
    """
    try:
        async with asyncio.timeout(stall_seconds):
            await context.write(message)
    except TimeoutError:
        raise errors.ReaderStalled(f"the reader of this stream took nothing for {stall_seconds:g} s") from None
    except grpc.aio.InternalError:  # how a write fails that the end of the call overtakes
        raise asyncio.CancelledError from None


async def send_status(status: status_pb2.Status, context: Call) -> None:
    """End the call so; what the handler put into the trailers stays there.

    Behind a message that is held up the status is held up, too. It is not waited for then: the core has it, and sends
    it if the reader goes on.

    Raises:
        grpc.aio.AbortError: As `context.abort` does, when the status has left.
        grpc.aio.UsageError: The call was ended before.
    """
    trailers = (*(context.trailing_metadata() or ()), (STATUS_KEY, status.SerializeToString()))
    try:
        async with asyncio.timeout(_STATUS_SECONDS):
            await context.abort(_STATUS_CODES[status.code], status.message, trailers)
    except (TimeoutError, grpc.aio.InternalError):  # held up, or nobody is there any more
        return
