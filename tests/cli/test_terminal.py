"""In a terminal: colours, marks, the plan as a tree, an answer of a model laid out."""

import asyncio
import re
import signal

import pytest

from agentmesh import errors
from tests.cli import samples
from tests.cli.command import frames, in_terminal, run_in_terminal, without_styles
from tests.cli.scripted_mesh import ScriptedMesh


async def test_an_answer_is_a_tree_marks_and_colours(mesh: ScriptedMesh) -> None:
    mesh.answer = samples.full_answer()
    ended = await run_in_terminal("ask", "q", "--address", mesh.address, columns=160)
    assert ended.code == 3
    assert "\x1b[32m✓" in ended.out
    shown = without_styles(ended.out)
    assert "└── ▶ conf config_agent__check_config(" in shown
    assert "when size(scan.anomalies) > 0" in shown
    assert "✗ failed    conf  4.0 ms, began at 121 ms  AGENT_ERROR: no component `checkout`" in shown
    assert "↷ skipped   mail  UPSTREAM_FAILED (conf)" in shown
    assert " • checkout is slow" in shown
    assert "2 LLM calls (some-model), 3 requests for them, 1200 tokens in, 80 out, $0.0012; 5 agent calls" in shown


async def test_what_is_copied_from_a_narrow_terminal_is_whole(mesh: ScriptedMesh) -> None:
    mesh.answer = samples.full_answer()
    shown = without_styles((await run_in_terminal("ask", "q", "--address", mesh.address, columns=40)).out)
    assert "TIMED_OUT" not in shown
    assert "item 1  DEADLINE_EXCEEDED: data_agent did not answer within 1.5 s" in shown


async def test_that_something_is_waited_for_is_shown_until_the_answer_is_there(mesh: ScriptedMesh) -> None:
    mesh.answer = None
    running = asyncio.create_task(run_in_terminal("ask", "q", "--timeout", "1", "--address", mesh.address))
    ended = await running
    assert ended.code == 6
    assert "asking the mesh ..." in ended.out


async def test_what_happens_is_drawn_as_it_happens(mesh: ScriptedMesh) -> None:
    happened = samples.events()
    planned, reading, failed, writing, again, done = (asyncio.Event() for _ in range(6))
    mesh.script = [
        happened[0], planned, *happened[1:7], reading, *happened[7:10], failed, *happened[10:13], writing,
        *happened[13:15], again, *happened[15:], done,
    ]  # fmt: skip
    async with in_terminal("ask", "q", "--address", mesh.address, columns=140) as terminal:
        assert f"run {samples.RUN_ID}" in (await terminal.until("routing ..."))[0]
        planned.set()
        screen = await terminal.until("reading")
        assert "plan  SEQUENTIAL, 4 steps, by some-model" in screen
        steps = [
            re.sub(r"\d+\.\d s", "T s", line[2:]) for line in screen if line[4:].startswith(("running", "waiting"))
        ]
        assert [step[2:] for step in steps] == [
            "running   scan  analytics_agent__get_trends  T s, attempt 2  ━━━╌╌╌╌╌ 40 %  reading",
            "waiting   conf  config_agent__check_config",
            "running   each  data_agent__get_report       T s, 2 items begun",
            "waiting   mail  mail_agent__send",
        ]
        reading.set()
        screen = await terminal.until("no component")
        assert "  ✓ succeeded scan  analytics_agent__get_trends  120 ms, 2 attempts" in screen
        assert "  ✗ failed    conf  config_agent__check_config   4.0 ms  AGENT_ERROR: no component `checkout`" in screen
        failed.set()
        screen = await terminal.until("One thing")
        assert "  ↷ skipped   mail  mail_agent__send             UPSTREAM_FAILED (conf)" in screen
        assert "writing the answer ..." in screen[0]
        writing.set()
        screen = await terminal.until("Two things")
        assert "One thing" not in "\n".join(screen)
        for event in (again, done):
            event.set()
        ended = await terminal.ended()
    shown = without_styles(ended.out)
    assert ended.code == 3
    assert "writing the answer" not in shown
    assert shown.count("plan  SEQUENTIAL") == 1
    assert " • checkout is slow" in shown


