"""Commands that follow runs: `ask` with its events, `runs`, `runs watch`, `runs cancel`; leaving and coming back."""

import asyncio
import json
import signal
from datetime import UTC, datetime, timedelta

import pytest

from agentmesh import errors
from agentmesh.cli.problems import explain_error
from agentmesh.cli.runs_app import Outcome, State
from agentmesh.client import RunOutcome, RunState
from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import run_pb2
from tests.cli import samples
from tests.cli.command import golden, run, start
from tests.cli.scripted_mesh import ScriptedMesh


async def test_events_are_a_line_of_json_each(mesh: ScriptedMesh) -> None:
    mesh.script = samples.events()
    ended = await run("ask", "q", "--events", "--address", mesh.address)
    assert (ended.code, ended.err) == (3, "")
    events = [json.loads(line) for line in ended.out.splitlines()]
    assert [event["sequence"] for event in events] == list(range(1, 18))
    assert events[0] == {"sequence": 1, "at": "2026-01-02T03:04:04.600Z", "accepted": {"runId": samples.RUN_ID}}
    assert events[6]["stepProgress"] == {"stepId": "scan", "progress": {"fraction": 0.4, "message": "reading"}}
    assert events[-1]["finished"]["outcome"] == "RUN_OUTCOME_PARTIAL"


async def test_an_event_is_written_when_it_happens(mesh: ScriptedMesh) -> None:
    more = asyncio.Event()
    mesh.script = [*samples.events()[:1], more, *samples.events()[1:]]
    process = await start("ask", "q", "--events", "--address", mesh.address)
    assert process.stdout is not None
    first = await process.stdout.readline()
    assert json.loads(first)["accepted"]["runId"] == samples.RUN_ID
    more.set()
    rest, _ = await process.communicate()
    assert len(rest.splitlines()) == 16


async def test_events_before_a_failure_are_written_and_the_failure_is_told(mesh: ScriptedMesh) -> None:
    error = errors.AllStepsFailed("nothing worked", code=errors.Code.UNAVAILABLE).about_run(samples.RUN_ID)
    mesh.script = [*samples.events()[:3], error]
    ended = await run("ask", "q", "--events", "--address", mesh.address)
    assert (ended.code, len(ended.out.splitlines())) == (5, 3)
    assert ended.err.startswith("error: nothing worked (UNAVAILABLE, ALL_STEPS_FAILED)")
    assert f"`agentmesh runs show {samples.RUN_ID}` shows every step" in ended.err


async def test_through_a_pipe_the_answer_is_the_one_that_finished_the_run(mesh: ScriptedMesh) -> None:
    mesh.script = samples.events()
    ended = await run("ask", "q", "--address", mesh.address)
    assert (ended.out, ended.code, ended.err) == (golden("ask_partial.txt"), 3, "")


@pytest.mark.parametrize("arguments", [[], ["--events"], ["--json"]], ids=["text", "events", "json"])
async def test_ctrl_c_ends_the_run_in_the_mesh(mesh: ScriptedMesh, arguments: list[str]) -> None:
    mesh.script = [*samples.events()[:3], asyncio.Event()]
    process = await start("ask", "q", *arguments, "--address", mesh.address)
    await mesh.asked.wait()
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert (process.returncode, err) == (130, b"")
    await mesh.left.wait()


async def test_ctrl_c_leaves_a_run_that_is_to_keep_running_and_says_how_to_come_back(mesh: ScriptedMesh) -> None:
    mesh.script = [*samples.events()[:3], asyncio.Event()]
    process = await start("ask", "q", "--keep-running", "--events", "--address", mesh.address)
    assert process.stdout is not None
    await process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130
    command = f"agentmesh runs watch {samples.RUN_ID} --address {mesh.address}"
    assert err.decode() == f"the run goes on; come back with: {command}\n"
    (request,) = mesh.requests
    assert isinstance(request, pb.AskStreamRequest)
    assert request.ask.keep_running


async def test_a_reader_that_leaves_ends_the_run_in_the_mesh(mesh: ScriptedMesh) -> None:
    mesh.script = [*samples.events()[:3], asyncio.Event()]
    process = await start("ask", "q", "--events", "--address", mesh.address, closed_stdout=True)
    await mesh.left.wait()
    _, err = await process.communicate()
    assert (process.returncode, err) == (141, b"")


