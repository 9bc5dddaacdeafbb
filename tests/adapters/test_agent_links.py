"""Links to endpoints: made and left with the listing, watched, and asked whether they answer while a call waits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from agentmesh import errors
from agentmesh.agent import RunningAgent
from agentmesh.v1 import agent_service_pb2 as pb
from agentmesh.v1 import agent_service_pb2_grpc
from orchestrator_svc.adapters.agent_links import PATIENCE_SECONDS
from orchestrator_svc.core.catalog import Skill
from tests.contracts.test_agent_caller import Happened, agent_of, skills_of
from tests.contracts.test_grpc_agent_caller import WORK, Book, done, foreign, unexpected

T = TypeVar("T")

STATUS = health_pb2.HealthCheckResponse


class Hose:
    """An address in front of another one; while it is shut nothing comes through, and no connection breaks."""

    def __init__(self, to: str) -> None:
        self._host, _, port = to.rpartition(":")
        self._port = int(port)
        self._open = asyncio.Event()
        self._open.set()
        self._pumps: list[asyncio.Task[None]] = []

    def shut(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    def cut(self) -> None:
        """Break every connection."""
        for pump in self._pumps:
            pump.cancel()

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[str]:
        """Gives its address."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        async with server:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            for pump in self._pumps:
                pump.cancel()
            await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward, back = await asyncio.open_connection(self._host, self._port)
        self._pumps += [
            asyncio.create_task(self._pump(reader, back)),
            asyncio.create_task(self._pump(onward, writer)),
        ]

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            try:
                while data := await reader.read(65536):
                    await self._open.wait()
                    writer.write(data)
            finally:
                writer.close()
                await writer.wait_closed()


class Health(health_pb2_grpc.HealthServicer):
    """Says what it is told to; a watch of it can be broken off."""

    def __init__(self) -> None:
        self.statuses: asyncio.Queue[int | None] = asyncio.Queue()
        """None: the watch ends."""

    async def Watch(self, request: object, context: object) -> AsyncIterator[Any]:
        while (status := await self.statuses.get()) is not None:
            yield STATUS(status=status)


@asynccontextmanager
async def telling(health: Health) -> AsyncIterator[str]:
    """A foreign agent with this health; gives its address."""

    class Silent(agent_service_pb2_grpc.AgentServicer):
        Execute = unexpected  # type: ignore[assignment]

    server = grpc.aio.server()
    agent_service_pb2_grpc.add_AgentServicer_to_server(Silent(), server)  # type: ignore[abstract]
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


class Ground(Book):
    """Follows the listing, as an orchestrator does."""

    def __init__(self) -> None:
        super().__init__()
        self._following: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._following = [
            asyncio.create_task(self.endpoints.follow()),
            asyncio.create_task(self.caller.follow()),
        ]

    async def stop(self) -> None:
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)
        await self.caller.close()


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    before = asyncio.all_tasks()
    made = Ground()
    made.start()
    yield made
    await made.stop()
    left = {task for task in asyncio.all_tasks() - before if "agent `" in task.get_name()}
    assert not left, "every link has ended"


@pytest.fixture
async def probes() -> AsyncIterator[tuple[RunningAgent, RunningAgent, Happened]]:
    """Two endpoints of one agent."""
    happened = Happened()
    async with await agent_of(happened).start() as one, await agent_of(happened).start() as two:
        yield one, two, happened


def skill_named(name: str) -> Skill:
    return skills_of(agent_of(Happened()))[name]


async def test_an_endpoint_is_watched_from_the_moment_it_is_listed(ground: Ground) -> None:
    """Nobody has called it."""
    health = Health()
    async with telling(health) as address:
        endpoint = await ground.add(address, WORK)
        health.statuses.put_nowait(STATUS.NOT_SERVING)
        await ground.until(lambda: not ground.endpoints.is_healthy(endpoint))
        health.statuses.put_nowait(STATUS.SERVING)
        await ground.until(lambda: ground.endpoints.is_healthy(endpoint))
        health.statuses.put_nowait(None)


