"""The gRPC side of an agent: translates and delegates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import grpc
import structlog

from agentmesh import deadline, errors, metadata
from agentmesh.agent.call import Call
from agentmesh.agent.runner import run_skill
from agentmesh.agent.skill import Skill
from agentmesh.agent.threads import Threads
from agentmesh.agent.violations import nearest_hint
from agentmesh.transport import from_struct_off_loop, to_struct_off_loop
from agentmesh.v1 import agent_service_pb2, agent_service_pb2_grpc, card_pb2

Context = grpc.aio.ServicerContext[Any, Any]


class AgentServicer(agent_service_pb2_grpc.AgentServicer):
    """Serves the skills of one agent."""

    def __init__(self, card: card_pb2.AgentCard, skills: Mapping[str, Skill], threads: Threads) -> None:
        self._described = agent_service_pb2.DescribeResponse(card=card)
        self._agent = card.name
        self._skills = skills
        self._threads = threads

    async def Describe(  # noqa: N802 - the name in the contract
        self,
        request: agent_service_pb2.DescribeRequest,  # noqa: ARG002
        context: Context,  # noqa: ARG002
    ) -> agent_service_pb2.DescribeResponse:
        return self._described

    async def Execute(  # noqa: N802 - the name in the contract
        self, request: agent_service_pb2.ExecuteRequest, context: Context
    ) -> agent_service_pb2.ExecuteResponse:
        ids = {"run_id": request.run_id, "step_id": request.step_id, "skill": request.skill}
        structlog.contextvars.bind_contextvars(**{name: value for name, value in ids.items() if value})
        skill = self._skill(request)
        call = _call(request)
        try:
            arguments = await from_struct_off_loop(request.arguments)
            written = await run_skill(skill, arguments, call, self._threads)
        finally:
            usage = call.meter.total()
            if usage is not None:
                context.set_trailing_metadata(((metadata.AGENT_USAGE, usage.SerializeToString()),))
        result = await to_struct_off_loop(written.value, written.size_bytes)
        return agent_service_pb2.ExecuteResponse(result=result, usage=usage)

    def ExecuteStream(  # noqa: N802 - the name in the contract
        self,
        request: agent_service_pb2.ExecuteStreamRequest,  # noqa: ARG002
        context: Context,  # noqa: ARG002
    ) -> NoReturn:
        raise errors.FieldNotSupported("this agent reports no progress; call Execute")

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
