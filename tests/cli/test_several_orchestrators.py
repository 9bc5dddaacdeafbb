"""The client over several addresses, in both forms: calls go round, and past an orchestrator that leaves."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeAlias

import pytest
from google.protobuf.message import Message

from agentmesh import errors
from agentmesh.client import AsyncMeshClient, Finished, MeshClient
from agentmesh.client.turns import PAUSES_SECONDS, Turns
from agentmesh.v1 import orchestrator_service_pb2 as pb
from tests.cli import samples
from tests.cli.scripted_mesh import ScriptedMesh, scripted_mesh

Action: TypeAlias = Callable[[Any], Any]
Do: TypeAlias = Callable[[str, Action], Awaitable[Any]]
ENDED = "stopped by the test"


async def _do_async(address: str, action: Action) -> Any:  # noqa: ANN401
    async with AsyncMeshClient(address) as client:
        found = action(client)
        return [item async for item in found] if hasattr(found, "__aiter__") else await found


async def _do_sync(address: str, action: Action) -> Any:  # noqa: ANN401
    def do() -> object:
        with MeshClient(address) as client:
            found = action(client)
            return list(found) if hasattr(found, "__next__") else found

    return await asyncio.to_thread(do)


@pytest.fixture(params=[_do_async, _do_sync], ids=["async", "sync"])
def do(request: pytest.FixtureRequest) -> Do:
    chosen: Do = request.param
    return chosen


class Pair:
    """Two orchestrators; `first` can be ended."""

    def __init__(self, stack: AsyncExitStack, first: ScriptedMesh, second: ScriptedMesh) -> None:
        self._stack = stack
        self.first = first
        self.second = second
        self.address = f"{first.address},{second.address}"
        first.answer = second.answer = samples.offline_answer()

    async def end_first(self) -> None:
        await self._stack.aclose()


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack, scripted_mesh() as second:
        yield Pair(stack, await stack.enter_async_context(scripted_mesh()), second)


async def test_calls_go_round_all_of_them(pair: Pair) -> None:
    async with AsyncMeshClient(pair.address) as client:
        while not (pair.first.requests and pair.second.requests):  # the one that is connected first gets the first
            await client.ask("q")
        before = len(pair.first.requests)
        for _ in range(10):
            await client.ask("q")
        assert len(pair.first.requests) - before == 5


@pytest.mark.parametrize(
    ("action", "answer"),
    [
        (lambda client: client.ask("q"), samples.offline_answer()),
        (lambda client: client.execute_plan({"steps": []}, raw=True), pb.ExecutePlanResponse()),
        (lambda client: client.ask_stream("q"), samples.offline_answer()),
    ],
    ids=["ask", "execute_plan", "ask_stream"],
)
async def test_what_one_refuses_because_it_leaves_another_answers(
    pair: Pair, do: Do, action: Action, answer: Message
) -> None:
    pair.first.answer, pair.second.answer = errors.ShuttingDown(ENDED), answer
    while not pair.first.requests:
        assert await do(pair.address, action)


async def test_with_one_address_a_refusal_is_the_callers_to_judge(mesh: ScriptedMesh, do: Do) -> None:
    mesh.answer = errors.ShuttingDown(ENDED)
    with pytest.raises(errors.ShuttingDown):
        await do(mesh.address, lambda client: client.ask("q"))
    assert len(mesh.requests) == 1


async def test_an_error_of_the_request_is_not_asked_for_twice(pair: Pair, do: Do) -> None:
    pair.first.answer = pair.second.answer = errors.UnknownSkill("no")
    with pytest.raises(errors.UnknownSkill):
        await do(pair.address, lambda client: client.ask("q", request_id="r"))
    assert len(pair.first.requests) + len(pair.second.requests) == 1


@pytest.mark.parametrize("request_id", ["r", ""])
async def test_what_got_no_answer_is_asked_again_only_if_its_caller_says_that_this_is_safe(
    pair: Pair, do: Do, request_id: str
) -> None:
    pair.first.answer = None
    at_first = asyncio.ensure_future(pair.first.asked.wait())
    asked: list[asyncio.Future[Any]] = []
    while not at_first.done():  # which of the two is connected first, and so asked, is not for the test to say
        asked.append(asyncio.ensure_future(do(pair.address, lambda client: client.ask("q", request_id=request_id))))
        await asyncio.wait([at_first, asked[-1]], return_when=asyncio.FIRST_COMPLETED)
    await pair.end_first()
    ended = await asyncio.gather(*asked, return_exceptions=True)
    lost = [found for found in ended if isinstance(found, errors.Unreachable)]
    assert bool(lost) is not bool(request_id), ended
    assert len(pair.second.requests) == len(asked) - len(lost)


async def test_an_orchestrator_that_says_that_it_leaves_is_not_called(pair: Pair, do: Do) -> None:
    assert pair.first.server is not None
    await pair.first.server.set_not_serving("agentmesh.v1.Registry")
    for _ in range(4):
        await do(pair.address, lambda client: client.ask("q"))
    assert (len(pair.first.requests), len(pair.second.requests)) == (0, 4)


async def test_a_stream_that_has_begun_is_not_begun_again(pair: Pair, do: Do) -> None:
    pair.first.script = pair.second.script = [*samples.events()[:3], errors.ShuttingDown(ENDED)]
    with pytest.raises(errors.ShuttingDown):
        await do(pair.address, lambda client: client.ask_stream("q", request_id="r"))
    assert len(pair.first.requests) + len(pair.second.requests) == 1


async def test_an_answer_that_was_streamed_from_another_is_whole(pair: Pair, do: Do) -> None:
    pair.first.script = [errors.ShuttingDown(ENDED)]
    pair.second.script = samples.events()
    while not pair.first.requests:
        events = await do(pair.address, lambda client: client.ask_stream("q"))
        assert isinstance(events[-1], Finished)
        assert [event.sequence for event in events] == list(range(1, 18))


async def test_where_none_can_be_reached_the_error_comes_after_a_few_tries_and_in_the_time_given(do: Do) -> None:
    with pytest.raises(errors.Unreachable, match="nothing listens there"):
        await do("127.0.0.1:1,127.0.0.1:2", lambda client: client.list_agents(timeout_seconds=0.5))


async def test_a_list_that_cannot_be_one_is_refused_at_once(do: Do) -> None:
    with pytest.raises(ValueError, match="cannot be one of several"):
        await do("a:1,b:2", lambda client: client.list_agents())


def test_all_tries_together_have_the_time_of_one_call() -> None:
    now = [100.0]
    turns = Turns(several=True, safe=True, timeout_seconds=1.0, clock=lambda: now[0], jitter=lambda: 1.0)
    assert turns.timeout() == 1.0
    now[0] += 0.3
    assert turns.pause_after(errors.Unreachable("gone")) == 0.0
    assert turns.timeout() == pytest.approx(0.7)
    now[0] += 0.65
    assert turns.pause_after(errors.Unreachable("gone")) is None, "0.1 s are not left"


def test_tries_come_to_an_end() -> None:
    turns = Turns(several=True, safe=False, timeout_seconds=None, jitter=lambda: 1.0)
    assert turns.pause_after(errors.Unreachable("gone")) is None
    pauses = [turns.pause_after(errors.ShuttingDown("leaving")) for _ in range(len(PAUSES_SECONDS) + 1)]
    assert pauses == [*PAUSES_SECONDS, None]
