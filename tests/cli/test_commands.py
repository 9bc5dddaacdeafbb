"""Through a pipe: exactly these lines, these exit codes, and JSON that programs read."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from agentmesh import errors
from agentmesh.cli.exits import MEANINGS
from agentmesh.cli.problems import explain_error
from agentmesh.errors import Code, Violation, ViolationReason
from agentmesh.v1 import card_pb2, plan_pb2
from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import registry_service_pb2 as registry_pb
from tests.cli import samples
from tests.cli.command import golden, run, start
from tests.cli.scripted_mesh import ScriptedMesh

Sample = Callable[[], Message]


def _executed() -> pb.ExecutePlanResponse:
    return pb.ExecutePlanResponse(result=samples.raw_answer())


@pytest.mark.parametrize(
    ("arguments", "sample", "code", "name"),
    [
        (["ask", "q"], samples.full_answer, 3, "ask_partial.txt"),
        (["ask", "q"], samples.offline_answer, 0, "ask_offline.txt"),
        (["ask", "q", "--raw"], samples.raw_answer, 0, "ask_raw.txt"),
        (["ask", "q"], samples.no_agent_answer, 4, "ask_no_agent.txt"),
        (["plan", "q"], samples.routed, 0, "plan.txt"),
        (["ask", "q", "--plan-only"], samples.routed, 0, "plan.txt"),
        (["agents"], samples.listing, 0, "agents.txt"),
        (["agents", "--skills"], samples.listing, 0, "agents_skills.txt"),
        (["runs", "show", samples.RUN_ID], samples.finished_run, 0, "runs_show.txt"),
        (["runs", "watch", samples.RUN_ID], samples.full_answer, 3, "ask_partial.txt"),
        (["runs"], samples.listed_runs, 0, "runs.txt"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_a_pipe_gets_is_stable(
    mesh: ScriptedMesh, arguments: list[str], sample: Sample, code: int, name: str
) -> None:
    mesh.answer = sample()
    ended = await run(*arguments, "--address", mesh.address)
    assert ended.out == golden(name)
    assert (ended.code, ended.err) == (code, "")
    assert ended.out.isascii()


@pytest.mark.parametrize(
    ("arguments", "sample", "code"),
    [
        (["ask", "q"], samples.full_answer, 3),
        (["plan", "q"], samples.routed, 0),
        (["agents"], samples.listing, 0),
        (["runs", "show", samples.RUN_ID], samples.finished_run, 0),
        (["runs", "watch", samples.RUN_ID], samples.full_answer, 3),
    ],
)
async def test_json_is_one_document_in_which_integral_numbers_are_integers(
    mesh: ScriptedMesh, arguments: list[str], sample: Sample, code: int
) -> None:
    mesh.answer = sample()
    ended = await run(*arguments, "--json", "--address", mesh.address)
    assert (ended.code, ended.err) == (code, "")
    fractions: list[str] = []
    assert isinstance(json.loads(ended.out, parse_float=fractions.append), dict)
    assert [text for text in fractions if float(text).is_integer()] == []


async def test_json_of_an_answer_has_the_names_of_the_contract_and_every_field(mesh: ScriptedMesh) -> None:
    mesh.answer = samples.full_answer()
    document = json.loads((await run("ask", "q", "--json", "--address", mesh.address)).out)
    assert document["runId"] == samples.RUN_ID
    assert document["outcome"] == "RUN_OUTCOME_PARTIAL"
    assert document["plan"] == samples.PLAN
    assert document["replayed"] is False
    assert document["usage"]["inputTokens"] == 1200
    assert document["timings"]["total"] == "2.500s"
    assert document["steps"][0]["result"] == {"anomalies": [{"component": "checkout", "score": 4}], "count": 1}
    assert document["steps"][0]["startedAt"] == "2026-01-02T03:04:05Z"


async def test_options_of_ask_become_fields_of_the_request(mesh: ScriptedMesh) -> None:
    mesh.answer = samples.raw_answer()
    ended = await run(
        *("ask", "How are you?", "--raw", "--skill", "a__b", "--skill", "c__d", "--max-effect", "read_only"),
        *(
            "--cache-mode",
            "refresh",
            "--request-id",
            "once",
            "--conversation",
            "talk",
            "--keep-running",
            "--budget-llm-calls",
            "2",
        ),
        *("--budget-tokens", "5000", "--budget-usd", "0.25", "--budget-agent-calls", "0"),
        *("--timeout", "5", "--address", mesh.address),
    )
    assert ended.code == 0
    assert mesh.requests == [
        pb.AskStreamRequest(
            ask=pb.AskRequest(
                query="How are you?",
                answer_format=pb.ANSWER_FORMAT_RAW,
                allowed_skills=["a__b", "c__d"],
                max_effect=card_pb2.EFFECT_READ_ONLY,
                cache_mode=pb.CACHE_MODE_REFRESH,
                request_id="once",
                conversation_id="talk",
                keep_running=True,
                budget=pb.Budget(llm_calls=2, tokens=5000, cost_usd=0.25, agent_calls=0),
            )
        )
    ]


async def test_the_address_comes_from_the_environment(mesh: ScriptedMesh) -> None:
    mesh.answer = samples.listing()
    ended = await run("agents", environment={"AGENTMESH_ORCHESTRATOR_ADDRESS": mesh.address})
    assert ended.code == 0


async def test_a_question_may_come_from_standard_input(mesh: ScriptedMesh) -> None:
    mesh.answer = samples.offline_answer()
    assert (await run("ask", "-", "--address", mesh.address, stdin=b"Wie geht's?\n")).code == 0
    asked = pb.AskRequest(query="Wie geht's?", answer_format=pb.ANSWER_FORMAT_TEXT)
    assert mesh.requests == [pb.AskStreamRequest(ask=asked)]


@pytest.mark.parametrize("name", ["plan.json", "plan.yaml", "answer.json"])
async def test_a_plan_file_is_run_as_it_is_written(mesh: ScriptedMesh, tmp_path: Path, name: str) -> None:
    yaml = (
        "steps:\n- {id: a, skill: b__c, arguments: {n: 1, text: '${x}'}}\n"
        "- id: d\n  skill: e__f\n  for_each: [1, two]\n  when: size(a.x) > 0\n  optional: true\n  depends_on: [a]\n"
    )
    plan: dict[str, Any] = {
        "steps": [
            {"id": "a", "skill": "b__c", "arguments": {"n": 1, "text": "${x}"}},
            {
                "id": "d",
                "skill": "e__f",
                "arguments": {},
                "when": "size(a.x) > 0",
                "for_each": [1, "two"],
                "optional": True,
                "depends_on": ["a"],
            },
        ]
    }
    content = {"plan.json": json.dumps(plan), "plan.yaml": yaml, "answer.json": json.dumps({"plan": plan, "mode": 1})}
    path = tmp_path / name
    path.write_text(content[name])
    mesh.answer = _executed()
    ended = await run("run", str(path), "--query", "What?", "--json", "--address", mesh.address)
    assert ended.code == 0
    assert json.loads(ended.out)["runId"] == samples.RUN_ID
    (request,) = mesh.requests
    assert isinstance(request, pb.ExecutePlanRequest)
    assert (request.query, request.answer_format) == ("What?", pb.ANSWER_FORMAT_TEXT)
    assert [step.id for step in request.plan.steps] == ["a", "d"]
    assert request.plan.steps[0].arguments["n"] == 1
    assert request.plan.steps[1].for_each.list_value.values[1].string_value == "two"
    assert request.plan.steps[1].depends_on == ["a"]


async def test_a_plan_without_a_question_is_run_for_its_results(mesh: ScriptedMesh) -> None:
    mesh.answer = _executed()
    ended = await run("run", "-", "--address", mesh.address, stdin=b'{"steps": []}')
    assert ended.code == 0
    assert mesh.requests == [pb.ExecutePlanRequest(plan=plan_pb2.Plan(), answer_format=pb.ANSWER_FORMAT_RAW)]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UnknownSkill("no skill `a__b`"), 2),
        (errors.RunNotFound("no such run"), 2),
        (errors.PermissionDenied("no"), 1),
        (errors.Internal("internal error, incident 0123456789abcdef"), 1),
        (errors.AllStepsFailed("nothing worked", code=Code.NOT_FOUND, metadata={"run_id": samples.RUN_ID}), 1),
        (errors.AllStepsFailed("nothing worked", code=Code.UNAVAILABLE), 5),
        (errors.CatalogEmpty("no agent is registered", retry_after_seconds=1), 5),
        (errors.LlmUnavailable("no model"), 5),
        (errors.ResourceExhausted("too many asks", retry_after_seconds=2.5), 5),
        (errors.DeadlineExceeded("too late"), 6),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whose_fault_an_error_is_shows_in_the_exit_code(error: errors.MeshError, code: int) -> None:
    explained = explain_error(error)
    assert explained.code == code
    assert explained.message.startswith(f"{error.message} (")


async def test_an_error_says_what_where_and_what_to_do(mesh: ScriptedMesh) -> None:
    mesh.answer = errors.PlanInvalid(
        "the plan breaks 2 rules",
        violations=[
            Violation("steps[0].skill", ViolationReason.SKILL_UNKNOWN, "no skill `a__b`; did you mean `a__c`?"),
            Violation("", ViolationReason.CYCLE, "a -> b -> a"),
        ],
    )
    ended = await run("run", "-", "--address", mesh.address, stdin=b'{"steps": []}')
    assert ended.code == 2
    assert ended.err == golden("plan_invalid.txt")


async def test_a_missing_agent_says_when_to_try_again(mesh: ScriptedMesh) -> None:
    mesh.answer = errors.CatalogEmpty("no agent is registered", retry_after_seconds=1.5)
    ended = await run("ask", "q", "--address", mesh.address)
    assert "what to do: try again in 1.5 s; start an agent" in ended.err


async def test_no_agents_is_no_error(mesh: ScriptedMesh) -> None:
    mesh.answer = registry_pb.ListAgentsResponse()
    ended = await run("agents", "--address", mesh.address)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("no agents;")


async def test_help_lists_every_command_and_every_exit_code() -> None:
    ended = await run("--help")
    assert ended.code == 0
    for command in ("ask", "plan", "run", "agents", "runs", "up", "config"):
        assert re.search(rf"^  {command} +\w", ended.out, re.MULTILINE), command
    for code, meaning in MEANINGS.items():
        assert f"{int(code)}: {meaning}" in " ".join(ended.out.split())


def test_the_page_about_the_command_line_has_the_same_exit_codes() -> None:
    page = (Path(__file__).parents[2] / "docs/command-line.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", page, re.MULTILINE)
    assert rows == [(str(int(code)), meaning) for code, meaning in MEANINGS.items()]


@pytest.mark.parametrize(
    ("arguments", "unneeded"),
    [
        (["--help"], {"grpc", "google.protobuf", "rich", "openai", "numpy", "pydantic", "yaml"}),
        (
            ["ask", "q", "--address", "127.0.0.1:1"],
            {"orchestrator_svc", "protovalidate", "structlog", "rich", "openai", "numpy"},
        ),
    ],
    ids=["help", "ask"],
)
async def test_a_command_loads_nothing_that_it_does_not_need(arguments: list[str], unneeded: set[str]) -> None:
    script = f"import sys\nfrom agentmesh.cli import main\nmain({arguments})\nprint({unneeded} & set(sys.modules))"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    out, _ = await process.communicate()
    assert out.decode().splitlines()[-1] == "set()"


async def test_the_version_is_that_of_the_distribution() -> None:
    ended = await run("--version")
    assert re.fullmatch(r"agentmesh \d+\.\d+\.\d+\n", ended.out)


async def test_ctrl_c_ends_the_question_in_the_mesh_and_says_nothing(mesh: ScriptedMesh) -> None:
    mesh.answer = None
    process = await start("ask", "q", "--address", mesh.address)
    await mesh.asked.wait()
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert (process.returncode, out, err) == (130, b"", b"")
    await mesh.left.wait()


async def test_a_timeout_ends_the_question_in_the_mesh(mesh: ScriptedMesh) -> None:
    mesh.answer = None
    ended = await run("ask", "q", "--timeout", "0.3", "--address", mesh.address)
    assert ended.code == 6
    assert "what to do: give it more time with --timeout" in ended.err
    await mesh.left.wait()


async def test_a_reader_that_leaves_ends_the_program_without_a_word(mesh: ScriptedMesh) -> None:
    mesh.answer = samples.full_answer()
    process = await start("ask", "q", "--address", mesh.address, closed_stdout=True)
    _, err = await process.communicate()
    assert (process.returncode, err) == (141, b"")


async def test_the_settings_of_the_orchestrator_are_shown_without_secrets() -> None:
    settings = {"AGENTMESH_LLM_API_KEY": "sk-secret", "AGENTMESH_MAX_STEPS": "7", "AGENTMESH_UNHEARD_OF": "1"}
    ended = await run("config", environment=settings)
    assert ended.code == 0
    assert "AGENTMESH_LLM_API_KEY=********  # environment" in ended.out
    assert "AGENTMESH_MAX_STEPS=7  # environment" in ended.out
    assert "AGENTMESH_RUNS_KEPT=1000  # default" in ended.out
    assert "sk-secret" not in ended.out + ended.err
    assert "AGENTMESH_UNHEARD_OF is no setting" in ended.err
    document = json.loads((await run("config", "--json", environment=settings)).out)
    assert {"AGENTMESH_MAX_STEPS": "7"}.items() <= {s["variable"]: s["value"] for s in document["settings"]}.items()


async def test_wrong_settings_are_all_told_at_once() -> None:
    ended = await run("config", environment={"AGENTMESH_MAX_STEPS": "0", "AGENTMESH_RUNS_KEPT": "many"})
    assert (ended.code, ended.out) == (2, "")
    assert "AGENTMESH_MAX_STEPS is '0'; allowed: a whole number, 1 to 1000" in ended.err
    assert "AGENTMESH_RUNS_KEPT is 'many'" in ended.err


def test_ctrl_c_while_the_command_is_still_being_loaded_is_no_traceback() -> None:
    script = """
import os, signal, sys
from agentmesh.cli import main

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == "agentmesh.cli.app":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
sys.exit(main(["--version"]))
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
