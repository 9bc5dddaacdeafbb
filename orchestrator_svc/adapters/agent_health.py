"""How an agent is, by the standard health service: what it says of itself, and whether it answers at all."""

from __future__ import annotations

import asyncio
from typing import Any, Final, NoReturn, Protocol

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from agentmesh.errors import Code, DeadlineExceeded, MeshError, RunCancelled, Unreachable
from agentmesh.reasons import code_of
from agentmesh.transport import reading

ANSWER_SECONDS: Final = 1.0
"""An agent that is at work answers a question for its health within milliseconds."""

_REQUEST: Final = health_pb2.HealthCheckRequest(service="agentmesh.v1.Agent")
_SERVES: Final = (health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
"""A server that keeps no health of its services says SERVICE_UNKNOWN."""
_REOPEN_SECONDS: Final = 0.1
"""Between a watch that has ended and the next: a server may take connections and drop them at once."""


class Report(Protocol):
    """Is told whether an agent serves."""

    def __call__(self, *, serving: bool) -> None: ...


async def watch_health(channel: grpc.aio.Channel, report: Report) -> NoReturn:
    """Report whether the agent serves, now and after each change, until cancelled.

    Without a connection it does not serve, until there is one again, for which the channel cares. An agent without
    the service, or that ends watches otherwise, counts as serving as long as there is a connection.
    """
    stub: Any = health_pb2_grpc.HealthStub(channel)  # its published types know the synchronous one only
    wait_for_ready = False  # the first time, so that an address where nobody listens is reported
    while True:
        try:
            async with reading(stub.Watch(_REQUEST, wait_for_ready=wait_for_ready)) as messages:
                async for message in messages:
                    report(serving=message.status in _SERVES)
        except (Unreachable, RunCancelled):  # a server that stops cancels what it still has
            report(serving=False)
        except MeshError as error:
            report(serving=True)
            if code_of(error) is Code.UNIMPLEMENTED:
                await _disconnected(channel)
                report(serving=False)
        wait_for_ready = True
        await asyncio.sleep(_REOPEN_SECONDS)


async def _disconnected(channel: grpc.aio.Channel) -> None:
    """Return when the channel has no connection: who has no health to watch is watched by that alone."""
    while (state := channel.get_state()) is grpc.ChannelConnectivity.READY:
        await channel.wait_for_state_change(state)


async def answers(channel: grpc.aio.Channel) -> bool:
    """Whether the agent answers a question for its health, with whatever status, within a second."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    try:
        await stub.Check(_REQUEST, timeout=ANSWER_SECONDS)
    except (Unreachable, DeadlineExceeded):
        return False
    except MeshError:
        return True
    return True
