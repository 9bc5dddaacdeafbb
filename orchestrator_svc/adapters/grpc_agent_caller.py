"""Calls agents over gRPC: one channel an endpoint, made when it is first called, closed when it has left the mesh."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from agentmesh import errors
from agentmesh.deadline import Deadline
from agentmesh.errors import Code, MeshError
from agentmesh.metadata import AGENT_USAGE
from agentmesh.transport import code_of, from_struct_off_loop, open_channel, reason_of, to_struct
from agentmesh.transport.details import STATUS_KEY
from agentmesh.transport.options import ANY_SERVER
from agentmesh.v1 import agent_service_pb2, agent_service_pb2_grpc, usage_pb2
from orchestrator_svc.app.ledger import NOTHING_SPENT, AgentSpending
from orchestrator_svc.app.ports.agent_caller import AgentCall, AgentReply, CallFailed
from orchestrator_svc.app.ports.agent_store import Endpoint

_NOT_CONNECTED: Final = ("failed to connect to all addresses", "errors resolving ")
"""How the gRPC core says that there is no connection to send a request over."""


class GrpcAgentCaller:
    """Implements `AgentCaller`.

    Args:
        endpoint_of: Gives an endpoint of an agent, or None if it has none now.
        endpoints: Gives every endpoint that is listed now; channels to others are closed.
    """

    def __init__(
        self, endpoint_of: Callable[[str], Endpoint | None], endpoints: Callable[[], frozenset[Endpoint]]
    ) -> None:
        self._endpoint_of = endpoint_of
        self._endpoints = endpoints
        # By endpoint and not by address: the channel to a process that is gone waits, up to 5 s, before it tries again.
        self._channels: dict[Endpoint, grpc.aio.Channel] = {}
        self._in_use: Counter[Endpoint] = Counter()
        """Calls in flight."""

    async def call(self, call: AgentCall, deadline: Deadline) -> AgentReply:
        agent = call.skill.agent
        endpoint = self._endpoint_of(agent)
        if endpoint is None:
            error = errors.NoEndpoint(f"no endpoint of `{agent}` is known just now")
            raise CallFailed(error, code=Code.UNAVAILABLE, sent=False)
        try:
            async with self._channel(agent, endpoint) as channel:
                stub = agent_service_pb2_grpc.AgentStub(channel)
                response = await stub.Execute(_request(call), timeout=deadline.remaining())
        except MeshError as error:
            raise _failure(error, endpoint.address) from error
        result = await from_struct_off_loop(response.result) if response.HasField("result") else None
        spending = _spending(response.usage) if response.HasField("usage") else NOTHING_SPENT
        return AgentReply(result, endpoint.address, spending, response.ByteSize())

    async def close(self) -> None:
        """Close every channel."""
        channels, self._channels = self._channels, {}
        await _close(channels.values())

    @asynccontextmanager
    async def _channel(self, agent: str, endpoint: Endpoint) -> AsyncIterator[grpc.aio.Channel]:
        """The channel to an endpoint, kept open for as long as it is used and the endpoint is listed."""
        left: list[grpc.aio.Channel] = []
        if endpoint not in self._channels:
            left = self._take_unlisted()
            # An agent may be written in any language, and a server ends a connection that is pinged more than it likes.
            peer = f"agent `{agent}` at {endpoint.address}"
            self._channels[endpoint] = open_channel(endpoint.address, peer=peer, keepalive=ANY_SERVER)
        self._in_use[endpoint] += 1
        try:
            # Closing takes a moment, in which other calls begin: by now they find this channel, and none of the others.
            await _close(left)
            yield self._channels[endpoint]
        finally:
            self._in_use[endpoint] -= 1

    def _take_unlisted(self) -> list[grpc.aio.Channel]:
        """An agent that drains has left the list and still answers what it has begun, so a channel in use stays."""
        listed = self._endpoints()
        left = [endpoint for endpoint in self._channels if endpoint not in listed and not self._in_use[endpoint]]
        for endpoint in left:
            del self._in_use[endpoint]
        return [self._channels.pop(endpoint) for endpoint in left]


async def _close(channels: Iterable[grpc.aio.Channel]) -> None:
    await asyncio.gather(*(channel.close() for channel in channels))


def _request(call: AgentCall) -> agent_service_pb2.ExecuteRequest:
    return agent_service_pb2.ExecuteRequest(
        skill=call.skill.name,
        arguments=to_struct(call.arguments),
        run_id=call.run_id,
        step_id=call.step_id,
        item_index=call.item_index,
        attempt=call.attempt,
        idempotency_key=call.idempotency_key,
        skill_digest=call.skill.digest,
    )


def _failure(error: MeshError, address: str) -> CallFailed:
    cause = error.__cause__
    if not isinstance(cause, grpc.aio.AioRpcError):
        # Our own interceptor found that nothing of the deadline remained, or the channel was closed under the call.
        sent = not isinstance(error, errors.DeadlineExceeded)
        return CallFailed(error, code=code_of(error), endpoint=address, sent=sent)
    return CallFailed(
        error,
        code=code_of(error),
        agent_reason=_reason_of_agent(error, cause),
        endpoint=address,
        sent=not _never_connected(cause),
        spending=_reported(cause),
    )


def _reason_of_agent(error: MeshError, cause: grpc.aio.AioRpcError) -> str:
    """The reason as the agent wrote it; empty for a status that it gave without one, and for what gRPC itself says."""
    if isinstance(error, errors.RemoteError):
        return error.remote_reason
    return str(reason_of(error)) if _has_details(cause) else ""


def _never_connected(cause: grpc.aio.AioRpcError) -> bool:
    """True if the request certainly did not leave: the words are those of the gRPC core, and not the agent's."""
    if cause.code() is not grpc.StatusCode.UNAVAILABLE or _has_details(cause):
        return False
    return (cause.details() or "").startswith(_NOT_CONNECTED)


def _has_details(cause: grpc.aio.AioRpcError) -> bool:
    return any(key == STATUS_KEY for key, _ in cause.trailing_metadata() or ())


def _reported(error: grpc.aio.AioRpcError) -> AgentSpending:
    """What the agent says that the failed call cost it; a report that does not parse is none."""
    for key, value in error.trailing_metadata() or ():
        if key == AGENT_USAGE and isinstance(value, bytes):
            try:
                return _spending(usage_pb2.AgentUsage.FromString(value))
            except DecodeError:
                return NOTHING_SPENT
    return NOTHING_SPENT


def _spending(usage: usage_pb2.AgentUsage) -> AgentSpending:
    return AgentSpending(usage.llm_calls, usage.input_tokens, usage.output_tokens, usage.cost_usd)