async def test_a_server_that_keeps_no_health_of_its_services_counts_as_serving(ground: Ground) -> None:
    health = Health()
    async with telling(health) as address:
        endpoint = await ground.add(address, WORK)
        health.statuses.put_nowait(STATUS.NOT_SERVING)
        await ground.until(lambda: not ground.endpoints.is_healthy(endpoint))
        health.statuses.put_nowait(STATUS.SERVICE_UNKNOWN)
        await ground.until(lambda: ground.endpoints.is_healthy(endpoint))
        health.statuses.put_nowait(None)


async def test_a_watch_that_ends_is_opened_again(ground: Ground) -> None:
    health = Health()
    async with telling(health) as address:
        endpoint = await ground.add(address, WORK)
        for serving in (False, True):
            health.statuses.put_nowait(STATUS.SERVING if serving else STATUS.NOT_SERVING)
            await ground.until(lambda: ground.endpoints.is_healthy(endpoint) is serving)  # noqa: B023 - waited for
            health.statuses.put_nowait(None)


async def test_an_endpoint_whose_connection_breaks_does_not_serve_until_it_is_back(ground: Ground) -> None:
    agent, echo = agent_of(Happened()), skill_named("echo")
    async with await agent.start() as running:
        address = running.address
        endpoint = await ground.add(address, echo)
        assert (await ground.call(echo)).endpoint == address
    await ground.until(lambda: not ground.endpoints.is_healthy(endpoint))
    calling = asyncio.create_task(ground.call(echo))
    async with await agent.start(address):
        assert (await calling).endpoint == address, "it has waited"
    assert ground.endpoints.listed().keys() == {endpoint}


async def test_an_address_where_nobody_listens_does_not_serve(ground: Ground) -> None:
    async with await agent_of(Happened()).start() as gone:
        address = gone.address
    endpoint = await ground.add(address, WORK)
    await ground.until(lambda: not ground.endpoints.is_healthy(endpoint))


async def answer(request: object, context: object) -> pb.ExecuteResponse:
    return done()


async def test_an_agent_without_the_health_service_is_called(ground: Ground) -> None:
    async with foreign(answer) as address:
        endpoint = await ground.add(address, WORK)
        for _ in range(3):
            await ground.call(WORK)
        assert ground.endpoints.is_healthy(endpoint)


async def test_an_agent_without_the_health_service_does_not_serve_while_there_is_no_connection(ground: Ground) -> None:
    async with foreign(answer) as address:
        hose = Hose(address)
        async with hose.laid() as laid:
            endpoint = await ground.add(laid, WORK)
            await ground.call(WORK)
            hose.cut()
            await ground.until(lambda: not ground.endpoints.is_healthy(endpoint))
            assert (await ground.call(WORK)).endpoint == laid, "it was connected again"
        await ground.until(lambda: not ground.endpoints.is_healthy(endpoint))


async def test_an_endpoint_that_left_answers_what_it_has_begun_and_gets_nothing_new(
    ground: Ground, probes: tuple[RunningAgent, RunningAgent, Happened]
) -> None:
    one, two, happened = probes
    wait, echo = skill_named("wait"), skill_named("echo")
    leaving = await ground.add(one.address, wait, echo)
    waiting = asyncio.create_task(ground.call(wait))
    await happened.until(lambda: happened.waiting == 1)
    await ground.add(two.address, wait, echo)
    await ground.remove(leaving)
    assert {(await ground.call(echo)).endpoint for _ in range(6)} == {two.address}
    happened.release.set()
    assert (await waiting).endpoint == one.address


