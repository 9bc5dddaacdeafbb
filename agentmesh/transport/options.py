"""Options of the gRPC core that both sides must agree on.

A client that pings more often than the server allows has its connection closed with every call on it ("Too many
pings"), so the two are set here together.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

CoreOptions = Sequence[tuple[str, int | str]]

MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024
"""One message, on both sides. A result of 1 MiB of JSON may take 5.5 MiB as a Struct."""

MAX_PENDING_CALLS: Final = 200
"""Calls that may wait in the core of a server until the process takes them; of more some are dropped, see below."""
DROPS_ALL_PENDING_CALLS: Final = 300
"""With as many waiting every further one is dropped."""

KEEPALIVE_TIMEOUT_SECONDS: Final = 10
"""Without a sign of life for so long the connection counts as broken, and so do the calls on it."""


@dataclass(frozen=True, slots=True)
class Keepalive:
    """When the other side is asked for a sign of life."""

    seconds: int
    """After so much silence."""
    without_calls: bool
    """Also while no call is under way."""


OURS: Final = Keepalive(30, without_calls=True)
"""Between servers and clients of this library."""
ANY_SERVER: Final = Keepalive(310, without_calls=False)
"""What a server tolerates that was not told otherwise, in any language: once in 5 minutes, and only during calls."""

CONNECT_SECONDS: Final = 5
"""For a connection to be made: a process that is starting, or a far network, may take more than a moment."""
_RECONNECT_SECONDS: Final = 5
"""Longest pause between attempts to connect."""
_RECONNECT_TO_ONE_OF_MANY_SECONDS: Final = 1
"""Shorter: one that is restarted should carry its share before the next is."""
_ROUND_ROBIN: Final = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        # That of Orchestrator would keep calls of the registry from a mesh that has no agents yet.
        "healthCheckConfig": {"serviceName": "agentmesh.v1.Registry"},
    }
)
_LEAST_PING_INTERVAL_SECONDS: Final = 10  # what a server tolerates; well below what our clients do

_TARGET: Final = re.compile(r"(?:ipv4:|ipv6:|dns:(?:///)?)?(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:/\[\]]+)):\d+")


def _pings(keepalive: Keepalive) -> CoreOptions:
    return (
        ("grpc.keepalive_time_ms", keepalive.seconds * 1000),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_SECONDS * 1000),
        ("grpc.keepalive_permit_without_calls", int(keepalive.without_calls)),
    )


def server_options(max_receive_bytes: int) -> CoreOptions:
    """Options of a server."""
    return (
        *_pings(OURS),
        ("grpc.http2.min_ping_interval_without_data_ms", _LEAST_PING_INTERVAL_SECONDS * 1000),
        ("grpc.max_receive_message_length", max_receive_bytes),
        # On by default: a second server would bind the same port and take half of the calls.
        ("grpc.so_reuseport", 0),
        # A process takes calls one by one, between the steps of those that it works on. With more to do than its CPU
        # allows, calls wait in the core, where no limit of ours sees them: each answer would come later than the one
        # before, and soon none in time (benchmarks/overload). Those that are dropped cost the process nothing; their
        # callers see CANCELLED without details, and our clients `errors.Unreachable`, which is transient.
        ("grpc.server.max_pending_requests", MAX_PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", DROPS_ALL_PENDING_CALLS),
    )


def channel_options(max_receive_bytes: int, keepalive: Keepalive = OURS, *, orchestrators: bool = False) -> CoreOptions:
    """Options of a channel.

    Args:
        max_receive_bytes: Greatest response that is taken.
        keepalive: When the other side is pinged.
        orchestrators: The address stands for several orchestrators: calls go round those that are connected and do not
            say, by the health of their Registry, that they are about to leave.
    """
    reconnect_seconds = _RECONNECT_TO_ONE_OF_MANY_SECONDS if orchestrators else _RECONNECT_SECONDS
    return (
        *((("grpc.service_config", _ROUND_ROBIN),) if orchestrators else ()),
        *_pings(keepalive),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_receive_message_length", max_receive_bytes),
        # A name server must not bring retries: whether to repeat a call depends on the skill. What the core repeats by
        # itself is only what no server has seen.
        ("grpc.service_config_disable_resolution", 1),
        # Channels to one address would share a connection, and a new one the wait after the failures of an old one.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", reconnect_seconds * 1000),
        # Not a pause, whatever it is called: the time that one attempt to connect may take.
        ("grpc.min_reconnect_backoff_ms", CONNECT_SECONDS * 1000),
    )


def proxy_options(address: str) -> CoreOptions:
    """Options of a channel to an address: the core would ask a proxy that the environment names for everything.

    It cannot reach this machine's own loopback.
    """
    return (("grpc.enable_http_proxy", 0),) if all(map(_is_loopback, address.split(","))) else ()


def _is_loopback(address: str) -> bool:
    found = _TARGET.fullmatch(address)
    if found is None:
        return False
    host = found["v6"] or found["host"]
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
