"""The small trace server: OTLP in, traces over HTTP out, all in memory, on this machine alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from agentmesh.http.connections import Bounds
from agentmesh.http.server import HttpServer
from agentmesh.listen import ListenAddress
from agentmesh.traces.api import TraceApi
from agentmesh.traces.receiver import OtlpReceiver
from agentmesh.traces.store import Limits, TraceStore

ANY_PORT: Final = "127.0.0.1:0"
_START_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 5.0
_GRACE_SECONDS: Final = 0.5
_BOUNDS: Final = Bounds(connections=32)
"""A few readers on this machine."""


@dataclass(frozen=True, slots=True)
class Served:
    """Where it serves."""

    otlp: str
    """`host:port` of OTLP over gRPC."""
    http: str
    """`host:port` of the API."""

    @property
    def otlp_endpoint(self) -> str:
        """As OTEL_EXPORTER_OTLP_ENDPOINT takes it."""
        return f"http://{self.otlp}"

    @property
    def url(self) -> str:
        """As AGENTMESH_TRACE_API_URL takes it."""
        return f"http://{self.http}"


class TraceServer:
    """Both servers over one store; start it and stop it in one running event loop.

    Args:
        http: Where the API is served, a loopback address; port 0 takes a free one.
        limits: Of what is kept.

    Raises:
        CannotListen: The address is none, or not on this machine alone.
    """

    def __init__(self, http: str = ANY_PORT, limits: Limits | None = None) -> None:
        self.store = TraceStore(limits)
        address = ListenAddress.parse(http)
        address.check_plaintext(allowed=False)
        self._receiver = OtlpReceiver(self.store)
        self._http = HttpServer(address, TraceApi(self.store), _BOUNDS)

    async def start(self) -> Served:
        """Serve.

        Raises:
            CannotListen: The address is taken.
        """
        await self._http.start()
        await self._receiver.start()
        return Served(self._receiver.address, self._http.address)

    async def stop(self) -> None:
        """Close; requests in flight get a moment."""
        await self._receiver.stop()
        await self._http.stop(_GRACE_SECONDS)


@contextmanager
def serving_traces(http: str = ANY_PORT, limits: Limits | None = None) -> Iterator[Served]:
    """Serve from a thread with a loop of its own as long as the block runs, whatever becomes of the thread.

    Raises:
        CannotListen: The address is taken, none, or not on this machine alone.
    """
    started: Future[Served] = Future()
    stop: Future[None] = Future()
    thread = threading.Thread(target=_run, args=(http, limits, started, stop), name="traces", daemon=True)
    thread.start()
    try:
        yield started.result(_START_SECONDS)
    finally:
        stop.set_result(None)
        thread.join(_STOP_SECONDS)


def _run(http: str, limits: Limits | None, started: Future[Served], stop: Future[None]) -> None:
    async def serve() -> None:
        server = TraceServer(http, limits)
        try:
            started.set_result(await server.start())
            await asyncio.wrap_future(stop)
        finally:
            await server.stop()

    try:
        asyncio.run(serve())
    except OSError as error:
        if started.done():
            raise
        started.set_exception(error)
