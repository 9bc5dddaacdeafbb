"""The demo: with a model when one is configured, and told so; a failure is an exit code."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from agentmesh.jsonvalues import Json
from tests.fakes.llm_replies import Fails, calls, says
from tests.fakes.scripted_llm import ScriptedLlm

pytestmark = pytest.mark.timeout(120)


async def _demo(**environment: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "orchestrator_svc.demo"),
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def test_with_a_model_it_asks_the_model_and_says_so(llm: ScriptedLlm) -> None:
    steps: list[Json] = [
        {"id": "scan", "skill": "analytics_agent__get_trends", "arguments": {}},
        {
            "id": "conf",
            "skill": "config_agent__check_config",
            "arguments": {"component": "${scan.anomalies[0].component}"},
            "when": "size(scan.anomalies) > 0",
        },
    ]
    llm.to_route(
        calls(("data_agent__get_report", {})),
        calls(("data_agent__get_report", {}), ("analytics_agent__get_trends", {})),
        calls(("plan_execution", {"reason": "conditional", "steps": steps})),
        says("Nobody here books flights."),
    )
    llm.to_write(says("One."), says("Two."), says("Three."))
    code, shown = await _demo(AGENTMESH_LLM_BASE_URL=llm.base_url, AGENTMESH_LLM_MODELS="scripted-model")
    assert code == 0, shown
    assert shown.startswith(f"agentmesh demo: model scripted-model at {llm.base_url}\n")
    for answer in ("One.", "Two.", "Three."):
        assert f"\nanswer:\n{answer}\n" in shown
    assert "    -> conf config_agent__check_config(" in shown
    assert shown.count("2 LLM calls (scripted-model") == 3
    assert shown.count("1 LLM call (scripted-model") == 1


async def test_with_a_model_that_refuses_it_fails_and_says_why(llm: ScriptedLlm) -> None:
    llm.to_route(Fails(401))
    code, shown = await _demo(AGENTMESH_LLM_BASE_URL=llm.base_url, AGENTMESH_LLM_MODELS="scripted-model")
    assert code == 1, shown
    assert "error: the demo failed: question 1: " in shown
    assert "LLM_REFUSED" in shown
    assert "what to do: `agentmesh config` shows which model is asked" in shown
    assert "2/4" not in shown, "the next question would end like the first"
    assert "summary" not in shown
    assert "\n4 processes stopped.\n" in shown
    assert "Traceback" not in shown


def _quoted_in_the_readme() -> list[str]:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    block = readme.partition("```console\n$ make demo\n")[2].partition("```")[0]
    lines = [line for line in block.splitlines() if line not in ("", "...")]
    assert len(lines) > 10
    return lines


def _shape(line: str) -> str:
    """The line without its numbers and bars, and with one space for many: times and ports are never the same."""
    line = re.sub(r"  [#.*]{24}  ", " ", line)
    return re.sub(r" +", " ", re.sub(r"\d+(?:\.\d+)? (?:ms|s)\b|[\d:.]{5,}", "0", line))


def test_the_demo_asks_four_questions_and_leaves_nothing() -> None:
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "orchestrator_svc.demo"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    shown, children = [], []
    for line in process.stdout:
        shown.append(line.rstrip("\n"))
        if line.startswith("== 1/4"):
            children = psutil.Process(process.pid).children(recursive=True)
    process.stdout.close()
    assert process.wait() == 0, "\n".join(shown)
    assert len(children) == 4
    assert shown[0].startswith("agentmesh demo: offline, without a key")
    assert sum(line.startswith("== ") for line in shown) == 4
    drawn = shown[shown.index(next(line for line in shown if line.startswith("who did what when: Check for"))) :]
    assert any(re.search(r"#.*  orchestrator: agentmesh.v1.Orchestrator/Ask$", line) for line in drawn)
    assert any(re.search(r"#.*    execute_tool check_config$", line) for line in drawn)
    assert not any("incomplete" in line for line in drawn)
    assert shown[-3] == "4 processes stopped."
    assert shown[-2].startswith("Next: `make up`")
    assert shown[-1].startswith("make ask Q='")
    assert [line for line in _quoted_in_the_readme() if _shape(line) not in set(map(_shape, shown))] == []
    _, alive = psutil.wait_procs(children, timeout=40.0)
    assert alive == []
