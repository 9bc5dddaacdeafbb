"""grpc.aio servers as the mesh runs them: one interceptor, health per service, reflection, an orderly end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Protocol

import grpc
from google.rpc import error_details_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from agentmesh.listen import CannotListen, ListenAddress
from agentmesh.transport.door import Door
from agentmesh.transport.options import MAX_MESSAGE_BYTES, server_options
from agentmesh.transport.requests import MAX_REQUEST_BYTES, RequestReader
from agentmesh.transport.server_interceptor import Handler, ServerInterceptor, WireProtocol

# Reflection serves what this process has loaded, and callers want to read the details of errors.
DESCRIBED_BY_REFLECTION = (error_details_pb2.DESCRIPTOR,)

_NOTHING: Mapping[str, Collection[str]] = MappingProxyType({})
_CANCELLATION_SECONDS: Final = 2.0  # the core does not wait until the handlers that it cancels have ended
_LAST_ANSWERS_SECONDS: Final = 2.0  # for answers of other protocols to leave, after their calls have ended


@dataclass(frozen=True, slots=True)
class Service:
    """A service to serve."""

    name: str
    """Full name, as `agentmesh.v1.Agent`; health is asked by it."""
    add: Callable[[Any, grpc.aio.Server], None]
    """The generated `add_..._to_server`."""
    servicer: object


class Companion(Protocol):
    """Serves the methods of a server by another protocol; lives as long as the server does."""

    async def start(self) -> None:
        """Take calls.

        Raises:
            CannotListen: If its address is not to be had.
        """

    async def stop(self, grace_seconds: float) -> None:
        """Take no calls any more; cancel those that are still in flight after the grace. May be called again."""


def build_server(
    listen: str,
    services: Sequence[Service],
    *,
    allow_plaintext: bool = False,
    max_call_seconds: float = 60.0,
    unlimited: Collection[str] = (),
    stall_seconds: float = 10.0,
    while_draining: Collection[str] = (),
    background: Callable[[], Collection[asyncio.Task[None]]] = tuple,
    max_request_bytes: int = MAX_REQUEST_BYTES,
    not_supported: Mapping[str, Collection[str]] = _NOTHING,
) -> MeshServer:
    """Bind the address; call it inside the running event loop, then `await server.start()`.

    Args:
        listen: `host:port` (port 0: the kernel chooses), `[IPv6]:port` or `unix:/path`.
        services: What to serve, besides health and reflection.
        allow_plaintext: Whether an address that other machines reach may be served without TLS.
        max_call_seconds: The server's maximum for a call, also where the caller's deadline is later or missing.
        unlimited: Methods without that maximum, as `/agentmesh.v1.Registry/WatchAgents`.
        stall_seconds: How long the reader of a stream may hold up one message; then READER_STALLED.
        while_draining: Methods that are served until the server stops: what work in flight needs of others, as
            `/agentmesh.v1.Registry/Heartbeat`.
        background: Gives the work without a call that is under way: a drain waits for it as for calls.
        max_request_bytes: Greatest request; above it REQUEST_INVALID, and far above the core's RESOURCE_EXHAUSTED.
        not_supported: Full name of a message -> its fields that are refused when set (FIELD_NOT_SUPPORTED).

    Raises:
        CannotListen: If the address is taken, not ours, malformed, or needs `allow_plaintext`.
    """
    address = ListenAddress.parse(listen)
    address.check_plaintext(allowed=allow_plaintext)
    address.check_free()
    reader = RequestReader(max_request_bytes=max_request_bytes, not_supported=not_supported)
    door = Door(while_draining)
    interceptor = ServerInterceptor(
        reader, door, max_call_seconds=max_call_seconds, unlimited=unlimited, stall_seconds=stall_seconds
    )
    server = grpc.aio.server(
        interceptors=(interceptor,), options=server_options(max(MAX_MESSAGE_BYTES, 2 * max_request_bytes))
    )
    for service in services:
        service.add(service.servicer, server)
    health_servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    names = [service.name for service in services]
    reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    try:
        port = server.add_insecure_port(str(address))
    except RuntimeError:
        raise CannotListen(f"cannot listen on {address}: {address.why_not()}") from None
    return MeshServer(
        server,
        door=door,
        health_servicer=health_servicer,
        services=names,
        address=address,
        port=port,
        background=background,
        guard=interceptor.guard,
    )


class MeshServer:
    """A server that has its address and does not serve yet; `build_server` makes it."""

    def __init__(
        self,
        server: grpc.aio.Server,
        *,
        door: Door,
        health_servicer: health.aio.HealthServicer,
        services: Sequence[str],
        address: ListenAddress,
        port: int,
        background: Callable[[], Collection[asyncio.Task[None]]],
        guard: Callable[[str, Handler, WireProtocol], Handler],
    ) -> None:
        self._server = server
        self._door = door
        self._health = health_servicer
        self._serving = dict.fromkeys(services, False)
        self._background = background
        self._guard = guard
        self._companions: list[Companion] = []
        self._stopped = False
        self._port = 0 if address.path else port
        self._address = address.with_port(port)

    @property
    def address(self) -> str:
        """Where it listens, with the real port."""
        return self._address

    @property
    def port(self) -> int:
        """The real port; 0 for a unix socket."""
        return self._port

    @property
    def calls_in_flight(self) -> int:
        """Calls whose answer has not left yet, without health and reflection."""
        return len(self._door.calls)

    @property
    def draining(self) -> bool:
        """Whether new calls are refused."""
        return self._door.refuses

    def is_serving(self, name: str) -> bool:
        """What health says of a service.

        Raises:
            KeyError: For a service that is not of this server.
        """
        return self._serving[name] and not self.draining

    def guard(self, name: str, handler: Handler, protocol: WireProtocol) -> Handler:
        """Return what serves calls that come in by another protocol as this server serves its own; see the
        interceptor. They come in by the same door: a drain refuses them, and waits for them.
        """
        return self._guard(name, handler, protocol)

    def accompany(self, companion: Companion) -> None:
        """Start and stop it with this server; call it before `start`."""
        self._companions.append(companion)

    async def start(self) -> None:
        """Take calls; health says NOT_SERVING until `set_serving`.

        Raises:
            CannotListen: By a companion.
        """
        await self._publish_health()
        try:
            for companion in self._companions:
                await companion.start()
        except CannotListen:
            await self.stop()
            raise
        await self._server.start()

    async def set_serving(self, *names: str) -> None:
        """Say SERVING for these services, or for all; for the server as a whole (`""`) when every service is.

        Raises:
            KeyError: For a service that is not of this server.
        """
        await self._set_health(names, serving=True)

    async def set_not_serving(self, *names: str) -> None:
        """Say NOT_SERVING for these services, or for all; errors as of `set_serving`."""
        await self._set_health(names, serving=False)

    async def drain(self, grace_seconds: float) -> None:
        """End in order: NOT_SERVING, new calls SHUTTING_DOWN, calls in flight and background work finish, stop.

        After `grace_seconds` calls that are still in flight are cancelled; background work is left to its owner.
        """
        self._door.refuse_new_calls()
        await self._health.enter_graceful_shutdown()
        await _until_none(lambda: {*self._door.calls, *self._background()}, grace_seconds)
        await self._stop_companions(_LAST_ANSWERS_SECONDS if not self._door.calls else 0)
        await self._door.close()
        await self.stop()

    async def stop(self) -> None:
        """End at once: calls in flight are cancelled. May be called again; a handler that swallows its cancellation is
        waited for once.
        """
        self._door.refuse_new_calls()
        await self._stop_companions(0)
        await self._server.stop(None)
        if not self._stopped:
            self._stopped = True
            await _until_none(lambda: self._door.calls, _CANCELLATION_SECONDS)

    async def _stop_companions(self, grace_seconds: float) -> None:
        for companion in self._companions:
            await companion.stop(grace_seconds)

    async def _set_health(self, names: Sequence[str], *, serving: bool) -> None:
        for name in names or tuple(self._serving):
            if name not in self._serving:
                raise KeyError(name)
            self._serving[name] = serving
        await self._publish_health()

    async def _publish_health(self) -> None:
        for name, serving in (*self._serving.items(), ("", all(self._serving.values()))):
            status = health_pb2.HealthCheckResponse
            await self._health.set(name, status.SERVING if serving else status.NOT_SERVING)


async def _until_none(tasks: Callable[[], Collection[asyncio.Task[Any]]], seconds: float) -> None:
    """Return when there is no task any more, also none that has begun meanwhile, or after so many seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while (running := tasks()) and (left := end - loop.time()) > 0:
        await asyncio.wait(running, timeout=left)