async def test_watch_replays_and_follows_to_the_answer(mesh: ScriptedMesh) -> None:
    mesh.script = samples.events()
    ended = await run("runs", "watch", samples.RUN_ID, "--after", "14", "--events", "--address", mesh.address)
    assert [json.loads(line)["sequence"] for line in ended.out.splitlines()] == [15, 16, 17]
    assert mesh.requests == [pb.WatchRunRequest(run_id=samples.RUN_ID, after_sequence=14)]
    assert (ended.code, ended.err) == (3, "")


async def test_watch_after_the_last_event_shows_the_answer_all_the_same(mesh: ScriptedMesh) -> None:
    mesh.script = samples.events()
    mesh.answer = pb.GetRunResponse(run=run_pb2.Run(run_id=samples.RUN_ID, result=samples.full_answer()))
    ended = await run("runs", "watch", samples.RUN_ID, "--after", "17", "--address", mesh.address)
    assert (ended.out, ended.code, ended.err) == (golden("ask_partial.txt"), 3, "")


async def test_a_run_that_somebody_cancelled_says_so_to_its_watchers(mesh: ScriptedMesh) -> None:
    mesh.script = [*samples.events()[:3], errors.RunCancelled("the run was cancelled").about_run(samples.RUN_ID)]
    ended = await run("runs", "watch", samples.RUN_ID, "--address", mesh.address)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("error: the run was cancelled (CANCELLED, RUN_CANCELLED)")
    assert f"agentmesh runs show {samples.RUN_ID}" in ended.err


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (run_pb2.RUN_STATE_CANCELLED, f"run {samples.RUN_ID} is CANCELLED\n"),
        (run_pb2.RUN_STATE_FINISHED, f"run {samples.RUN_ID} is FINISHED; it had ended before\n"),
    ],
)
async def test_cancel_says_how_the_run_ended(mesh: ScriptedMesh, state: run_pb2.RunState.ValueType, said: str) -> None:
    mesh.answer = pb.CancelRunResponse(state=state)
    ended = await run("runs", "cancel", samples.RUN_ID, "--address", mesh.address)
    assert (ended.code, ended.out, ended.err) == (0, said, "")
    assert mesh.requests == [pb.CancelRunRequest(run_id=samples.RUN_ID)]


def test_runs_can_be_listed_by_every_state_and_outcome() -> None:
    assert {*State} == {*RunState} - {RunState.UNKNOWN}
    assert {*Outcome} == {*RunOutcome} - {RunOutcome.UNKNOWN}


async def test_filters_of_runs_become_fields_of_the_request(mesh: ScriptedMesh) -> None:
    mesh.answer = pb.ListRunsResponse()
    ended = await run(
        *("runs", "--state", "finished", "--outcome", "no_agent", "--conversation", "talk", "--limit", "7"),
        *("--since", "2026-01-02T03:04:05Z", "--address", mesh.address),
    )
    assert (ended.code, ended.out, ended.err) == (0, "no runs\n", "")
    assert mesh.requests == [
        pb.ListRunsRequest(
            page_size=7,
            state=run_pb2.RUN_STATE_FINISHED,
            outcome=run_pb2.RUN_OUTCOME_NO_AGENT,
            started_after=samples.at(0),
            conversation_id="talk",
        )
    ]


@pytest.mark.parametrize(
    ("since", "ago"),
    [("90s", timedelta(seconds=90)), ("15m", timedelta(minutes=15)), ("2h", timedelta(hours=2)), ("1d", timedelta(1))],
)
async def test_since_counts_back_from_now(mesh: ScriptedMesh, since: str, ago: timedelta) -> None:
    mesh.answer = pb.ListRunsResponse()
    before = datetime.now(UTC)
    assert (await run("runs", "--since", since, "--address", mesh.address)).code == 0
    (request,) = mesh.requests
    assert isinstance(request, pb.ListRunsRequest)
    assert before - ago <= request.started_after.ToDatetime(tzinfo=UTC) <= datetime.now(UTC) - ago