async def test_a_retry_goes_to_the_other_endpoint(
    ground: Ground, probes: tuple[RunningAgent, RunningAgent, Happened]
) -> None:
    one, two, _ = probes
    echo = skill_named("echo")
    for running in (one, two):
        await ground.add(running.address, echo)
    for _ in range(6):
        assert (await ground.call(echo, tried={one.address})).endpoint == two.address


async def test_a_call_whose_endpoint_is_lost_says_whether_there_is_another(ground: Ground) -> None:
    wait = skill_named("wait")
    happened = Happened()
    async with await agent_of(happened).start() as stays:
        for others in (0, 1):
            async with one_behind_a_hose(ground, wait, others=0) as (hose, address, begun):
                if others:
                    await ground.add(stays.address, wait)
                calling = await arrived(ground.failure(wait, tried=others_than(ground, address)), begun)
                hose.cut()
                failure = await calling
                assert isinstance(failure.error, errors.Unreachable)
                assert (failure.sent, failure.elsewhere) == (True, bool(others))
                await ground.clear()


async def test_an_agent_that_says_it_is_unavailable_is_not_lost(ground: Ground) -> None:
    """It may have too much to do, and so may the others."""

    async def busy(request: pb.ExecuteRequest, context: Any) -> pb.ExecuteResponse:  # noqa: ANN401
        await context.abort(grpc.StatusCode.UNAVAILABLE, "too many calls")
        raise AssertionError("unreachable")

    async with foreign(busy) as one, foreign(busy) as two:
        for address in (one, two):
            await ground.add(address, WORK)
        failure = await ground.failure(WORK)
    assert isinstance(failure.error, errors.Unreachable)
    assert not failure.elsewhere


@asynccontextmanager
async def one_behind_a_hose(
    ground: Ground, *skills: Skill, others: int = 1
) -> AsyncIterator[tuple[Hose, str, Happened]]:
    """Endpoints of the probe, the first of which is reached through a hose; with its address."""
    happened = Happened()
    async with AsyncExitStack() as stack:
        running = [await stack.enter_async_context(await agent_of(happened).start()) for _ in range(1 + others)]
        hose = Hose(running[0].address)
        address = await stack.enter_async_context(hose.laid())
        for one in (address, *(other.address for other in running[1:])):
            await ground.add(one, *skills)
        yield hose, address, happened
        hose.open()
        happened.release.set()


def others_than(ground: Ground, address: str) -> set[str]:
    """So that a call goes there, as one does that was tried elsewhere."""
    return {one.address for one in ground.endpoints.listed()} - {address}


async def arrived(call: Coroutine[Any, Any, T], happened: Happened) -> asyncio.Task[T]:
    """A call of `wait` that its agent has begun."""
    calling = asyncio.create_task(call)
    await happened.until(lambda: happened.waiting == 1)
    return calling


async def test_a_call_that_may_be_repeated_is_given_up_where_its_endpoint_does_not_answer(ground: Ground) -> None:
    wait = skill_named("wait")
    async with one_behind_a_hose(ground, wait) as (hose, address, happened):
        calling = await arrived(ground.failure(wait, tried=others_than(ground, address)), happened)
        began = asyncio.get_running_loop().time()
        hose.shut()
        failure = await calling
        assert isinstance(failure.error, errors.Unreachable)
        assert failure.error.message == f"agent `probe_agent` at {address} is unavailable: it does not answer"
        assert (failure.endpoint, failure.sent, failure.elsewhere) == (address, True, True)
        assert asyncio.get_running_loop().time() - began < 10 * PATIENCE_SECONDS
        (silent,) = [one for one in ground.endpoints.listed() if one.address == address]
        assert not ground.endpoints.is_healthy(silent)
        hose.open()
        await ground.until(lambda: ground.endpoints.is_healthy(silent))


