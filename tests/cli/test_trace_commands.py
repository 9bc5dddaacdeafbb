"""`agentmesh trace` and `ask --trace`: the trace of a run, read where traces are, or why there is none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentmesh import errors
from agentmesh.traces.serving import Served, serving_traces
from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import run_pb2
from tests.cli import samples
from tests.cli.command import Ended, golden, run, run_in_terminal, without_styles
from tests.cli.scripted_mesh import ScriptedMesh, scripted_mesh
from tests.cli.traces import a_partial_run
from tests.traces.spans import TRACE_ID, send_all, span

NOWHERE = "http://127.0.0.1:1"
"""Nothing listens on port 1."""


@pytest.fixture
def served() -> Iterator[Served]:
    with serving_traces() as running:
        send_all(running.otlp, a_partial_run())
        yield running


def _record(trace_id: str = TRACE_ID) -> pb.GetRunResponse:
    response = samples.finished_run()
    response.run.result.trace_id = trace_id
    return response


async def _trace(mesh: ScriptedMesh, served: Served, *arguments: str, given: str = samples.RUN_ID) -> Ended:
    return await run("trace", given, "--address", mesh.address, "--trace-api", served.url, *arguments)


async def test_the_trace_of_a_run_is_drawn(mesh: ScriptedMesh, served: Served) -> None:
    mesh.answer = _record()
    ended = await _trace(mesh, served)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == golden("trace.txt")
    assert mesh.requests == [pb.GetRunRequest(run_id=samples.RUN_ID)]


async def test_in_a_terminal_it_has_colours_bars_and_the_width_of_the_terminal(
    mesh: ScriptedMesh, served: Served
) -> None:
    mesh.answer = _record()
    arguments = ("trace", samples.RUN_ID, "--address", mesh.address, "--trace-api", served.url)
    ended = await run_in_terminal(*arguments, columns=100)
    assert ended.code == 0
    assert "\x1b[31m" in ended.out, "what failed is red"
    lines = without_styles(ended.out).splitlines()
    assert max(map(len, lines)) < 100
    assert any(line.startswith("  │ ├ ✗ → Agent/Execute  UNAVAILABLE ") and "▌" in line for line in lines)
    narrow = without_styles((await run_in_terminal(*arguments, columns=50)).out)
    assert "█" not in narrow


@pytest.mark.parametrize("knows", [0, 1])
async def test_of_several_orchestrators_the_one_that_knows_the_run_is_found(served: Served, knows: int) -> None:
    async with scripted_mesh() as first, scripted_mesh() as second:
        first.answer = second.answer = errors.RunNotFound("there is no such run")
        (first, second)[knows].answer = _record()
        all_of_them = f"127.0.0.1:1,{first.address},{second.address}"
        ended = await run("trace", samples.RUN_ID, "--address", all_of_them, "--trace-api", served.url)
    assert (ended.code, ended.err) == (0, "")


async def test_an_orchestrator_that_is_not_reached_may_know_the_run(mesh: ScriptedMesh, served: Served) -> None:
    mesh.answer = errors.RunNotFound("there is no such run")
    both = f"127.0.0.1:1,{mesh.address}"
    ended = await run("trace", samples.RUN_ID, "--address", both, "--trace-api", served.url)
    assert ended.code == 5
    assert "127.0.0.1:1 " in ended.err


async def test_json_has_every_span(mesh: ScriptedMesh, served: Served) -> None:
    mesh.answer = _record()
    ended = await _trace(mesh, served, "--json")
    document = json.loads(ended.out)
    assert (document["traceId"], document["complete"], document["missing"]) == (TRACE_ID, True, [])
    assert (document["startTime"], document["durationNs"]) == ("2026-01-21T12:53:20.000000000Z", 1_240_000_000)
    assert document["services"] == ["orchestrator", "analytics_agent", "data_agent"]
    assert len(document["spans"]) == len(a_partial_run())
    first, second = document["spans"][:2]
    assert (first["name"], first["kind"], first["parentSpanId"]) == ("agentmesh.v1.Orchestrator/Ask", "SERVER", "")
    assert (second["parentSpanId"], second["offsetNs"]) == (first["spanId"], 2_000_000)
    assert second["events"][0]["name"] == "agentmesh.step.skipped"
    assert second["attributes"]["agentmesh.mode"] == "parallel"


async def test_a_trace_may_be_asked_for_by_its_own_id(mesh: ScriptedMesh, served: Served) -> None:
    mesh.answer = errors.RunNotFound("there is no such run")
    for given in (TRACE_ID, TRACE_ID.upper()):
        assert (await _trace(mesh, served, given=given)).out == golden("trace.txt")


async def test_a_trace_can_be_read_without_an_orchestrator(served: Served) -> None:
    ended = await run("trace", TRACE_ID, "--address", "127.0.0.1:1", "--trace-api", served.url)
    assert (ended.code, ended.out) == (0, golden("trace.txt"))


async def test_the_trace_of_a_run_that_failed_is_drawn(mesh: ScriptedMesh, served: Served) -> None:
    error = errors.AllStepsFailed("nothing worked", code=errors.Code.INTERNAL).about_run(samples.RUN_ID, TRACE_ID)
    mesh.answer = error
    ended = await run("ask", "q", "--trace", "--address", mesh.address, "--trace-api", served.url)
    assert ended.code == 1
    assert ended.out.lstrip("\n") == golden("trace.txt")
    assert ended.err.startswith("error: nothing worked")


async def test_ask_draws_it_below_the_answer_and_links_it(mesh: ScriptedMesh, served: Served) -> None:
    mesh.answer = answer = samples.offline_answer()
    plain = await run("ask", "q", "--address", mesh.address)
    answer.trace_id = TRACE_ID
    ui = ("--trace-ui", "https://jaeger.example/base/")
    ended = await run("ask", "q", "--trace", "--address", mesh.address, "--trace-api", served.url, *ui)
    assert (ended.code, ended.err) == (plain.code, "")
    link = f"https://jaeger.example/base/trace/{TRACE_ID}\n"
    assert ended.out == f"{plain.out}\n{golden('trace.txt')}\n{link}"


async def test_run_draws_it_as_well(mesh: ScriptedMesh, served: Served, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text('{"steps": []}')
    response = samples.offline_answer()
    response.trace_id = TRACE_ID
    mesh.answer = pb.ExecutePlanResponse(result=response)
    ended = await run("run", str(plan), "--trace", "--address", mesh.address, "--trace-api", served.url)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.endswith(f"\n{golden('trace.txt')}")


async def test_the_variables_say_where_as_the_options_do(mesh: ScriptedMesh, served: Served) -> None:
    mesh.answer = _record()
    environment = {"AGENTMESH_TRACE_API_URL": served.url, "AGENTMESH_TRACE_UI_URL": "http://jaeger.example"}
    ended = await run("trace", samples.RUN_ID, "--address", mesh.address, environment=environment)
    assert ended.out == f"{golden('trace.txt')}\nhttp://jaeger.example/trace/{TRACE_ID}\n"


async def test_an_answer_is_an_answer_even_where_no_trace_can_be_read(mesh: ScriptedMesh) -> None:
    mesh.answer = answer = samples.offline_answer()
    plain = await run("ask", "q", "--address", mesh.address)
    ended = await run("ask", "q", "--trace", "--address", mesh.address, "--trace-api", NOWHERE)
    assert (ended.code, ended.out) == (plain.code, plain.out)
    assert ended.err.startswith("no trace: this run has no trace: its orchestrator exports none\nwhat to do: ")
    answer.trace_id = TRACE_ID
    ended = await run("ask", "q", "--trace", "--address", mesh.address, "--trace-api", NOWHERE)
    assert (ended.code, ended.out) == (plain.code, plain.out)
    assert ended.err.startswith(f"no trace: nothing serves traces at {NOWHERE}: Connection refused\nwhat to do: ")


async def test_where_nothing_serves_traces_it_says_what_does(mesh: ScriptedMesh) -> None:
    mesh.answer = _record()
    ui = ("--trace-ui", "http://jaeger.example")
    ended = await run("trace", samples.RUN_ID, "--address", mesh.address, "--trace-api", NOWHERE, *ui)
    assert (ended.code, ended.out) == (5, "")
    first, link, advice = ended.err.splitlines()
    assert first == f"error: nothing serves traces at {NOWHERE}: Connection refused"
    assert link == f"  http://jaeger.example/trace/{TRACE_ID}"
    assert "`agentmesh up`" in advice
    assert "AGENTMESH_TRACE_API_URL" in advice


async def test_a_server_of_something_else_is_told_from_one_of_traces(mesh: ScriptedMesh) -> None:
    mesh.answer = _record()
    ended = await run("trace", samples.RUN_ID, "--address", mesh.address, "--trace-api", f"http://{mesh.address}")
    assert ended.code == 2
    assert ended.err.startswith(f"error: what answers at http://{mesh.address} is no HTTP")


async def test_a_run_without_a_trace_is_told(mesh: ScriptedMesh, served: Served) -> None:
    mesh.answer = _record("")
    ended = await _trace(mesh, served)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: run {samples.RUN_ID} has no trace: its orchestrator exports none\n")
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in ended.err


async def test_a_trace_that_is_not_kept_is_told(mesh: ScriptedMesh, served: Served) -> None:
    mesh.answer = _record("1" * 32)
    ended = await _trace(mesh, served)
    assert ended.code == 2
    assert ended.err.startswith(f"error: there is no trace {'1' * 32} at {served.url}\n")
    assert "only the latest" in ended.err


@pytest.mark.parametrize(
    ("given", "said"),
    [("1" * 32, "there is no such run (NOT_FOUND, RUN_NOT_FOUND)"), ("../services", "run_id: does not match")],
)
async def test_what_is_neither_a_run_nor_a_trace_is_told(
    mesh: ScriptedMesh, served: Served, given: str, said: str
) -> None:
    mesh.answer = errors.RunNotFound("there is no such run")
    ended = await _trace(mesh, served, given=given)
    assert ended.code == 2
    assert ended.err.startswith(f"error: {said}")


async def test_a_run_that_is_being_answered_is_drawn_as_far_as_it_is(mesh: ScriptedMesh) -> None:
    mesh.answer = pb.GetRunResponse(
        run=run_pb2.Run(
            run_id=samples.RUN_ID, state=run_pb2.RUN_STATE_RUNNING, result=run_pb2.AskResponse(trace_id=TRACE_ID)
        )
    )
    with serving_traces() as served:
        send_all(served.otlp, [span(2, "so far", parent=1)])
        ended = await _trace(mesh, served)
    assert ended.code == 0
    assert "  incomplete: the parent of so far (orchestrator)\n" in ended.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ask", "q", "--trace", "--json"], "agentmesh trace RUN_ID --json"),
        (["ask", "q", "--trace", "--events"], "agentmesh trace RUN_ID --json"),
        (["run", "plan.json", "--trace", "--json"], "agentmesh trace RUN_ID --json"),
        (["ask", "q", "--trace", "--plan-only"], "--plan-only runs nothing"),
        (["trace", "x", "--trace-api", "127.0.0.1:50054"], "must be a URL"),
        (["trace", "x", "--trace-api", "http://127.0.0.1:99999"], "must be a URL"),
        (["trace", "x", "--trace-api", "http://[::1"], "must be a URL"),
        (["trace", "x", "--trace-ui", "jaeger"], "must be a URL"),
    ],
)
async def test_options_that_say_nothing_together_are_refused(arguments: list[str], said: str) -> None:
    ended = await run(*arguments, environment={"COLUMNS": "200"})
    assert ended.code == 2
    assert said in ended.err
