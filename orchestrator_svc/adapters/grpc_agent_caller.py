"""Calls agents over gRPC: one channel an address, made when it is first called and closed when it has left the mesh."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
import grpc.aio

from agentmesh import errors
from agentmesh.deadline import Deadline
from agentmesh.errors import Code, MeshError
from agentmesh.metadata import AGENT_USAGE
from agentmesh.transport import code_of, from_struct_off_loop, open_channel, reason_of, to_struct
from agentmesh.v1 import agent_service_pb2, agent_service_pb2_grpc, usage_pb2
from orchestrator_svc.app.ledger import NOTHING_SPENT, AgentSpending
from orchestrator_svc.app.ports.agent_caller import AgentCall, AgentReply, CallFailed


class GrpcAgentCaller:
    """Implements `AgentCaller`.

    Args:
        endpoint_of: Gives the address of an agent's endpoint, or None if it has none now.
        addresses: Gives every address that is listed now; channels to others are closed.
    """

    def __init__(self, endpoint_of: Callable[[str], str | None], addresses: Callable[[], frozenset[str]]) -> None:
        self._endpoint_of = endpoint_of
        self._addresses = addresses
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._in_use: Counter[str] = Counter()
        """Calls in flight by address."""

    async def call(self, call: AgentCall, deadline: Deadline) -> AgentReply:
        agent = call.skill.agent
        address = self._endpoint_of(agent)
        if address is None:
            error = errors.NoEndpoint(f"no endpoint of `{agent}` is known just now")
            raise CallFailed(error, code=Code.UNAVAILABLE, sent=False)
        try:
            async with self._channel(agent, address) as channel:
                stub = agent_service_pb2_grpc.AgentStub(channel)
                response = await stub.Execute(_request(call), timeout=deadline.remaining())
        except MeshError as error:
            raise _failure(error, address) from error
        result = await from_struct_off_loop(response.result) if response.HasField("result") else None
        spending = _spending(response.usage) if response.HasField("usage") else NOTHING_SPENT
        return AgentReply(result, address, spending)

    async def close(self) -> None:
        """Close every channel."""
        channels, self._channels = self._channels, {}
        await asyncio.gather(*(channel.close() for channel in channels.values()))

    @asynccontextmanager
    async def _channel(self, agent: str, address: str) -> AsyncIterator[grpc.aio.Channel]:
        """The channel to an address, kept open for as long as it is used and the address is listed."""
        if address not in self._channels:
            await self._close_unlisted()
            self._channels[address] = open_channel(address, peer=f"agent `{agent}` at {address}")
        self._in_use[address] += 1
        try:
            yield self._channels[address]
        finally:
            self._in_use[address] -= 1

    async def _close_unlisted(self) -> None:
        """An agent that drains has left the list and still answers what it has begun, so a channel in use stays."""
        listed = self._addresses()
        left = [address for address in self._channels if address not in listed and not self._in_use[address]]
        for address in left:
            del self._in_use[address]
            await self._channels.pop(address).close()


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
    spending = NOTHING_SPENT
    sent = True
    remote_reason = ""
    if isinstance(cause, grpc.aio.AioRpcError):
        sent = not (cause.code() is grpc.StatusCode.UNAVAILABLE and "failed to connect" in (cause.details() or ""))
        spending = _reported(cause)
        remote_reason = error.remote_reason if isinstance(error, errors.RemoteError) else str(reason_of(error))
    elif isinstance(error, errors.DeadlineExceeded):
        # Our own interceptor found that nothing remained, so nothing was sent.
        sent = False
    return CallFailed(
        error, code=code_of(error), agent_reason=remote_reason, endpoint=address, sent=sent, spending=spending
    )


def _reported(error: grpc.aio.AioRpcError) -> AgentSpending:
    """What the agent says that the failed call cost it; a report that does not parse is none."""
    for key, value in error.trailing_metadata() or ():
        if key == AGENT_USAGE and isinstance(value, bytes):
            try:
                return _spending(usage_pb2.AgentUsage.FromString(value))
            except ValueError:
                return NOTHING_SPENT
    return NOTHING_SPENT


def _spending(usage: usage_pb2.AgentUsage) -> AgentSpending:
    return AgentSpending(usage.llm_calls, usage.input_tokens, usage.output_tokens, usage.cost_usd)
