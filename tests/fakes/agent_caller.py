"""An agent caller whose agents are functions in this process; it records every call and passes the contract suite."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from agentmesh.deadline import Deadline
from agentmesh.errors import Code, DeadlineExceeded, MeshError, NoEndpoint, SkillNotFound
from agentmesh.jsonvalues import JsonObject
from agentmesh.transport import code_of, reason_of
from orchestrator_svc.app.ledger import NOTHING_SPENT
from orchestrator_svc.app.ports.agent_caller import AgentCall, AgentReply, CallFailed

SkillFunction: TypeAlias = "Callable[[JsonObject], Awaitable[JsonObject | None]]"


@dataclass
class FunctionAgentCaller:
    """Implements `AgentCaller`; an agent without functions has no endpoint."""

    skills: Mapping[str, SkillFunction]
    """By skill id. A function raises MeshError to answer with a status."""
    started: list[AgentCall] = field(default_factory=list)
    ended: list[AgentCall] = field(default_factory=list)
    cancelled: list[AgentCall] = field(default_factory=list)
    running: int = 0
    most_at_once: int = 0

    async def call(self, call: AgentCall, deadline: Deadline) -> AgentReply:
        agent = call.skill.agent
        if not any(identifier.startswith(f"{agent}__") for identifier in self.skills):
            raise CallFailed(
                NoEndpoint(f"no endpoint of `{agent}` is known just now"), code=Code.UNAVAILABLE, sent=False
            )
        endpoint = f"fake:{agent}"
        self.started.append(call)
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        try:
            result = await self._result(call, deadline)
        except MeshError as error:
            raise CallFailed(
                error, code=code_of(error), agent_reason=str(reason_of(error)), endpoint=endpoint, sent=True
            ) from error
        except asyncio.CancelledError:
            self.cancelled.append(call)
            raise
        finally:
            self.running -= 1
            self.ended.append(call)
        return AgentReply(result, endpoint, NOTHING_SPENT)

    async def _result(self, call: AgentCall, deadline: Deadline) -> JsonObject | None:
        function = self.skills.get(call.skill.id)
        if function is None:
            raise SkillNotFound(f"no skill `{call.skill.name}`")
        try:
            async with asyncio.timeout(deadline.remaining()):
                return await function(call.arguments)
        except TimeoutError as error:
            raise DeadlineExceeded("the deadline passed") from error
