"""Lists of runs as callers page through them."""

from __future__ import annotations

import base64
import string
from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from agentmesh.errors import RequestInvalid
from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import run_pb2
from orchestrator_svc.adapters.memory_run_store import MemoryRunStore
from orchestrator_svc.api.run_pages import list_runs
from orchestrator_svc.app.journal import Journal
from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.app.ports.planner import Question
from orchestrator_svc.app.request import RunRequest
from orchestrator_svc.app.run import Run, RunState
from orchestrator_svc.core.verdict import RunOutcome
from tests.fakes.clock import ManualClock

START = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)


class Ground:
    """A store with runs, and its pages."""

    def __init__(self) -> None:
        self.clock = ManualClock(START)
        self.store = MemoryRunStore(10_000, clock=self.clock, replay_seconds=60)
        self.count = 0

    async def begin(self, query: str = "?", conversation_id: str = "") -> Run:
        """Begin a run, a second after the last."""
        self.count += 1
        self.clock.advance(1)
        run = Run(
            f"{self.count:032x}",
            RunRequest(Question(query), caller="me", conversation_id=conversation_id),
            self.clock.now(),
            self.clock,
            self.clock.monotonic(),
            Ledger(agent_calls=self.count),
            Journal(self.clock),
        )
        await self.store.begin(run)
        return run

    async def begin_many(self, count: int) -> None:
        """Begin so many runs."""
        for _ in range(count):
            await self.begin()

    async def page(self, request: pb.ListRunsRequest, caller: str = "me") -> tuple[list[int], str]:
        """The numbers of the runs, and the token of the next page."""
        response = await list_runs(self.store, request, caller)
        return [int(run.run_id, 16) for run in response.runs], response.next_page_token

    async def refusal(self, request: pb.ListRunsRequest, caller: str = "me") -> dict[str, str]:
        """The violations, by field, with which the request is refused."""
        with pytest.raises(RequestInvalid) as caught:
            await self.page(request, caller)
        return {violation.path: violation.message for violation in caught.value.violations}


@pytest.fixture
async def ground() -> Ground:
    return Ground()


async def test_without_runs_there_is_one_empty_page(ground: Ground) -> None:
    assert await ground.page(pb.ListRunsRequest()) == ([], "")


async def test_a_page_has_fifty_runs_unless_it_is_said(ground: Ground) -> None:
    await ground.begin_many(60)
    numbers, token = await ground.page(pb.ListRunsRequest())
    assert numbers == list(range(60, 10, -1))
    assert await ground.page(pb.ListRunsRequest(page_token=token)) == (list(range(10, 0, -1)), "")


async def test_the_last_page_has_no_token_also_when_it_is_full(ground: Ground) -> None:
    await ground.begin_many(4)
    numbers, token = await ground.page(pb.ListRunsRequest(page_size=2))
    assert numbers == [4, 3]
    assert await ground.page(pb.ListRunsRequest(page_size=2, page_token=token)) == ([2, 1], "")


async def test_the_size_may_change_from_page_to_page(ground: Ground) -> None:
    await ground.begin_many(6)
    _, token = await ground.page(pb.ListRunsRequest(page_size=1))
    numbers, token = await ground.page(pb.ListRunsRequest(page_size=3, page_token=token))
    assert numbers == [5, 4, 3]
    assert await ground.page(pb.ListRunsRequest(page_token=token)) == ([2, 1], "")


async def test_a_page_token_can_be_used_again_and_new_runs_do_not_move_it(ground: Ground) -> None:
    await ground.begin_many(4)
    _, token = await ground.page(pb.ListRunsRequest(page_size=2))
    await ground.begin_many(3)
    for _ in range(2):
        assert (await ground.page(pb.ListRunsRequest(page_size=2, page_token=token)))[0] == [2, 1]


async def test_a_page_token_is_short_and_may_stand_in_a_url(ground: Ground) -> None:
    await ground.begin_many(300)
    token, tokens = "", []
    for _ in range(299):
        _, token = await ground.page(pb.ListRunsRequest(page_size=1, page_token=token))
        tokens.append(token)
    assert set("".join(tokens)) <= {*string.ascii_letters, *string.digits, "-", "_"}
    assert max(map(len, tokens)) < 64


FILTERS = [
    pb.ListRunsRequest(state=run_pb2.RUN_STATE_RUNNING),
    pb.ListRunsRequest(outcome=run_pb2.RUN_OUTCOME_PARTIAL),
    pb.ListRunsRequest(conversation_id="c"),
    pb.ListRunsRequest(started_after=Timestamp(seconds=1)),
    pb.ListRunsRequest(started_before=Timestamp(seconds=4_000_000_000)),
]


@pytest.mark.parametrize("filters", FILTERS, ids=lambda one: one.ListFields()[0][0].name)
async def test_a_page_token_is_refused_with_other_filters(ground: Ground, filters: pb.ListRunsRequest) -> None:
    await ground.begin_many(3)
    _, token = await ground.page(pb.ListRunsRequest(page_size=1))
    request = pb.ListRunsRequest(page_token=token)
    request.MergeFrom(filters)
    assert "other filters" in (await ground.refusal(request))["page_token"]


