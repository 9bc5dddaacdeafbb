"""The agent, as its author writes it: a name, skills, and how to serve them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, Literal, TypeAlias, TypeVar

from agentmesh.agent.repeats import DEFAULT_SECONDS
from agentmesh.agent.running import Lifespan, Options, Program, RunningAgent
from agentmesh.agent.serving import serve_until_signal
from agentmesh.agent.signature import SkillDefinitionError
from agentmesh.agent.skill import Skill, broken_rules, define_skill
from agentmesh.agent.threads import DEFAULT_THREADS
from agentmesh.cards import MAX_CARD_BYTES, Effect
from agentmesh.v1 import card_pb2

Function = TypeVar("Function", bound=Callable[..., Any])
EffectName: TypeAlias = Literal["READ_ONLY", "IDEMPOTENT", "SIDE_EFFECT"]


class AgentDefinitionError(ValueError):
    """What the author says of the agent cannot stand in a card."""


class Agent:
    """An agent and its skills. Decorate functions with `skill`, then call `serve`."""

    def __init__(
        self,
        name: str,
        *,
        version: str,
        description: str = "",
        lifespan: Lifespan | None = None,
        max_threads: int = DEFAULT_THREADS,
        remember_seconds: float = DEFAULT_SECONDS,
    ) -> None:
        """Make an agent without skills.

        Args:
            name: Unique in the mesh: lower-case words joined by single underscores, at most 48 characters.
            version: Semantic, e.g. `1.4.0`.
            description: What the agent is for, in one or two sentences.
            lifespan: Gives a context manager that is entered before the agent serves, and left after it drained.
            max_threads: Skills that are plain functions and run at the same time; further calls wait.
            remember_seconds: How long the answer of a skill with effect SIDE_EFFECT is kept for further calls with the
                same idempotency key; at most 1000 answers and 16 MiB are. 0: only calls in flight are joined.

        Raises:
            AgentDefinitionError: If the card cannot have this name, version or description, or for a time that is
                negative or not finite.
        """
        self.name = name
        self._lifespan: Lifespan = lifespan or nullcontext
        self._max_threads = max_threads
        self._remember_seconds = remember_seconds
        self._card = card_pb2.AgentCard(name=name, version=version, description=description)
        self._skills: dict[str, Skill] = {}
        self._refuse([problem for problem in broken_rules(self._card) if not problem.startswith("skills ")])
        if not 0 <= remember_seconds < math.inf:
            self._refuse([f"remember_seconds {remember_seconds!r} is no number of seconds"])

    def skill(
        self,
        *,
        effect: Effect | EffectName,
        name: str | None = None,
        tags: Sequence[str] = (),
        examples: Sequence[str] = (),
        timeout_seconds: float | None = None,
        reports_progress: bool = False,
    ) -> Callable[[Function], Function]:
        """Make a skill of the typed function below; the function itself stays as it is.

        The schemas come from its type hints, the description and those of the arguments from its docstring. An async
        function runs on the event loop, a plain one in a thread. It raises `agentmesh.errors.NotFound`, `SkillFailed`,
        `PermissionDenied`, `ResourceExhausted` or `ArgumentsInvalid` to tell the caller what is wrong; the text of
        any other exception is never sent.

        A call with effect SIDE_EFFECT and an idempotency key runs once in this process: one that comes again gets the
        answer of the first, also an error, while that is kept (`remember_seconds`). If the first was cancelled or timed
        out, the answer is that its effect is not known. Other effects run again.

        Args:
            effect: READ_ONLY, IDEMPOTENT or SIDE_EFFECT: decides what may be retried.
            name: The function's own where it is not given.
            tags: Words to find it by.
            examples: Utterances that it answers; ten make offline routing markedly better.
            timeout_seconds: Time for one call, at most 3600.
            reports_progress: Whether it calls `progress`: the mesh asks for it then where somebody watches.

        Raises:
            SkillDefinitionError: If the function cannot be a skill.
        """

        def decorate(function: Function) -> Function:
            skill = define_skill(
                function,
                agent=self.name,
                effect=effect,
                name=name,
                tags=tags,
                examples=examples,
                timeout_seconds=timeout_seconds,
                reports_progress=reports_progress,
            )
            if skill.name in self._skills:
                raise SkillDefinitionError(f"agent {self.name} has a skill {skill.name} already")
            self._skills[skill.name] = skill
            return function

        return decorate

    def card(self) -> card_pb2.AgentCard:
        """Return the card of the agent with its skills, a copy.

        Raises:
            AgentDefinitionError: If there is no skill, or the card is over 256 kB.
        """
        card = card_pb2.AgentCard()
        card.CopyFrom(self._card)
        card.skills.extend(skill.message for skill in self._skills.values())
        self._refuse(broken_rules(card))
        if card.ByteSize() > MAX_CARD_BYTES:
            self._refuse([f"the card has {card.ByteSize()} bytes, at most {MAX_CARD_BYTES} are allowed"])
        return card

    async def start(
        self,
        listen: str = "127.0.0.1:0",
        orchestrator: str | None = None,
        *,
        advertise: str | None = None,
        ttl_seconds: float | None = None,
    ) -> RunningAgent:
        """Serve in the running event loop, and return once the agent takes calls.

        Args:
            listen: `host:port`; port 0 is chosen by the kernel.
            orchestrator: Where to register; None: nowhere.
            advertise: Address to register; None: the one that it listens on.
            ttl_seconds: Of the lease; None: the orchestrator's default.
        """
        options = Options(listen=listen, orchestrator=orchestrator, advertise=advertise, ttl_seconds=ttl_seconds)
        return await RunningAgent.start(self._program(), options)

    def serve(self) -> None:
        """Serve until SIGTERM or SIGINT, as the environment says (AGENTMESH_AGENT_*); for the end of a main module.

        Returns after the agent drained, so that the process ends with 0; ends it with 1 where it cannot serve.
        """
        serve_until_signal(self._program())

    def _program(self) -> Program:
        return Program(self.card(), dict(self._skills), self._lifespan, self._max_threads, self._remember_seconds)

    def _refuse(self, problems: Sequence[str]) -> None:
        if problems:
            raise AgentDefinitionError(f"agent {self.name!r}: {'; '.join(problems)}")
