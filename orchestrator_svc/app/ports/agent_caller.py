"""Calls a skill of an agent, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from agentmesh.deadline import Deadline
from agentmesh.errors import Code, DeadlineExceeded, MeshError, SkillChanged
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
    tried: frozenset[str] = frozenset()
    """Addresses that earlier attempts were sent to; another one is preferred."""


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
        elsewhere: bool = False,
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
        self.elsewhere = elsewhere
        """True if the endpoint was lost under the call and the agent has another one that is well."""
        self.spending = spending

    @property
    def transient(self) -> bool:
        """Whether the same call might succeed later.

        An agent that was late once need not be again. A skill that has changed at one endpoint may be as it was at
        another, and a run that begins later is planned with it as it is then.
        """
        return self.error.transient or isinstance(self.error, DeadlineExceeded | SkillChanged)


class CallWatcher(Protocol):
    """Hears of one attempt while it is under way. Its methods return at once and do not fail."""

    @property
    def wants_progress(self) -> bool:
        """Whether progress is worth asking for; read once, when the attempt begins."""
        ...

    def sent(self, endpoint: str) -> None:
        """The request goes to this address now; said once, before anything else."""
        ...

    def progress(self, fraction: float | None, message: str) -> None:
        """How far the skill has come: 0 to 1, None if not known, and what it is doing."""
        ...


class AgentCaller(Protocol):
    """Cancelling `call` cancels the skill at the agent."""

    async def call(self, call: AgentCall, deadline: Deadline, watcher: CallWatcher) -> AgentReply:
        """Send one attempt to an endpoint that has the skill with the same schemas and effect; wait for one a while.

        Progress is asked for where the watcher wants it and the skill's card says that there is some; of an agent that
        turns out to have none it is not asked for again.

        Raises:
            CallFailed: With the agent's error, or Unreachable, or DeadlineExceeded, or NoEndpoint.
        """
        ...