async def test_a_page_token_of_another_caller_is_refused(ground: Ground) -> None:
    await ground.begin_many(3)
    _, token = await ground.page(pb.ListRunsRequest(page_size=1))
    assert (await ground.refusal(pb.ListRunsRequest(page_token=token), "you")).keys() == {"page_token"}


@pytest.mark.parametrize("token", ["x", "=", "AAAA", "A" * 44, "A" * 512, "_" * 44, "\u00e9", "a b", "{}", "-" * 43])
async def test_what_is_no_page_token_is_refused(ground: Ground, token: str) -> None:
    assert (await ground.refusal(pb.ListRunsRequest(page_token=token))).keys() == {"page_token"}


@given(
    st.text(min_size=1, max_size=100)
    | st.binary(min_size=30, max_size=36).map(lambda one: base64.b64encode(one).decode())
)
async def test_no_text_at_all_is_answered_with_anything_else(token: str) -> None:
    assert (await Ground().refusal(pb.ListRunsRequest(page_token=token))).keys() == {"page_token"}


async def test_a_token_that_was_cut_or_changed_is_refused(ground: Ground) -> None:
    await ground.begin_many(3)
    _, token = await ground.page(pb.ListRunsRequest(page_size=1))
    for wrong in (token[:-1], token[:-4], token + "A", token + token, token[::-1], token.swapcase()):
        assert (await ground.refusal(pb.ListRunsRequest(page_token=wrong))).keys() == {"page_token"}


async def test_a_summary_has_what_a_line_needs_and_the_beginning_of_a_long_question(ground: Ground) -> None:
    run = await ground.begin(query="\u00e9" * 300, conversation_id="c")
    (running,) = (await list_runs(ground.store, pb.ListRunsRequest(), "me")).runs
    assert (running.query, running.conversation_id) == ("\u00e9" * 200, "c")
    assert (running.state, running.outcome) == (run_pb2.RUN_STATE_RUNNING, run_pb2.RUN_OUTCOME_UNSPECIFIED)
    assert running.started_at.ToDatetime(tzinfo=UTC) == run.started_at
    assert not running.HasField("ended_at")
    assert running.usage.agent_calls == 1
    ground.clock.advance(2)
    run.outcome = RunOutcome.COMPLETE
    run.end(RunState.FINISHED)
    await ground.store.put(run)
    (ended,) = (await list_runs(ground.store, pb.ListRunsRequest(), "me")).runs
    assert (ended.state, ended.outcome) == (run_pb2.RUN_STATE_FINISHED, run_pb2.RUN_OUTCOME_COMPLETE)
    assert ended.ended_at.ToDatetime(tzinfo=UTC) == run.ended_at


@pytest.mark.parametrize("state", [state for state in run_pb2.RunState.values() if state])
async def test_every_state_can_be_asked_for(ground: Ground, state: run_pb2.RunState.ValueType) -> None:
    runs = [await ground.begin() for _ in RunState]
    for run, end in zip(runs, RunState, strict=True):
        if end is not RunState.RUNNING:
            run.end(end)
            await ground.store.put(run)
    response = await list_runs(ground.store, pb.ListRunsRequest(state=state), "me")
    assert [run.state for run in response.runs] == [state]


@pytest.mark.parametrize("outcome", [outcome for outcome in run_pb2.RunOutcome.values() if outcome])
async def test_every_outcome_can_be_asked_for(ground: Ground, outcome: run_pb2.RunOutcome.ValueType) -> None:
    for one in RunOutcome:
        run = await ground.begin()
        run.outcome = one
        run.end(RunState.FINISHED)
        await ground.store.put(run)
    response = await list_runs(ground.store, pb.ListRunsRequest(outcome=outcome), "me")
    assert [run.outcome for run in response.runs] == [outcome]


async def test_bounds_of_time_are_exact_to_the_nanosecond(ground: Ground) -> None:
    run = await ground.begin()
    at, later = Timestamp(), Timestamp()
    at.FromDatetime(run.started_at)
    later.FromDatetime(run.started_at)
    later.nanos += 1
    assert (await ground.page(pb.ListRunsRequest(started_after=at)))[0] == [1]
    assert (await ground.page(pb.ListRunsRequest(started_after=later)))[0] == []
    assert (await ground.page(pb.ListRunsRequest(started_before=at)))[0] == []
    assert (await ground.page(pb.ListRunsRequest(started_before=later)))[0] == [1]


async def test_the_greatest_of_all_times_bounds_nothing(ground: Ground) -> None:
    await ground.begin()
    for_ever = Timestamp(seconds=253_402_300_799, nanos=999_999_999)
    assert (await ground.page(pb.ListRunsRequest(started_before=for_ever)))[0] == [1]
    assert (await ground.page(pb.ListRunsRequest(started_after=for_ever)))[0] == []


@pytest.mark.parametrize(
    "bound",
    [
        Timestamp(seconds=10**15),
        Timestamp(seconds=-(10**15)),
        Timestamp(nanos=-1),
        Timestamp(nanos=1_000_000_000),
    ],
    ids=str,
)
async def test_a_bound_that_is_no_time_is_refused_and_named(ground: Ground, bound: Timestamp) -> None:
    assert (await ground.refusal(pb.ListRunsRequest(started_after=bound))).keys() == {"started_after"}
    assert (await ground.refusal(pb.ListRunsRequest(started_before=bound))).keys() == {"started_before"}