async def test_what_had_happened_when_a_run_failed_stays_to_be_seen(mesh: ScriptedMesh) -> None:
    error = errors.AllStepsFailed("nothing worked", code=errors.Code.NOT_FOUND).about_run(samples.RUN_ID)
    mesh.script = [*samples.events()[:10], error]
    ended = await run_in_terminal("ask", "q", "--address", mesh.address, columns=140)
    shown = without_styles(ended.out)
    assert ended.code == 1
    assert "✗ failed    conf" in shown
    assert shown.index("✗ failed    conf") < shown.index("error: nothing worked")


async def test_ctrl_c_in_a_terminal_ends_the_run_in_the_mesh(mesh: ScriptedMesh) -> None:
    mesh.script = [*samples.events()[:3], asyncio.Event()]
    async with in_terminal("ask", "q", "--address", mesh.address) as terminal:
        await terminal.until("scan")
        terminal.process.send_signal(signal.SIGINT)
        ended = await terminal.ended()
    assert ended.code == 130
    assert "Traceback" not in ended.out
    assert ended.out.rstrip().endswith("\x1b[?25h")  # the cursor is there again
    await mesh.left.wait()


async def test_ctrl_c_leaves_a_run_that_is_to_keep_running(mesh: ScriptedMesh) -> None:
    mesh.script = [*samples.events()[:3], asyncio.Event()]
    async with in_terminal("ask", "q", "--keep-running", "--address", mesh.address) as terminal:
        await terminal.until("scan")
        terminal.process.send_signal(signal.SIGINT)
        ended = await terminal.ended()
    assert ended.code == 130
    assert f"come back with: agentmesh runs watch {samples.RUN_ID}" in without_styles(ended.out)


async def test_a_run_is_watched_as_it_is_asked_for(mesh: ScriptedMesh) -> None:
    mesh.script = [*samples.events()[:7], asyncio.Event()]
    async with in_terminal("runs", "watch", samples.RUN_ID, "--address", mesh.address, columns=140) as terminal:
        assert "━━━╌╌╌╌╌ 40 %  reading" in "\n".join(await terminal.until("reading"))
        terminal.process.send_signal(signal.SIGINT)
        assert (await terminal.ended()).code == 130


async def test_who_watches_from_the_middle_sees_the_steps_that_are_told_of(mesh: ScriptedMesh) -> None:
    mesh.script = [*samples.events()[:7], asyncio.Event()]
    arguments = ("runs", "watch", samples.RUN_ID, "--after", "5", "--address", mesh.address)
    async with in_terminal(*arguments, columns=140) as terminal:
        screen = await terminal.until("reading")
        assert "scan" in screen[2]
        terminal.process.send_signal(signal.SIGINT)
        await terminal.ended()


@pytest.mark.parametrize("columns", [30, 80])
async def test_a_drawing_is_never_wider_than_the_terminal(mesh: ScriptedMesh, columns: int) -> None:
    done = asyncio.Event()
    mesh.script = [*samples.events()[:15], done]
    async with in_terminal("ask", "q", "--address", mesh.address, columns=columns) as terminal:
        await terminal.until("Two things")
        assert all(len(line) <= columns for frame in frames(terminal.out) for line in frame)


async def test_a_drawing_is_never_higher_than_the_terminal(mesh: ScriptedMesh) -> None:
    """Drawn over, a higher one would leave its first lines behind."""
    accepted, planned, started = samples.events()[:3]
    del planned.planned.plan.steps[1:]
    for number in range(80):
        planned.planned.plan.steps.add(id=f"more{number}", skill="data_agent__get_report")
    text = samples.events()[12]
    text.answer_token.text = "\n\n".join(f"line {number}" for number in range(200))
    mesh.script = [accepted, planned, started, text, asyncio.Event()]
    async with in_terminal("ask", "q", "--address", mesh.address) as terminal:
        screen = await terminal.until("line 199")
        assert len(screen) <= 50
        assert any("scan" in line for line in screen)  # it runs
        assert any("more; 0 of 81 have ended" in line for line in screen)


async def test_where_nothing_can_be_drawn_over_nothing_is(mesh: ScriptedMesh) -> None:
    mesh.script = samples.events()
    ended = await run_in_terminal("ask", "q", "--address", mesh.address, environment={"TERM": "dumb"})
    assert "routing" not in ended.out
    assert "\x1b" not in ended.out
    assert ended.out.count("SEQUENTIAL, 4 steps") == 1


