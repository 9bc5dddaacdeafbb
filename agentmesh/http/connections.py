"""HTTP connections, bounded: how many there are, how long one may say nothing, and how long it may take nothing.

uvicorn bounds the pause between two requests; what comes before, during and after one is bounded here. All connections
of the process share its file descriptors, and those of gRPC must not run out.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one server; times in seconds."""

    connections: int = 512
    """More are closed at once. Half of the 1024 descriptors that a process commonly has."""
    head_seconds: float = 10.0
    """For the headers of a request to arrive, from the connection or from their first byte."""
    body_seconds: float = 30.0
    """For the body; 4 MiB at 1.1 Mbit/s."""
    stall_seconds: float = 10.0
    """For a caller to take some of an answer that is held up."""
    between_seconds: int = 15
    """Between two requests."""
    after_seconds: float = 2.0
    """For the rest of a request that was answered before it was there: at once closed, a caller may lose the answer."""


class BoundedConnection(H11Protocol):
    """One connection."""

    def __init__(
        self, config: Config, server_state: ServerState, bounds: Bounds, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(config, server_state, {}, loop)
        self._bounds = bounds
        self._fresh = True  # no request has come yet
        self._head: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if len(self.connections) >= self._bounds.connections:
            self.transport = transport
            transport.abort()
            return
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._head, self._stall):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        try:
            super().data_received(data)
        except h11.LocalProtocolError:  # it would answer garbage behind a request that it has answered already
            self.transport.abort()
            return
        self._await_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._await_head()
        if self.conn.their_state is h11.SEND_BODY:
            self.loop.call_later(self._bounds.after_seconds, self._end_unless_read, self.cycle)

    def pause_writing(self) -> None:
        super().pause_writing()
        # A little later than the call ends: its log then says READER_STALLED.
        self._stall = self.loop.call_later(self._bounds.stall_seconds + 0.5, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()

    def _await_head(self) -> None:
        """Keep the timer running exactly while headers are awaited: none, or not all of them, have come."""
        self._fresh = self._fresh and self.conn.their_state is h11.IDLE
        awaited = self._fresh or (self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0]))
        if awaited and self._head is None:
            self._head = self.loop.call_later(self._bounds.head_seconds, self.transport.abort)
        elif not awaited and self._head is not None:
            self._head.cancel()
            self._head = None

    def _end_unless_read(self, answered: object) -> None:
        if self.cycle is answered and self.conn.their_state is h11.SEND_BODY:
            self.transport.close()
