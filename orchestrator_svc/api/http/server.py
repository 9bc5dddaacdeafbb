"""The HTTP server beside the gRPC server: in its event loop, with its calls, started and stopped with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import cast

from agentmesh.errors import Reason
from agentmesh.http.asgi import App
from agentmesh.http.connections import Bounds
from agentmesh.http.server import HttpServer
from agentmesh.listen import ListenAddress
from agentmesh.transport import Service
from orchestrator_svc.api.http.connect import ConnectApp
from orchestrator_svc.api.http.front import Front
from orchestrator_svc.api.http.origins import Origins
from orchestrator_svc.api.http.rpcs import Guard, rpcs_of


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