async def test_documents_and_events_are_not_mixed_with_drawings(mesh: ScriptedMesh) -> None:
    mesh.script = samples.events()
    for arguments in (["--json"], ["--events"]):
        ended = await run_in_terminal("ask", "q", *arguments, "--address", mesh.address, columns=10_000)
        shown = without_styles(ended.out)
        assert "running ..." not in ended.out
        assert shown.lstrip().startswith("{")


async def test_without_utf8_a_drawing_is_of_ascii(mesh: ScriptedMesh) -> None:
    mesh.script = [*samples.events()[:13], asyncio.Event()]
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    async with in_terminal("ask", "q", "--address", mesh.address, columns=140, environment=ascii_only) as terminal:
        screen = await terminal.until("One thing")
    assert terminal.out.isascii()
    assert "  FAILED    conf  config_agent__check_config   4.0 ms  AGENT_ERROR: no component `checkout`" in screen


async def test_a_list_of_runs_keeps_each_in_one_line_and_its_id_whole(mesh: ScriptedMesh) -> None:
    runs = samples.listed_runs()
    runs.runs[0].query = "word " * 40
    mesh.answer = runs
    lines = without_styles((await run_in_terminal("runs", "--address", mesh.address, columns=80)).out).splitlines()
    assert [line[:32] for line in lines[1:4]] == [run.run_id for run in runs.runs]
    assert lines[1].endswith("…")
    assert all(len(line) <= 80 for line in lines)
    assert " d ago " in lines[1]


async def test_heartbeats_are_relative_for_people(mesh: ScriptedMesh) -> None:
    mesh.answer = samples.listing()
    shown = without_styles((await run_in_terminal("agents", "--address", mesh.address)).out)
    assert "127.0.0.1:4001" in shown
    assert " s ago" in shown


async def test_help_is_laid_out_for_people() -> None:
    ended = await run_in_terminal("--help")
    assert ended.code == 0
    assert "\x1b[" in ended.out
    assert "Exit codes:" in without_styles(ended.out)


_TABLE = """
| component | metric | at | value | expected | score | started at |
| --------- | ------ | -- | ----: | -------: | ----: | ---------- |
| config_agent | cpu_percent | 2026-11-22T10:58:39Z | 113.05 | 1.5 | 73.623 | 2026-11-22T10:58:20Z |
| host | memory_percent | 2026-11-22T10:56:27Z | 5.47 | 4.206 | 3.72 | 2026-11-22T10:56:20Z |
"""


@pytest.mark.parametrize(
    ("columns", "kept", "left_out"),
    [
        (120, "config_agent  cpu_percent     2026-11-22T10:58:39Z  113.05       1.5  73.623  2026-11-22T10:58:20Z", ""),
        (80, "config_agent  cpu_percent     2026-11-22T10:58:39Z  113.05       1.5  73.623", "started at"),
        (40, "config_agent  cpu_percent", "at, value, expected, score, started"),
    ],
)
async def test_a_table_keeps_whole_columns_and_says_which_have_no_room(
    mesh: ScriptedMesh, columns: int, kept: str, left_out: str
) -> None:
    mesh.answer = samples.offline_answer()
    mesh.answer.answer = _TABLE
    lines = without_styles((await run_in_terminal("ask", "q", "--address", mesh.address, columns=columns)).out)
    assert kept in lines.split("\n")
    assert (f"(no room in this width for: {left_out}" in lines.replace("\n", " ")) is bool(left_out)
    assert "…" not in lines


async def test_prose_in_a_table_is_wrapped(mesh: ScriptedMesh) -> None:
    mesh.answer = samples.offline_answer()
    mesh.answer.answer = f"| what | why |\n| --- | --- |\n| one | {'because ' * 20}|\n"
    lines = without_styles((await run_in_terminal("ask", "q", "--address", mesh.address, columns=60)).out)
    assert lines.count("because") == 20
    assert all(len(line) <= 60 for line in lines.split("\n") if "because" in line)


async def test_where_bullets_cannot_be_shown_an_answer_stays_as_it_is(mesh: ScriptedMesh) -> None:
    mesh.answer = samples.offline_answer()
    mesh.answer.answer = "- one\n- two\n"
    ended = await run_in_terminal("ask", "q", "--address", mesh.address, environment={"PYTHONIOENCODING": "ascii"})
    assert "\n- one\n- two\n" in without_styles(ended.out)
    assert "\\u" not in ended.out
