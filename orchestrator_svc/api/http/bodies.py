"""Bodies of requests: all of one must arrive in time."""

from __future__ import annotations

import asyncio

from agentmesh import errors
from agentmesh.http.asgi import Message, Receive
from orchestrator_svc.api.http.errors import error_of


class InTime:
    """An ASGI `receive` that gives the body a time; what comes after it, the caller's leaving, may take any.

    Raises:
        ConnectError: The body was not there in time: DEADLINE_EXCEEDED.
    """

    def __init__(self, receive: Receive, seconds: float) -> None:
        self._receive = receive
        self._seconds = seconds
        self._end = asyncio.get_running_loop().time() + seconds
        self._whole = False

    async def __call__(self) -> Message:
        if self._whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._end):
                message = await self._receive()
        except TimeoutError:
            text = f"the body of the request did not arrive within {self._seconds:g} s"
            raise error_of(errors.DeadlineExceeded(text)) from None
        self._whole = message["type"] != "http.request" or not message.get("more_body", False)
        return message
