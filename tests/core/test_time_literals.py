"""Dates and times that a plan names and its question does not."""

from __future__ import annotations

import pytest

from agentmesh.jsonvalues import Json
from orchestrator_svc.core.time_literals import worked_out_times


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-22",
        "2026-11",
        "22.11.2026",
        "11/22/26",
        "13:30",
        "since 22 November",
        "Nov 22",
        "May 1",
        "in 1999",
        "timestamp('2026-11-22T00:00:00Z')",
        1_795_000_000,
        1_795_000_000_123.0,
        2026,
        {"deep": [{"er": "2026-11-22"}]},
    ],
)
def test_it_is_found(value: Json) -> None:
    assert worked_out_times({"x": value}, "what happened yesterday?")


@pytest.mark.parametrize(
    "value", ["checkout", "${now - duration('24h')}", 60, 0.5, True, None, "v1.2.3", "10.0.0.1:x", "maybe 12", "A-7"]
)
def test_what_is_no_time(value: Json) -> None:
    assert not worked_out_times({"x": value}, "?")


def test_names_of_arguments_are_not_looked_at() -> None:
    assert not worked_out_times({"2026-11-22": "x"}, "?")


@pytest.mark.parametrize("question", ["what was on 2026-11-22?", "WHAT WAS ON 2026-11-22T10:00?"])
def test_what_the_question_says_is_not_worked_out(question: str) -> None:
    assert not worked_out_times({"day": "2026-11-22"}, question)
    assert worked_out_times({"day": "2026-11-23"}, question) == {"2026-11-23"}
