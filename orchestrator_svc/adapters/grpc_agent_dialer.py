"""Calls agents back over gRPC: Health.Check, then Describe."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from agentmesh.card_messages import card_to_json
from agentmesh.cards import MAX_CARD_BYTES
from agentmesh.errors import AddressUnreachable, Code, MeshError, RemoteError
from agentmesh.jsonvalues import JsonObject
from agentmesh.reasons import code_of
from agentmesh.transport import open_channel
from agentmesh.transport.options import ANY_SERVER
from agentmesh.v1 import agent_service_pb2, agent_service_pb2_grpc

DIAL_SECONDS: Final = 3.0
"""For connection, health and card together."""

_AGENT: Final = "agentmesh.v1.Agent"
_MAX_DESCRIPTION_BYTES: Final = 2 * MAX_CARD_BYTES
_SAYS_NOTHING: Final = (Code.UNIMPLEMENTED, Code.NOT_FOUND)
"""How a server answers that has no health service, or that keeps no health of its services."""


class GrpcAgentDialer:
    """Implements `AgentDialer`.

    Args:
        seconds: The most that one call back takes.
    """

    def __init__(self, seconds: float = DIAL_SECONDS) -> None:
        self._seconds = seconds

    async def card_at(self, address: str) -> JsonObject:
        channel = open_channel(
            address, peer=f"the agent at {address}", max_receive_bytes=_MAX_DESCRIPTION_BYTES, keepalive=ANY_SERVER
        )
        try:
            async with asyncio.timeout(self._seconds):
                await _check_health(channel, address)
                return await _describe(channel)
        except TimeoutError:
            raise AddressUnreachable(f"the agent at {address} did not answer within {self._seconds:g} s") from None
        except AddressUnreachable:
            raise
        except MeshError as error:
            raise AddressUnreachable(f"called back, {address} gave no card: {_why(error)}") from error
        except ValueError as error:  # an effect of a later version
            raise AddressUnreachable(f"called back, {address} gave a card that cannot be read: {error}") from error
        finally:
            await channel.close()


def _why(error: MeshError) -> str:
    """What whoever registers is told; the words of a stranger behind the address are not passed on."""
    return f"it answered {error.code.name}" if isinstance(error, RemoteError) else error.message


async def _check_health(channel: grpc.aio.Channel, address: str) -> None:
    health: Any = health_pb2_grpc.HealthStub(channel)  # its published types know the synchronous one only
    try:
        answer = await health.Check(health_pb2.HealthCheckRequest(service=_AGENT))
    except MeshError as error:
        if code_of(error) in _SAYS_NOTHING:
            return
        raise
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        raise AddressUnreachable(f"the agent at {address} says {status}")


async def _describe(channel: grpc.aio.Channel) -> JsonObject:
    agent: agent_service_pb2_grpc.AgentAsyncStub = agent_service_pb2_grpc.AgentStub(channel)
    return card_to_json((await agent.Describe(agent_service_pb2.DescribeRequest())).card)
