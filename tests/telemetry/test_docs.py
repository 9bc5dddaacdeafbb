"""docs/observability.md shows the trees that the tests compare, and names every metric that there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agentmesh.telemetry import names
from tests.telemetry.span_tree import TREES

PAGE = (Path(__file__).parents[2] / "docs/observability.md").read_text()
SHOWN = dict(re.findall(r"<!-- tree: (\w+) -->\n```\n(.*?)```\n", PAGE, re.DOTALL))
METRICS = [
    names.RPC_SERVER_DURATION,
    names.RPC_CLIENT_DURATION,
    names.GEN_AI_OPERATION_DURATION,
    names.GEN_AI_TOKEN_USAGE,
    names.WORKFLOW_DURATION,
    names.LLM_CALLS_PER_ASK,
    names.OVERHEAD_DURATION,
    names.STEPS,
    names.PLAN_CACHE,
    names.ASKS_ACTIVE,
    names.ASKS_SHED,
    names.REGISTRY_ENDPOINTS,
    names.REGISTRY_CHANGES,
]


@pytest.mark.parametrize("name", ["parallel", "sequential"])
def test_a_tree_is_shown_as_it_is_recorded(name: str) -> None:
    assert SHOWN[name] == (TREES / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_named(name: str) -> None:
    assert f"`{name}`" in PAGE
