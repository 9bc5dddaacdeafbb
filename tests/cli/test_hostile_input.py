"""What is wrong is told in a few lines on stderr, with exit code 2 or, where nothing answers, 5; never a traceback."""

import asyncio
import json
import os
import socket
from pathlib import Path

import pytest

from agentmesh import errors
from agentmesh.cli import main
from agentmesh.cli.exits import CommandFailed, ExitCode
from agentmesh.cli.plan_files import read_plan
from agentmesh.client.plans import plan_message
from agentmesh.jsonvalues import Json
from tests.cli import samples
from tests.cli.command import PROGRAM, Ended, in_terminal, run, run_in_terminal
from tests.cli.scripted_mesh import ScriptedMesh


def _assert_refused(ended: Ended, code: int, *said: str) -> None:
    assert ended.code == code, ended.err
    assert ended.out == ""
    assert "Traceback" not in ended.err
    for words in said:
        assert words in ended.err


async def test_an_address_where_nothing_answers_says_so_and_what_to_do() -> None:
    with socket.socket() as bound:  # bound and not listening: nobody else can take the port meanwhile
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        ended = await run("agents", "--address", address)
    _assert_refused(
        ended, 5, f"error: the orchestrator at {address} is unavailable", "UNREACHABLE", "what to do: start a mesh"
    )