async def test_it_is_not_given_up_where_no_other_endpoint_could_take_it(ground: Ground) -> None:
    wait = skill_named("wait")
    async with one_behind_a_hose(ground, wait, others=0) as (hose, address, happened):
        calling = await arrived(ground.call(wait, tried=others_than(ground, address)), happened)
        hose.shut()
        (silent,) = ground.endpoints.listed()
        await ground.until(lambda: not ground.endpoints.is_healthy(silent))
        hose.open()
        await ground.until(lambda: ground.endpoints.is_healthy(silent))
        happened.release.set()
        assert (await calling).endpoint == address


async def test_a_side_effect_is_never_given_up(ground: Ground) -> None:
    """It would not be repeated: what may still come of it is awaited."""
    reached, release = asyncio.Event(), asyncio.Event()

    async def slow(request: object, context: object) -> pb.ExecuteResponse:
        reached.set()
        await release.wait()
        return done()

    async with foreign(slow) as address, foreign() as other:
        hose = Hose(address)
        async with hose.laid() as through:
            silent = await ground.add(through, WORK)
            await ground.add(other, WORK)
            calling = asyncio.create_task(ground.call(WORK, tried={other}))
            await reached.wait()
            hose.shut()
            await ground.until(lambda: not ground.endpoints.is_healthy(silent))
            release.set()
            hose.open()
            assert (await calling).endpoint == through


async def test_an_endpoint_that_is_slow_and_answers_keeps_its_call(ground: Ground) -> None:
    wait = skill_named("wait")
    async with one_behind_a_hose(ground, wait) as (_, address, happened):
        calling = await arrived(ground.call(wait, tried=others_than(ground, address)), happened)
        done, _ = await asyncio.wait({calling}, timeout=2.5 * PATIENCE_SECONDS)
        assert not done
        happened.release.set()
        assert (await calling).endpoint == address


LISTENS: dict[str, Callable[[Path], str]] = {
    "IPv4": lambda _: "127.0.0.1:0",
    "IPv6": lambda _: "[::1]:0",
    "unix": lambda directory: f"unix:{directory}/agent",
}
FORMS: dict[str, tuple[str, Callable[[str], str]]] = {
    "host and port": ("IPv4", lambda address: address),
    "ipv4:": ("IPv4", lambda address: f"ipv4:{address}"),
    "IPv6": ("IPv6", lambda address: address),
    "ipv6:": ("IPv6", lambda address: f"ipv6:{address}"),
    "a unix socket": ("unix", lambda address: address),
    "a name": ("IPv4", lambda address: address.replace("127.0.0.1", "localhost")),
    "a name by dns": ("IPv4", lambda address: "dns:///" + address.replace("127.0.0.1", "localhost")),
}


@pytest.mark.parametrize("form", FORMS)
async def test_an_endpoint_is_called_at_an_address_of_each_form(ground: Ground, form: str, tmp_path: Path) -> None:
    listens, written = FORMS[form]
    async with await agent_of(Happened()).start(LISTENS[listens](tmp_path)) as running:
        address = written(running.address)
        endpoint = await ground.add(address, skill_named("echo"))
        assert (await ground.call(skill_named("echo"), {"value": form})).result == {"value": form}
        assert ground.endpoints.is_healthy(endpoint)
    await ground.until(lambda: not ground.endpoints.is_healthy(endpoint))


async def test_a_name_that_nobody_has_does_not_serve(ground: Ground) -> None:
    endpoint = await ground.add("nobody.invalid:1", WORK)
    await ground.until(lambda: not ground.endpoints.is_healthy(endpoint))


async def test_closing_ends_everything_also_what_has_left(
    probes: tuple[RunningAgent, RunningAgent, Happened],
) -> None:
    one, _, happened = probes
    ground = Ground()
    ground.start()
    wait = skill_named("wait")
    leaving = await ground.add(one.address, wait)
    calling = await arrived(ground.failure(wait), happened)
    await ground.remove(leaving)
    await ground.add("unix:/nowhere", wait)
    await ground.stop()
    failure = await calling
    assert isinstance(failure.error, errors.Unreachable)
