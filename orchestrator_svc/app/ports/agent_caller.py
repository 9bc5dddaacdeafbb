"""Calls a skill of an agent, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from agentmesh.deadline import Deadline
from agentmesh.errors import Code, MeshError
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.app.ledger import NOTHING_SPENT, AgentSpending
from orchestrator_svc.core.catalog import Skill


@dataclass(frozen=True, slots=True)
class AgentCall:
    """One attempt; the fields mean what they mean in ExecuteRequest."""

    skill: Skill
    arguments: JsonObject
    run_id: str
    step_id: str
    item_index: int | None
    attempt: int
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class AgentReply:
    """What the agent answered. The result is as it came: its size, depth and schema are not checked yet."""

    result: JsonObject | None
    """None if the agent answered OK without one."""
    endpoint: str
    spending: AgentSpending
    wire_bytes: int = 0
    """Size of the reply as it came; large ones are checked off the event loop."""


class CallFailed(Exception):
    """The attempt gave no reply."""

    def __init__(
        self,
        error: MeshError,
        *,
        code: Code,
        agent_reason: str = "",
        endpoint: str = "",
        sent: bool,
        spending: AgentSpending = NOTHING_SPENT,
    ) -> None:
        super().__init__(error.message)
        self.error = error
        self.code = code
        """Canonical code of the status."""
        self.agent_reason = agent_reason
        """Reason in the ErrorInfo of the status, as the agent wrote it; empty if the agent said nothing."""
        self.endpoint = endpoint
        """Address that was called; empty if no endpoint was known."""
        self.sent = sent
        """True if the request may have reached the agent."""
        self.spending = spending


class AgentCaller(Protocol):
    """Cancelling `call` cancels the skill at the agent."""

    async def call(self, call: AgentCall, deadline: Deadline) -> AgentReply:
        """Send one attempt to an endpoint of the skill's agent.

        Raises:
            CallFailed: With the agent's error, or Unreachable, or DeadlineExceeded, or NoEndpoint.
        """
        ...
