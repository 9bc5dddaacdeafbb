"""An HTTP server in an event loop that serves other things as well.

Of uvicorn the protocol is used and not its `Server`, which takes the signals of the process and ends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

from uvicorn.config import Config
from uvicorn.server import ServerState

from agentmesh.http.asgi import App
from agentmesh.http.connections import BoundedConnection, Bounds
from agentmesh.listen import ListenAddress

_BACKLOG: Final = 128
_MAX_HEAD_BYTES: Final = 32 * 1024
_CANCELLATION_SECONDS: Final = 2.0


class HttpServer:
    """Serves an ASGI application; a `Companion` of a gRPC server."""

    def __init__(self, address: ListenAddress, app: App, bounds: Bounds) -> None:
        self._listen = address
        self._bounds = bounds
        self._state = ServerState()
        self._config = Config(
            cast("Callable[..., object]", app),
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="error",  # warnings are about requests that are no HTTP
            access_log=False,  # every call has a line already
            proxy_headers=False,
            timeout_keep_alive=bounds.between_seconds,
            h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
        )
        self._server: asyncio.Server | None = None
        self._address = str(address)

    @property
    def address(self) -> str:
        """Where it listens, with the real port once it has started."""
        return self._address

    async def start(self) -> None:
        """Bind and take requests.

        Raises:
            CannotListen: If the address is taken, or not ours.
        """
        loop = asyncio.get_running_loop()
        bound = self._listen.bind()
        if not self._listen.path:
            self._address = self._listen.with_port(bound.getsockname()[1])
        create = loop.create_unix_server if self._listen.path else loop.create_server
        self._server = await create(
            lambda: BoundedConnection(self._config, self._state, self._bounds, loop), sock=bound, backlog=_BACKLOG
        )

    async def stop(self, grace_seconds: float) -> None:
        """Close; requests in flight get the grace, and are then cancelled."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        await self._until_none(grace_seconds)
        for task in self._state.tasks:
            task.cancel()
        await self._until_none(_CANCELLATION_SECONDS)
        for connection in list(self._state.connections):
            connection.transport.abort()
        self._server = None
        self._listen.leave()

    async def _until_none(self, seconds: float) -> None:
        if self._state.tasks:
            await asyncio.wait(set(self._state.tasks), timeout=seconds)
