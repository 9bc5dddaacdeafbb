"""The gRPC side of an agent: translates and delegates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import grpc
import structlog
from google.protobuf import struct_pb2

from agentmesh import deadline, errors, metadata
from agentmesh.agent.call import Call
from agentmesh.agent.execution import Execution
from agentmesh.agent.repeats import Repeats
from agentmesh.agent.runner import run_skill
from agentmesh.agent.skill import Skill
from agentmesh.agent.threads import Threads
from agentmesh.agent.tracing import tool_span
from agentmesh.agent.violations import nearest_hint
from agentmesh.cards import Effect
from agentmesh.jsonvalues import OFF_LOOP_BYTES, JsonObject, digest
from agentmesh.transport import from_struct_off_loop, to_status, to_struct_off_loop
from agentmesh.v1 import agent_service_pb2, agent_service_pb2_grpc, card_pb2

Context = grpc.aio.ServicerContext[Any, Any]


class AgentServicer(agent_service_pb2_grpc.AgentServicer):
    """Serves the skills of one agent."""

    def __init__(
        self, card: card_pb2.AgentCard, skills: Mapping[str, Skill], threads: Threads, repeats: Repeats
    ) -> None:
        self._described = agent_service_pb2.DescribeResponse(card=card)
        self._agent = card.name
        self._skills = skills
        self._threads = threads
        self._repeats = repeats

    async def Describe(  # noqa: N802 - the name in the contract
        self,
        request: agent_service_pb2.DescribeRequest,  # noqa: ARG002
        context: Context,  # noqa: ARG002
    ) -> agent_service_pb2.DescribeResponse:
        return self._described

    async def Execute(  # noqa: N802 - the name in the contract
        self, request: agent_service_pb2.ExecuteRequest, context: Context
    ) -> agent_service_pb2.ExecuteResponse:
        async with self._attended(request) as execution:
            await execution.ended()
            return _response(execution, context)

    async def ExecuteStream(  # noqa: N802 - the name in the contract
        self, request: agent_service_pb2.ExecuteStreamRequest, context: Context
    ) -> AsyncIterator[agent_service_pb2.ExecuteStreamResponse]:
        async with self._attended(request.call) as execution:
            with execution.watched() as watch:
                async for progress in watch:
                    yield agent_service_pb2.ExecuteStreamResponse(progress=progress)
            yield agent_service_pb2.ExecuteStreamResponse(result=_response(execution, context))

    @asynccontextmanager
    async def _attended(self, request: agent_service_pb2.ExecuteRequest) -> AsyncIterator[Execution]:
        """Check the request, and have it executed while the block lasts."""
        ids = {"run_id": request.run_id, "step_id": request.step_id}
        structlog.contextvars.bind_contextvars(**{name: value for name, value in ids.items() if value})
        skill = self._skill(request)
        structlog.contextvars.bind_contextvars(skill=skill.name)  # not before: it may be anything
        arguments = await from_struct_off_loop(request.arguments)
        values = skill.arguments.read(arguments)
        call = _call(request)
        work = partial(_work, skill, arguments, values, call, self._threads)
        if skill.effect is Effect.SIDE_EFFECT and call.idempotency_key:
            execution = self._repeats.execution(call, await _digest(arguments, request.arguments.ByteSize()), work)
        else:
            execution = Execution(call, work())
        async with execution.attended():
            yield execution

    def _skill(self, request: agent_service_pb2.ExecuteRequest) -> Skill:
        skill = self._skills.get(request.skill)
        if skill is None:
            hint = nearest_hint(request.skill, self._skills)
            raise errors.SkillNotFound(f"agent {self._agent} has no skill {request.skill!r}{hint}")
        if request.skill_digest and request.skill_digest != skill.digest:
            raise errors.SkillChanged(
                f"skill {skill.name} of agent {self._agent} has other schemas or another effect than the caller knows",
                metadata={"skill_digest": skill.digest},
            )
        return skill


async def _digest(arguments: JsonObject, size_bytes: int) -> str:
    return await asyncio.to_thread(digest, arguments) if size_bytes > OFF_LOOP_BYTES else digest(arguments)


async def _work(
    skill: Skill, arguments: JsonObject, values: dict[str, Any], call: Call, threads: Threads
) -> struct_pb2.Struct:
    with tool_span(skill.name, arguments) as tell:
        try:
            written = await run_skill(skill, values, call, threads)
        except errors.MeshError as error:
            to_status(error)  # what an author put into it need not be what its types say; that is a bug like any other
            raise
        tell(written.value)
        return await to_struct_off_loop(written.value, written.size_bytes)


def _response(execution: Execution, context: Context) -> agent_service_pb2.ExecuteResponse:
    usage = execution.usage()
    if usage is not None:
        context.set_trailing_metadata(((metadata.AGENT_USAGE, usage.SerializeToString()),))
    return agent_service_pb2.ExecuteResponse(result=execution.result(), usage=usage)


def _call(request: agent_service_pb2.ExecuteRequest) -> Call:
    return Call(
        skill=request.skill,
        run_id=request.run_id,
        step_id=request.step_id,
        item_index=request.item_index if request.HasField("item_index") else None,
        attempt=request.attempt or 1,
        idempotency_key=request.idempotency_key,
        deadline=deadline.current_deadline.get() or deadline.Deadline.never(),
    )
