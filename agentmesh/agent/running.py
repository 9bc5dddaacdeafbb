"""The life of one agent process: lifespan, server, membership, drain; in this order, and back."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import structlog

from agentmesh.addresses import read_target
from agentmesh.agent.membership import Membership
from agentmesh.agent.repeats import Repeats
from agentmesh.agent.servicer import AgentServicer
from agentmesh.agent.skill import Skill
from agentmesh.agent.threads import Threads
from agentmesh.listen import CannotListen, ListenAddress
from agentmesh.transport import MeshServer, Service, build_server, open_channel
from agentmesh.v1 import agent_service_pb2_grpc, card_pb2, registry_service_pb2_grpc

_log: Final = structlog.get_logger(scope="agentmesh.agent")

SERVICE: Final = "agentmesh.v1.Agent"
DEFAULT_GRACE_SECONDS: Final = 30.0
_MAX_CALL_SECONDS: Final = 3600.0
"""As long as a skill may ask for in its card."""

Lifespan: TypeAlias = Callable[[], AbstractAsyncContextManager[object]]
BeforeDrain: TypeAlias = Callable[[], Awaitable[None]]
Until: TypeAlias = Callable[[MeshServer, BeforeDrain], Coroutine[None, None, None]]
"""Returns once the server is drained; calls the second argument before it drains."""


@dataclass(frozen=True, slots=True)
class Program:
    """What an author wrote."""

    card: card_pb2.AgentCard
    skills: Mapping[str, Skill]
    lifespan: Lifespan
    max_threads: int
    remember_seconds: float
    """How long the answer of a SIDE_EFFECT skill is kept for calls with the same idempotency key."""


@dataclass(frozen=True, slots=True)
class Options:
    """Where and how it runs."""

    listen: str = "127.0.0.1:0"
    orchestrator: str | None = None
    """Where to register, as `host:port` or several, see `agentmesh.addresses`; None: nowhere."""
    advertise: str | None = None
    """Address to register; None: the one that it listens on."""
    ttl_seconds: float | None = None
    """Of the lease; None: the registry's default."""
    allow_plaintext: bool = False
    """Whether an address that other machines reach may be served without TLS."""
    grace_seconds: float = DEFAULT_GRACE_SECONDS
    """How long calls in flight may go on when it drains."""

    @property
    def listens_everywhere(self) -> bool:
        """Whether it listens on every interface, which is no address to connect to."""
        try:
            return ipaddress.ip_address(ListenAddress.parse(self.listen).host).is_unspecified
        except (CannotListen, ValueError):
            return False


class RunningAgent:
    """An agent that serves in this event loop."""

    def __init__(self, task: asyncio.Task[None], stop: asyncio.Event, up: Up) -> None:
        self._task = task
        self._stop = stop
        self._up = up
        self.address: Final = up.server.address
        """Where it listens, with the real port."""

    @classmethod
    async def start(cls, program: Program, options: Options) -> RunningAgent:
        """Start, and return once calls are taken.

        Raises what the lifespan raises, and CannotListen.
        """
        stop = asyncio.Event()
        ready: asyncio.Future[Up] = asyncio.get_running_loop().create_future()

        async def until_stopped(server: MeshServer, before_drain: BeforeDrain) -> None:
            await stop.wait()
            await before_drain()
            await server.drain(options.grace_seconds)

        # One task for the whole life, so that the lifespan is left in the task that entered it.
        task = asyncio.create_task(live(program, options, until_stopped, ready.set_result), name=program.card.name)
        try:
            waiting: set[asyncio.Future[Any]] = {task, ready}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task})
            raise
        if not ready.done():
            ready.cancel()
            await task
            raise AssertionError("an agent that never served has ended without an error")
        return cls(task, stop, ready.result())

    async def registered(self) -> None:
        """Wait until the orchestrator has listed this agent.

        Raises:
            RegistrationRefused: If it refuses for good.
            ValueError: If there is no orchestrator.
        """
        if self._up.membership is None:
            raise ValueError("this agent was started without an orchestrator")
        waiting = asyncio.create_task(self._up.membership.registered.wait())
        try:
            await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                await self._task
        finally:
            waiting.cancel()

    async def ended(self) -> None:
        """Wait until it has ended; raises why, if it was not stopped: RegistrationRefused, or its lifespan's error."""
        await asyncio.shield(self._task)

    async def stop(self) -> None:
        """Leave the mesh, finish what runs, and return; again: nothing happens. Raises as of `ended`."""
        self._stop.set()
        await self.ended()

    async def __aenter__(self) -> RunningAgent:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


@dataclass(frozen=True, slots=True)
class Up:
    """What is there while an agent serves."""

    server: MeshServer
    membership: Membership | None


async def live(program: Program, options: Options, until: Until, ready: Callable[[Up], None] | None = None) -> None:
    """Serve from start to drain; `ready` is called once calls are taken.

    Raises:
        RegistrationRefused: If the orchestrator refuses the agent for good; it has drained then.
        CannotListen: If the address cannot be listened on.
        ValueError: If it listens on every interface and is to register, and no address to register is given.
    """
    async with program.lifespan():
        server = build_server(
            options.listen,
            [Service(SERVICE, agent_service_pb2_grpc.add_AgentServicer_to_server, _servicer(program))],
            allow_plaintext=options.allow_plaintext,
            max_call_seconds=_MAX_CALL_SECONDS,
        )
        await server.start()
        try:
            async with _membership(program, options, server) as membership:
                await server.set_serving()
                _log.info("serving", agent=program.card.name, address=server.address, skills=list(program.skills))
                if ready is not None:
                    ready(Up(server, membership))
                await _serve(server, membership, until, options.grace_seconds)
        finally:
            await server.stop()


def _servicer(program: Program) -> AgentServicer:
    return AgentServicer(program.card, program.skills, Threads(program.max_threads), Repeats(program.remember_seconds))


@asynccontextmanager
async def _membership(program: Program, options: Options, server: MeshServer) -> AsyncIterator[Membership | None]:
    if options.orchestrator is None:
        yield None
        return
    if options.advertise is None and options.listens_everywhere:
        raise ValueError(f"{options.listen} is no address to connect to; say which one to register (advertise)")
    target = read_target(options.orchestrator)
    peer = f"orchestrator at {options.orchestrator}"
    channel = open_channel(target.uri, peer=peer, orchestrators=target.several)
    async with channel:
        yield Membership(
            registry_service_pb2_grpc.RegistryStub(channel),
            card=program.card,
            address=options.advertise or server.address,
            ttl_seconds=options.ttl_seconds,
        )


async def _serve(server: MeshServer, membership: Membership | None, until: Until, grace_seconds: float) -> None:
    """Keep the membership while `until` has not ended; drain if the membership ends first."""
    if membership is None:
        await until(server, _nothing)
        return

    async def leave() -> None:
        await server.set_not_serving()
        keeping.cancel()
        await asyncio.wait({keeping})
        await membership.leave()

    ending = asyncio.create_task(until(server, leave), name="until")
    keeping = asyncio.create_task(membership.keep(), name="membership")
    try:
        await asyncio.wait({keeping, ending}, return_when=asyncio.FIRST_COMPLETED)
        if keeping.done() and not keeping.cancelled():
            ending.cancel()
            await asyncio.wait({ending})
            await server.drain(grace_seconds)
            await keeping  # raises why it ended
        await ending
    finally:
        for task in (keeping, ending):
            task.cancel()
        await asyncio.wait({keeping, ending})


async def _nothing() -> None:
    pass