async def test_a_time_without_a_zone_is_that_of_this_machine(mesh: ScriptedMesh) -> None:
    mesh.answer = pb.ListRunsResponse()
    zone = {"TZ": "Etc/GMT-2"}  # two hours east of Greenwich
    await run("runs", "--since", "2026-01-02T05:04:05", "--address", mesh.address, environment=zone)
    assert mesh.requests == [pb.ListRunsRequest(page_size=50, started_after=samples.at(0))]


async def test_runs_are_listed_over_pages_up_to_the_limit(mesh: ScriptedMesh) -> None:
    mesh.answers.extend(
        [
            pb.ListRunsResponse(runs=samples.summaries(5, 4), next_page_token="a"),
            pb.ListRunsResponse(runs=samples.summaries(3, 2), next_page_token="b"),
        ]
    )
    ended = await run("runs", "--limit", "3", "--json", "--address", mesh.address)
    assert [json.loads(line)["query"] for line in ended.out.splitlines()] == [f"Question {n}?" for n in (5, 4, 3)]
    assert len(mesh.requests) == 2


async def test_show_gives_one_item_of_a_step(mesh: ScriptedMesh) -> None:
    mesh.answer = samples.finished_run()
    await run("runs", "show", samples.RUN_ID, "--step", "each", "--item", "0", "--address", mesh.address)
    assert mesh.requests == [pb.GetRunRequest(run_id=samples.RUN_ID, step_id="each", item_index=0)]


async def test_a_stored_answer_says_that_it_is_one(mesh: ScriptedMesh) -> None:
    answer = samples.offline_answer()
    answer.replayed = True
    mesh.answer = answer
    ended = await run("ask", "q", "--request-id", "once", "--address", mesh.address)
    assert "COMPLETE in 12 ms, the stored answer to an earlier request with this request id\n" in ended.out


async def test_a_plan_takes_a_request_id_and_a_budget(mesh: ScriptedMesh) -> None:
    mesh.answer = pb.ExecutePlanResponse(result=samples.raw_answer())
    options = ["--request-id", "once", "--conversation", "talk", "--budget-agent-calls", "3"]
    ended = await run("run", "-", *options, "--address", mesh.address, stdin=b'{"steps": []}')
    assert ended.code == 0
    (request,) = mesh.requests
    assert isinstance(request, pb.ExecutePlanRequest)
    assert (request.request_id, request.conversation_id) == ("once", "talk")
    assert request.budget == pb.Budget(agent_calls=3)


async def test_the_token_of_the_caller_comes_from_the_environment_and_is_never_shown(mesh: ScriptedMesh) -> None:
    token = "correct-horse-battery"
    mesh.answer = samples.offline_answer()
    assert (await run("ask", "q", "--address", mesh.address, environment={"AGENTMESH_TOKEN": token})).code == 0
    mesh.answer = samples.listed_runs()
    assert (await run("runs", "--address", mesh.address, environment={"AGENTMESH_TOKEN": token})).code == 0
    assert mesh.authorizations == [f"Bearer {token}"] * 2
    shown = await run("ask", "--help", environment={"AGENTMESH_TOKEN": token})
    refused = await run("ask", "q", "--address", mesh.address, environment={"AGENTMESH_TOKEN": token + " "})
    assert refused.code == 2
    assert token not in shown.out + refused.out + refused.err


@pytest.mark.parametrize(
    ("error", "code", "advice"),
    [
        (errors.RequestIdReused("no"), 2, "take another --request-id"),
        (errors.BudgetExceeded("no"), 2, "allow more with --budget-"),
        (errors.Unauthenticated("no"), 2, "AGENTMESH_TOKEN"),
        (errors.Overloaded("no", retry_after_seconds=1.5), 5, "try again in 1.5 s; the mesh answers as many"),
        (errors.ReaderStalled("no"), 1, "read faster"),
        (errors.RunCancelled("no"), 1, ""),
        (errors.ShuttingDown("no", retry_after_seconds=2), 5, "try again in 2 s"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_of_a_run_says_what_to_do(error: errors.MeshError, code: int, advice: str) -> None:
    explained = explain_error(error)
    assert explained.code == code
    assert explained.advice.startswith(advice) or advice in explained.advice
    assert bool(explained.advice) == bool(advice)
