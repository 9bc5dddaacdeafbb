"""Channels to servers of the mesh."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import grpc

from agentmesh.transport.client_interceptor import StreamClientInterceptor, UnaryClientInterceptor
from agentmesh.transport.options import MAX_MESSAGE_BYTES, OURS, Keepalive, channel_options, proxy_options

_NOTHING: Mapping[str, str] = MappingProxyType({})


def open_channel(
    address: str,
    *,
    peer: str | None = None,
    metadata: Mapping[str, str] = _NOTHING,
    max_receive_bytes: int = MAX_MESSAGE_BYTES,
    keepalive: Keepalive = OURS,
    orchestrators: bool = False,
) -> grpc.aio.Channel:
    """Open a channel of its own, without TLS; it connects with the first call. Close it with `await channel.close()`.

    Calls get what remains of `current_deadline`, less 20 ms, as their timeout if that is sooner than their own; with
    nothing left they raise `errors.DeadlineExceeded` and are not sent. They raise `MeshError`, with the AioRpcError as
    `__cause__`; where the channel is closed under them, `errors.Unreachable`.

    Args:
        address: `host:port`, `ipv4:127.0.0.1:5000`, `dns:///host:port` or `unix:/path`.
        peer: What texts of errors call the other side; the address by default.
        metadata: Sent with every call.
        max_receive_bytes: Greatest response that is taken.
        keepalive: When the other side is pinged; `ANY_SERVER` for one that may not be built with this library.
        orchestrators: The address stands for several orchestrators, and calls go round them; see `channel_options`.
    """
    known_as = address if peer is None else peer
    interceptors = (
        UnaryClientInterceptor(known_as, metadata, address),
        StreamClientInterceptor(known_as, metadata, address),
    )
    core = channel_options(max_receive_bytes, keepalive, orchestrators=orchestrators)
    options = (*core, *proxy_options(address))
    channel = grpc.aio.insecure_channel(address, options=options, interceptors=interceptors)
    for interceptor in interceptors:
        interceptor.belongs_to(channel)
    return channel
