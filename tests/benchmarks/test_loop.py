"""The comparison with agentic loops compares like with like: the same facts, and as many calls as theory says."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace

import pytest

from benchmarks.loop.arms import Mismatch, Observation, check
from benchmarks.loop.benchmark import MESH, MESH_RAW, STYLES, Measured, Settings, run
from benchmarks.loop.comparison import Row
from benchmarks.loop.model import Account, ScriptedModel
from benchmarks.loop.questions import DEPENDENT, PARALLEL, QUESTIONS, SINGLE, Question
from benchmarks.loop.report import as_json, text

REFLECTING, ONE_A_TURN, PARALLEL_TOOLS = (style.name for style in STYLES)


@pytest.fixture(scope="module")
def measured() -> Measured:
    """One round of everything, over real processes, with a model that takes no time."""
    settings = Settings(delay_seconds=0.0, rounds=1, concurrency=2, throughput_seconds=0.2)
    return asyncio.run(run(settings, os.environ, lambda _: None))


def row(measured: Measured, question: Question, arm: str) -> Row:
    (found,) = [row for row in measured.rows if row.question is question and row.arm == arm]
    return found


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("question", "agents", "turns"),
    [(SINGLE, 1, 1), (PARALLEL, 3, 1), (DEPENDENT, 2, 2)],
    ids=["single", "parallel", "dependent"],
)
def test_every_arm_takes_the_calls_that_theory_says(
    measured: Measured, question: Question, agents: int, turns: int
) -> None:
    """`turns`: the longest chain of calls of which each needs the one before."""
    calls = {arm: row(measured, question, arm).llm_calls for arm in (*(style.name for style in STYLES), MESH, MESH_RAW)}
    assert calls == {
        REFLECTING: 2 * agents + 1,
        ONE_A_TURN: agents + 1,
        PARALLEL_TOOLS: turns + 1,
        MESH: 2,
        MESH_RAW: 1,
    }
    assert {row.agent_calls for row in measured.rows if row.question is question} == {agents}


@pytest.mark.timeout(180)
def test_every_arm_gives_the_same_facts(measured: Measured) -> None:
    for question in QUESTIONS:
        facts = [row.facts for row in measured.rows if row.question is question]
        assert facts == [facts[0]] * 5
        assert facts[0]


@pytest.mark.timeout(180)
def test_asks_a_second_are_counted_with_and_without_a_model(measured: Measured) -> None:
    assert [(rate.way, rate.llm_calls) for rate in measured.rates] == [
        ("model without delay", 2),
        ("model without delay, RAW", 1),
        ("offline", 0),
        ("offline, RAW", 0),
        ("(agent called directly)", 0),
    ]
    assert all(rate.asks >= rate.concurrency for rate in measured.rates)


@pytest.mark.timeout(180)
def test_the_report_names_the_loops_that_do_as_well(measured: Measured) -> None:
    printed = text(measured)
    as_few = [line for line in printed.splitlines() if line.startswith("  as few LLM calls as the mesh: ")]
    more = [line for line in printed.splitlines() if line.startswith("  more LLM calls: ")]
    for place, question in enumerate(QUESTIONS):
        mesh = row(measured, question, MESH)
        for style in STYLES:
            is_as_good = row(measured, question, style.name).llm_calls <= mesh.llm_calls
            assert (style.name in as_few[place], style.name in more[place]) == (is_as_good, not is_as_good)
    assert "scripted, not a real one" in printed


@pytest.mark.timeout(180)
def test_the_json_has_every_row(measured: Measured) -> None:
    written = json.loads(json.dumps(as_json(measured)))
    assert len(written["rows"]) == 15
    assert {row["llm_calls"] for row in written["rows"] if row["arm"] == MESH} == {2}


def test_an_arm_whose_account_differs_from_that_of_the_model_is_found_out() -> None:
    told = Observation(1.0, llm_calls=2, agent_calls=1, input_tokens=100, output_tokens=20, cost_usd=0.1, facts={})
    counted = Account({"run:1", "run:2"}, requests=2, input_tokens=100, output_tokens=20)
    check(ScriptedModel(QUESTIONS, {"run": counted}), "run", told)
    for wrong in (replace(told, llm_calls=1), replace(told, input_tokens=99), replace(told, output_tokens=0)):
        with pytest.raises(Mismatch):
            check(ScriptedModel(QUESTIONS, {"run": counted}), "run", wrong)
    with pytest.raises(Mismatch):
        check(ScriptedModel(QUESTIONS), "run", told)
