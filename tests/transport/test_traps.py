"""Traps of grpc.aio that were met: each has a test that fails where it is stepped into again.

Elsewhere: errors on the wire in test_status.py, parsing in test_requests.py, handlers and deadlines in
test_server_interceptor.py, cancellation and streams in test_channel.py, ports and reflection in test_server.py.
Here are those of the core's options, and of how grpc.aio takes interceptors.
"""

from __future__ import annotations

import grpc

from agentmesh.transport.client_interceptor import StreamClientInterceptor, UnaryClientInterceptor
from agentmesh.transport.options import ANY_SERVER, channel_options, server_options
from tests.transport.support import served

SERVER = dict(server_options(1))
CHANNEL = dict(channel_options(1))


def test_no_timeout_and_no_retry_comes_from_a_service_config() -> None:
    """A `timeout` there fires a second or two early, and a retry there knows nothing of effects."""
    assert CHANNEL["grpc.service_config_disable_resolution"] == 1
    assert "grpc.service_config" not in CHANNEL


def test_a_client_pings_less_often_than_a_server_allows() -> None:
    """Otherwise the connection is closed with every call on it: too many pings."""
    for side in (CHANNEL, SERVER):
        assert int(side["grpc.keepalive_time_ms"]) > int(SERVER["grpc.http2.min_ping_interval_without_data_ms"])
        assert side["grpc.keepalive_permit_without_calls"] == 1


def test_a_server_of_another_make_is_pinged_no_more_than_any_tolerates() -> None:
    """Without a setting that is once in 5 minutes, during calls; one that pinged each 30 s was cut off after 150 s."""
    foreign = dict(channel_options(1, ANY_SERVER))
    assert int(foreign["grpc.keepalive_time_ms"]) > 300_000
    assert foreign["grpc.keepalive_permit_without_calls"] == 0


def test_a_connection_is_never_ended_for_its_age() -> None:
    """It would end the calls on it that are older than its grace."""
    assert not [name for name in SERVER if "max_connection_age" in name]


def test_the_core_does_not_count_calls() -> None:
    """`maximum_concurrent_rpcs` refuses health checks, too, and `max_concurrent_streams` queues in the client."""
    assert "grpc.max_concurrent_streams" not in SERVER


def test_a_port_is_never_shared() -> None:
    assert SERVER["grpc.so_reuseport"] == 0


def test_no_interceptor_is_of_two_kinds() -> None:
    """grpc.aio would register it for unary calls alone, and say nothing."""
    kinds = (grpc.aio.UnaryUnaryClientInterceptor, grpc.aio.UnaryStreamClientInterceptor)
    for interceptor in (UnaryClientInterceptor, StreamClientInterceptor):
        assert sum(issubclass(interceptor, kind) for kind in kinds) == 1


async def test_nothing_is_in_flight_when_no_call_is() -> None:
    async with served() as agent:
        assert agent.server.calls_in_flight == 0
