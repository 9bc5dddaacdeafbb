"""The HTTP server beside the gRPC server: in its event loop, with its calls, started and stopped with it.

Of uvicorn the protocol is used and not its `Server`, which takes the signals of the process and ends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, cast

import structlog
from uvicorn.config import Config
from uvicorn.server import ServerState

from agentmesh.errors import Reason
from agentmesh.transport import Service
from agentmesh.transport.listen import ListenAddress
from orchestrator_svc.api.http.asgi import App
from orchestrator_svc.api.http.connect import ConnectApp
from orchestrator_svc.api.http.connections import BoundedConnection, Bounds
from orchestrator_svc.api.http.front import Front
from orchestrator_svc.api.http.origins import Origins
from orchestrator_svc.api.http.rpcs import Guard, rpcs_of

_BACKLOG: Final = 128
_MAX_HEAD_BYTES: Final = 32 * 1024
_CANCELLATION_SECONDS: Final = 2.0
_log = structlog.get_logger(scope="agentmesh.http")


def build_http_server(
    listen: str,
    services: Sequence[Service],
    guard: Guard,
    why_not_ready: Callable[[], Reason | None],
    *,
    concerns: Callable[[], Mapping[str, str]] = dict,
    allow_plaintext: bool,
    allowed_origins: Collection[str],
    bounds: Bounds,
) -> HttpServer:
    """Put a server together; it binds when it starts.

    Args:
        listen: `host:port` (port 0: the kernel chooses), `[IPv6]:port` or `unix:/path`.
        services: As the gRPC server has them.
        guard: `MeshServer.guard` of that server.
        why_not_ready: Gives the reason why questions cannot be answered now; None if they can.
        concerns: Gives what is not as it should be although questions are answered, in words, by what it is about.
        allow_plaintext: Whether an address that other machines reach may be served without TLS.
        allowed_origins: Of web pages that may call.
        bounds: Of connections.

    Raises:
        CannotListen: If the address is malformed, or needs `allow_plaintext`.
    """
    address = ListenAddress.parse(listen)
    address.check_plaintext(allowed=allow_plaintext)
    rpcs = rpcs_of(services, guard)
    front = Front(
        rpcs,
        cast("App", ConnectApp(rpcs)),
        Origins(allowed_origins),
        why_not_ready,
        concerns=concerns,
        body_seconds=bounds.body_seconds,
    )
    return HttpServer(address, front, bounds)


class HttpServer:
    """Serves an ASGI application; a `Companion` of the gRPC server."""

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
