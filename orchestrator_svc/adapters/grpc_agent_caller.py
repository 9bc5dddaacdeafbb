"""Calls agents over gRPC: Execute, and ExecuteStream where progress is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Final

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from agentmesh import errors
from agentmesh.deadline import HOP_MARGIN_SECONDS, Deadline, timeout_of_call
from agentmesh.errors import Code, MeshError
from agentmesh.metadata import AGENT_USAGE
from agentmesh.reasons import code_of, reason_of
from agentmesh.telemetry import names
from agentmesh.telemetry.rpc import rpc_attributes
from agentmesh.transport import from_struct_off_loop, reading, to_struct
from agentmesh.transport.details import STATUS_KEY, cut
from agentmesh.transport.status import is_of_the_core
from agentmesh.v1 import agent_service_pb2 as pb
from agentmesh.v1 import agent_service_pb2_grpc, usage_pb2
from orchestrator_svc.adapters.agent_links import AgentLinks, Link
from orchestrator_svc.app.endpoints import MAX_WAIT_SECONDS, Endpoints
from orchestrator_svc.app.ledger import NOTHING_SPENT, AgentSpending
from orchestrator_svc.app.ports.agent_caller import AgentCall, AgentReply, CallFailed, CallWatcher
from orchestrator_svc.app.ports.agent_store import Endpoint
from orchestrator_svc.core.catalog import Skill

_NOT_CONNECTED: Final = ("failed to connect to all addresses", "errors resolving ")
"""How the gRPC core says that there is no connection to send a request over."""
_END_SECONDS: Final = 0.1
"""How long the status of a stream is waited for that has given its result."""
_PROGRESS_BYTES: Final = 1024
"""Most of one message of progress that is passed on; the contract allows no more."""


class GrpcAgentCaller:
    """Implements `AgentCaller`.

    Args:
        endpoints: Chooses where a call goes, and hears how it went.
        wait_seconds: How long a call that meets no endpoint waits for one, within its deadline.
    """

    def __init__(self, endpoints: Endpoints, wait_seconds: float = MAX_WAIT_SECONDS) -> None:
        self._endpoints = endpoints
        self._wait_seconds = wait_seconds
        self._links = AgentLinks(endpoints)

    async def follow(self) -> None:
        """Be connected to every endpoint from the moment it is listed, until cancelled."""
        await self._links.follow()

    async def call(self, call: AgentCall, deadline: Deadline, watcher: CallWatcher) -> AgentReply:
        endpoint = await self._endpoint_for(call, deadline)
        link = self._links.to(call.skill.agent, endpoint)
        try:
            # Raises if nothing is left of it.
            timeout_of_call(f"agent `{call.skill.agent}`", deadline.remaining())
            async with link.calling(call.skill):
                watcher.sent(endpoint.address)
                with rpc_attributes(_attributes(call)):
                    response = await _respond(link, call, deadline, watcher)
        except MeshError as error:
            failure = _failure(error, endpoint.address)
            self._note(endpoint, call.skill, failure)
            failure.elsewhere = _was_lost(error) and self._endpoints.has_other(call.skill, endpoint)
            raise failure from error
        self._endpoints.answered(endpoint)
        result = await from_struct_off_loop(response.result) if response.HasField("result") else None
        spending = _spending(response.usage) if response.HasField("usage") else NOTHING_SPENT
        return AgentReply(result, endpoint.address, spending, response.ByteSize())

    async def close(self) -> None:
        """Close every connection."""
        await self._links.close()

    async def _endpoint_for(self, call: AgentCall, deadline: Deadline) -> Endpoint:
        seconds = min(self._wait_seconds, deadline.remaining() - HOP_MARGIN_SECONDS)
        try:
            return await self._endpoints.wait_for(call.skill, call.tried, max(0.0, seconds))
        except errors.NoEndpoint as error:
            raise CallFailed(error, code=Code.UNAVAILABLE, sent=False) from error

    def _note(self, endpoint: Endpoint, skill: Skill, failure: CallFailed) -> None:
        """An answer, be it an error, is a sign of life; what the core of gRPC says for want of one is none."""
        silent = isinstance(failure.error, (errors.Unreachable, errors.DeadlineExceeded)) and not failure.agent_reason
        if not silent:
            self._endpoints.answered(endpoint)
        elif failure.sent or isinstance(failure.error, errors.Unreachable):
            self._endpoints.failed(endpoint, skill)


class _NoExecuteStream(Exception):
    """The agent does not have the rpc."""


async def _respond(link: Link, call: AgentCall, deadline: Deadline, watcher: CallWatcher) -> pb.ExecuteResponse:
    stub: agent_service_pb2_grpc.AgentAsyncStub = agent_service_pb2_grpc.AgentStub(link.channel)
    request = _request(call)
    if link.has_streams and call.skill.reports_progress and watcher.wants_progress:
        try:
            return await _respond_with_progress(stub, request, deadline, watcher)
        except _NoExecuteStream:
            link.has_streams = False
    return await stub.Execute(request, timeout=deadline.remaining())


async def _respond_with_progress(
    stub: agent_service_pb2_grpc.AgentAsyncStub, request: pb.ExecuteRequest, deadline: Deadline, watcher: CallWatcher
) -> pb.ExecuteResponse:
    """Read a stream up to its result, which ends it; without one the response is empty.

    Whatever comes after the result, another message or a failure, changes nothing: the skill has answered.
    """
    said_something = False
    stream = stub.ExecuteStream(pb.ExecuteStreamRequest(call=request), timeout=deadline.remaining())
    async with reading(stream) as messages:
        try:
            async for message in messages:
                said_something = True
                if message.HasField("result"):
                    await _let_end(messages)
                    return message.result
                if message.HasField("progress"):
                    _pass_on(message.progress, watcher)
        except MeshError as error:
            if code_of(error) is Code.UNIMPLEMENTED and not said_something:
                raise _NoExecuteStream from error
            raise
    return pb.ExecuteResponse()


async def _let_end(messages: AsyncIterator[pb.ExecuteStreamResponse]) -> None:
    """Give the stream a moment to end by itself, so that the agent does not see its call cancelled."""
    with suppress(MeshError, TimeoutError):
        async with asyncio.timeout(_END_SECONDS):
            await anext(messages, None)


def _pass_on(progress: pb.Progress, watcher: CallWatcher) -> None:
    """Tell the watcher, within what the contract allows: a fraction out of range is not known, a long text is cut."""
    known = progress.HasField("fraction") and 0 <= progress.fraction <= 1
    watcher.progress(progress.fraction if known else None, cut(progress.message, _PROGRESS_BYTES))


def _request(call: AgentCall) -> pb.ExecuteRequest:
    return pb.ExecuteRequest(
        skill=call.skill.name,
        arguments=to_struct(call.arguments),
        run_id=call.run_id,
        step_id=call.step_id,
        item_index=call.item_index,
        attempt=call.attempt,
        idempotency_key=call.idempotency_key,
        skill_digest=call.skill.digest,
    )


def _attributes(call: AgentCall) -> Mapping[str, str | int]:
    """What telemetry says of the attempt."""
    item = {} if call.item_index is None else {names.STEP_ITEM: call.item_index}
    return {names.STEP_ID: call.step_id, names.ATTEMPT: call.attempt, **item}


def _failure(error: MeshError, address: str) -> CallFailed:
    cause = error.__cause__
    if not isinstance(cause, grpc.aio.AioRpcError):
        # Nothing of the deadline remained, the call was given up, or the channel was closed under it.
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


def _was_lost(error: MeshError) -> bool:
    """Whether the endpoint takes no calls any more, as far as anybody can tell; one that has too many does."""
    if isinstance(error, errors.ShuttingDown):
        return True
    cause = error.__cause__
    return isinstance(error, errors.Unreachable) and (
        not isinstance(cause, grpc.aio.AioRpcError) or is_of_the_core(cause)
    )


def _reason_of_agent(error: MeshError, cause: grpc.aio.AioRpcError) -> str:
    """The reason as the agent wrote it; empty for a status that it gave without one, and for what gRPC itself says."""
    if isinstance(error, errors.RemoteError):
        return error.remote_reason
    return str(reason_of(error)) if _has_details(cause) else ""


def _never_connected(cause: grpc.aio.AioRpcError) -> bool:
    """True if the request certainly did not leave: the words are those of the gRPC core, and not the agent's."""
    return is_of_the_core(cause) and (cause.details() or "").startswith(_NOT_CONNECTED)


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