@pytest.mark.parametrize(
    ("address", "code", "said"),
    [
        ("", 2, "must be host:port"),
        ("a b", 2, "must be host:port"),
        ("127.0.0.1:50051 ", 2, "must be host:port"),
        ("http://127.0.0.1:50051", 2, "without a scheme"),
        ("127.0.0.1:99999", 2, "65535 is the highest"),  # gRPC takes 34463 for it, where another service may listen
        ("nonsense://x:1", 5, "nonsense://x:1 is unavailable"),
    ],
)
def test_what_is_no_address_is_refused(address: str, code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    ended = main(["agents", "--address", address, "--timeout", "5"])
    _assert_refused(Ended(ended, *capsys.readouterr()), code, said)


@pytest.mark.parametrize("arguments", [["ask", "q"], ["agents", "--json"], ["--help"]])
async def test_a_full_disk_is_no_bug_of_the_program(mesh: ScriptedMesh, arguments: list[str]) -> None:
    mesh.answer = samples.full_answer() if arguments == ["ask", "q"] else samples.listing()
    full = os.open("/dev/full", os.O_WRONLY)
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=full,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "AGENTMESH_ORCHESTRATOR_ADDRESS": mesh.address},
    )
    os.close(full)
    _, said = await process.communicate()
    assert (process.returncode, said.decode()) == (1, "error: the output cannot be written: No space left on device\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ask"], "Missing argument 'QUESTION'"),
        (["ask", "q", "--timeout", "soon"], "--timeout"),
        (["ask", "q", "--timeout", "nan"], "must be more than 0"),
        (["ask", "q", "--timeout", "-1"], "must be more than 0"),
        (["ask", "q", "--max-effect", "EVERYTHING"], "--max-effect"),
        (["ask", "q", "--plan-only", "--raw"], "--plan-only runs nothing"),
        (["ask", "two", "words"], "unexpected extra argument"),
        (["aks", "q"], "No such command 'aks'"),
        (["ask", "q", "--jsno"], "No such option"),
        (["ask", "q", "--json", "--events"], "choose one"),
        (["ask", "q", "--plan-only", "--keep-running"], "--plan-only runs nothing"),
        (["ask", "q", "--budget-usd", "0"], "must be more than 0"),
        (["ask", "q", "--budget-tokens", "-1"], "--budget-tokens"),
        (["runs", "--since", "yesterday"], "must be as 15m, 2h or 1d"),
        (["runs", "--since", "999999d"], "must be as 15m, 2h or 1d"),
        (["runs", "--state", "DONE"], "--state"),
        (["runs", "--limit", "0"], "--limit"),
        (["runs", "--json", "show", samples.RUN_ID], "--json belongs behind `show`"),
        (["runs", "show"], "Missing argument 'RUN_ID'"),
        (["runs", "show", samples.RUN_ID, "--item", "0"], "name that with --step"),
        (["runs", "shwo"], "No such command 'shwo'"),
    ],
)
def test_a_wrong_command_line_is_a_usage_error(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(arguments)
    _assert_refused(Ended(code, *capsys.readouterr()), 2, said)


async def test_a_question_that_is_no_text_is_refused_before_it_is_sent(mesh: ScriptedMesh) -> None:
    ended = await run("ask", b"caf\xe9 \xff", "--address", mesh.address)
    _assert_refused(ended, 2, "query: must be Unicode text", "query: RULE: must be Unicode text")
    _assert_refused(await run("ask", "-", "--address", mesh.address, stdin=b"\xff\xfe"), 2, "no UTF-8 text, at byte 0")
    assert mesh.requests == []


@pytest.mark.parametrize("question", ["", "   ", "x" * 40_000])
async def test_a_question_that_breaks_a_rule_is_refused_by_the_orchestrator(mesh: ScriptedMesh, question: str) -> None:
    ended = await run("ask", question, "--address", mesh.address)
    _assert_refused(ended, 2, "REQUEST_INVALID", "query: RULE:")


async def test_a_run_id_that_is_none_is_refused_by_the_orchestrator(mesh: ScriptedMesh) -> None:
    _assert_refused(await run("runs", "show", "../../etc", "--address", mesh.address), 2, "run_id: RULE:")


async def test_every_violation_of_a_plan_is_a_line(mesh: ScriptedMesh) -> None:
    plan = {"steps": [{"id": 1, "skill": "a__b", "wehn": "x"}, "step", {"arguments": [], "optional": "yes"}], "x": 1}
    ended = await run("run", "-", "--address", mesh.address, stdin=json.dumps(plan).encode())
    _assert_refused(
        ended,
        2,
        "error: 6 things are wrong with the shape of the plan (INVALID_ARGUMENT, PLAN_INVALID)",
        "\n  x: SHAPE: unknown key `x`; known are `steps`\n",
        "\n  steps[0].wehn: SHAPE: unknown key `wehn`; known are `id`, `skill`",
        "\n  steps[0].id: SHAPE: `id` must be a string, not a number\n",
        "\n  steps[1]: SHAPE: a step is an object, not a string\n",
        "\n  steps[2].arguments: SHAPE: `arguments` must be an object, not a list\n",
        "\n  steps[2].optional: SHAPE: `optional` must be true or false, not a string\n",
        "what to do: correct the plan",
    )
    assert mesh.requests == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no plan"),
        (b"just words", "holds no plan"),
        (b"[]", "holds no plan"),
        (b'{"steps": [', "does not parse"),
        (b"steps: [a: b: c]", "does not parse: expected ',' or ']', but got ':' in line 1, column 13"),
        (b"steps: !!python/object/apply:os.getcwd []", "does not parse"),
        (b"\xff\xfe", "is no UTF-8 text, at byte 0"),
        (b"[" * 100_000, "does not parse: too deeply nested"),
        (b"a: &a [x, *a]\n" + b"b: " + b"[" * 3000, "does not parse"),
        (b'{"steps": ' + b"1" * 5000 + b"}", "does not parse"),
        (b"x" * 3_000_000, "has more than 2097152 bytes"),
        (b"x" * 300_000, "is too large for YAML"),
        (b"steps: 2024-99-99", "does not parse"),
    ],
    ids=lambda value: None if isinstance(value, str) else repr(value[:20]),
)
def test_a_plan_file_that_is_none_says_why(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "plan"
    path.write_bytes(content)
    with pytest.raises(CommandFailed) as caught:
        read_plan(str(path))
    assert caught.value.code == ExitCode.USAGE
    assert caught.value.message.startswith(str(path))
    assert said in caught.value.message


@pytest.mark.parametrize("name", ["nowhere/plan.json", ".", "bad\0name", "x" * 5000])
def test_a_plan_file_that_cannot_be_read_says_why(tmp_path: Path, name: str) -> None:
    with pytest.raises(CommandFailed, match="cannot be read"):
        read_plan(str(tmp_path / name))


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("steps: [{id: a, skill: b, arguments: {day: 2024-01-01}}]", "`steps[0].arguments.day` is of type date"),
        ("steps: [{id: a, skill: b, arguments: {1: x}}]", "`steps[0].arguments` has a key of type int"),
        ("steps: [{id: a, skill: b, arguments: {n: .nan}}]", "`steps[0].arguments.n` is nan"),
        ("steps: &s [{id: a, skill: b, arguments: {n: *s}}]", "nested deeper than"),
        (
            "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
            + "".join(f"{n}: &{n} [{','.join([f'*{p}'] * 10)}]\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True))
            + "steps: *i",
            "more bytes as JSON than are allowed",
        ),
    ],
    ids=["date", "key", "nan", "cycle", "bomb"],
)
def test_yaml_that_is_no_json_is_refused_and_named(tmp_path: Path, yaml: str, said: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(yaml)
    with pytest.raises(errors.PlanInvalid) as caught:
        plan_message(read_plan(str(path)))
    (violation,) = caught.value.violations
    assert violation.reason == "NOT_JSON"
    assert said in violation.message


@pytest.mark.parametrize("depth", [24, 25])
def test_arguments_may_be_nested_as_deep_as_the_mesh_takes(depth: int) -> None:
    value: Json = {}
    for _ in range(depth - 1):
        value = {"a": value}
    plan: Json = {"steps": [{"id": "a", "skill": "b__c", "arguments": value}]}
    if depth == 24:
        assert plan_message(plan).steps[0].id == "a"
        return
    with pytest.raises(errors.PlanInvalid, match="one thing is wrong"):
        plan_message(plan)


EVIL = "red \x1b[31m bell \x07 back \b\r\x9b2J over\u202eride end\n\x1b]0;title\x07"


async def test_no_control_character_of_an_agent_reaches_the_output(mesh: ScriptedMesh) -> None:
    answer = samples.full_answer()
    answer.answer = answer.planner = answer.steps[1].message = answer.plan.steps[0].when = EVIL
    mesh.answer = answer
    for arguments in (["ask", "q"], ["ask", "q", "--json"]):
        shown = (await run(*arguments, "--address", mesh.address)).out
        assert "red \\u001b[31m bell \\u0007 back" in shown
        assert all(character >= " " or character == "\n" for character in shown)
        assert "\u202e" not in shown
        assert "\x9b" not in shown
    terminal = (await run_in_terminal("ask", "q", "--address", mesh.address)).out
    for sequence in ("\x1b]", "\x07", "\x1b[31m bell", "\x9b", "\u202e"):
        assert sequence not in terminal


async def test_no_control_character_of_an_event_reaches_the_output(mesh: ScriptedMesh) -> None:
    happened = samples.events()
    happened[0].accepted.run_id = happened[1].planned.planner = EVIL
    happened[1].planned.plan.steps[0].id = happened[1].planned.plan.steps[1].skill = EVIL
    happened[6].step_progress.progress.message = happened[9].step_finished.step.message = EVIL
    happened[6].step_progress.progress.fraction = float("nan")
    happened[12].answer_token.text = f"[bold]{EVIL}[/bold] :smile:"
    mesh.script = [*happened[:13], asyncio.Event()]
    async with in_terminal("ask", "q", "--address", mesh.address, columns=400) as terminal:
        screen = "\n".join(await terminal.until("[bold]red"))
        shown = terminal.out
    assert "\\u001b[31m bell \\u0007 back" in screen
    assert ":smile:" in screen
    for sequence in ("\x1b]", "\x07", "\x1b[31m bell", "\x9b", "\u202e"):
        assert sequence not in shown
    mesh.script = happened[:13]
    lines = (await run("ask", "q", "--events", "--address", mesh.address)).out
    assert all(character >= " " or character == "\n" for character in lines)
    assert "\u202e" not in lines


async def test_no_control_character_of_an_error_reaches_the_terminal(mesh: ScriptedMesh) -> None:
    mesh.answer = errors.SkillFailed(EVIL)
    ended = await run("ask", "q", "--address", mesh.address)
    assert ended.code == 1
    assert all(character >= " " or character == "\n" for character in ended.err)


async def test_a_terminal_without_utf8_gets_escapes_and_no_traceback(mesh: ScriptedMesh) -> None:
    answer = samples.offline_answer()
    answer.answer = "naïve ✓"
    mesh.answer = answer
    ended = await run("ask", "q", "--address", mesh.address, environment={"PYTHONIOENCODING": "ascii"})
    assert ended.code == 0
    assert "na\\xefve \\u2713" in ended.out


async def test_a_server_that_is_no_orchestrator_is_told_apart(mesh: ScriptedMesh) -> None:
    mesh.answer = errors.RemoteError("Method not found!", code=errors.Code.UNIMPLEMENTED)
    ended = await run("agents", "--address", mesh.address)
    _assert_refused(ended, 1, "what to do: check the address")


async def test_a_bug_is_one_line_and_a_traceback_only_with_debug(tmp_path: Path) -> None:
    """A package that cannot be imported stands for a bug: a plan file is read with it."""
    (tmp_path / "yaml.py").write_text("raise RuntimeError('broken')")
    (tmp_path / "plan.yaml").write_text("steps: []")
    environment = {"PYTHONPATH": str(tmp_path)}
    ended = await run("run", str(tmp_path / "plan.yaml"), environment=environment)
    _assert_refused(ended, 1, "error: a bug of this command: RuntimeError: broken", "agentmesh --debug")
    debugged = await run("--debug", "run", str(tmp_path / "plan.yaml"), environment=environment)
    assert debugged.code == 1
    assert "Traceback" in debugged.err
