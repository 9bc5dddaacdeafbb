"""In a terminal: colours, marks, the plan as a tree, an answer of a model laid out."""

import asyncio

import pytest

from tests.cli import samples
from tests.cli.command import run_in_terminal, without_styles
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
