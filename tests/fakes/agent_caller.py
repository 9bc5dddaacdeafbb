"""An agent caller whose agents are functions in this process; it records every call and passes the contract suite."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeAlias

from agentmesh.deadline import Deadline
from agentmesh.errors import Code, DeadlineExceeded, MeshError, NoEndpoint, SkillNotFound, Unreachable
from agentmesh.jsonvalues import JsonObject
from agentmesh.reasons import code_of, reason_of
from orchestrator_svc.app.ledger import NOTHING_SPENT, AgentSpending
from orchestrator_svc.app.ports.agent_caller import AgentCall, AgentReply, CallFailed, CallWatcher

SkillFunction: TypeAlias = "Callable[[JsonObject], Awaitable[JsonObject | None]]"

_told: ContextVar[CallWatcher | None] = ContextVar("told", default=None)
"""Who hears of the progress of the function that runs."""


def report_progress(fraction: float | None, message: str) -> None:
    """What a function calls that reports progress; nobody hears it where nobody asked for it."""
    watcher = _told.get()
    if watcher is not None:
        watcher.progress(fraction, message)


@dataclass
class RecordingWatcher:
    """Implements `CallWatcher`."""

    wants_progress: bool = False
    heard: list[str | tuple[float | None, str]] = field(default_factory=list)
    """In order: addresses that requests were sent to, and fractions with their messages."""
    progressed: asyncio.Event = field(default_factory=asyncio.Event)
    """Some progress was heard."""

    def sent(self, endpoint: str) -> None:
        self.heard.append(endpoint)

    def progress(self, fraction: float | None, message: str) -> None:
        self.heard.append((fraction, message))
        self.progressed.set()


@dataclass
class FunctionAgentCaller:
    """Implements `AgentCaller`; an agent without functions has no endpoint."""

    skills: Mapping[str, SkillFunction]
    """By skill id. A function raises MeshError to answer with a status."""
    dead: Collection[str] = ()
    """Agents that are listed and cannot be reached."""
    spending: Mapping[str, AgentSpending] = field(default_factory=dict)
    """By skill id: what each of its calls reports, failed ones too."""
    started: list[AgentCall] = field(default_factory=list)
    ended: list[AgentCall] = field(default_factory=list)
    cancelled: list[AgentCall] = field(default_factory=list)
    running: int = 0
    most_at_once: int = 0

    async def call(self, call: AgentCall, deadline: Deadline, watcher: CallWatcher) -> AgentReply:
        endpoint = self._endpoint(call.skill.agent, deadline)
        spending = self.spending.get(call.skill.id, NOTHING_SPENT)
        watcher.sent(endpoint)
        if call.skill.agent in self.dead:
            gone = Unreachable(f"agent `{call.skill.agent}` is unavailable")
            raise CallFailed(gone, code=code_of(gone), endpoint=endpoint, sent=False)
        self.started.append(call)
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        try:
            async with asyncio.timeout(deadline.remaining()):
                with _telling(watcher if call.skill.reports_progress and watcher.wants_progress else None):
                    result = await self._result(call)
        except TimeoutError as error:
            late = DeadlineExceeded("the deadline passed")
            raise CallFailed(late, code=code_of(late), endpoint=endpoint, sent=True) from error
        except MeshError as error:
            raise CallFailed(
                error,
                code=code_of(error),
                agent_reason=str(reason_of(error)),
                endpoint=endpoint,
                sent=True,
                spending=spending,
            ) from error
        except asyncio.CancelledError:
            self.cancelled.append(call)
            raise
        finally:
            self.running -= 1
            self.ended.append(call)
        return AgentReply(result, endpoint, spending)

    def _endpoint(self, agent: str, deadline: Deadline) -> str:
        """The address of an agent that a request can be sent to now."""
        address = f"fake:{agent}"
        if agent not in self.dead and not any(identifier.startswith(f"{agent}__") for identifier in self.skills):
            raise CallFailed(
                NoEndpoint(f"no endpoint of `{agent}` is known just now"), code=Code.UNAVAILABLE, sent=False
            )
        if deadline.expired:
            error = DeadlineExceeded(f"no time was left to call agent `{agent}`")
            raise CallFailed(error, code=Code.DEADLINE_EXCEEDED, endpoint=address, sent=False)
        return address

    async def _result(self, call: AgentCall) -> JsonObject | None:
        function = self.skills.get(call.skill.id)
        if function is None:
            raise SkillNotFound(f"no skill `{call.skill.name}`")
        return await function(call.arguments)


@contextmanager
def _telling(watcher: CallWatcher | None) -> Iterator[None]:
    token = _told.set(watcher)
    try:
        yield
    finally:
        _told.reset(token)
