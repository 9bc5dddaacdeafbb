"""A bug in the orchestrator's own code: recorded where it was raised, and what it cancels is no error of anybody."""

from __future__ import annotations

from textwrap import dedent

import pytest

from agentmesh.errors import Internal
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.core.catalog import Catalog
from tests.app.mesh import mesh
from tests.fakes.planner import FixedPlanner
from tests.telemetry.recording import Spans
from tests.telemetry.rpc_ways import Held, Way
from tests.telemetry.span_tree import outline


@pytest.mark.parametrize("way", list(Way), ids=["unary", "stream"])
async def test_a_bug_in_one_step_cancels_its_siblings_on_purpose(way: Way, catalog: Catalog, spans: Spans) -> None:
    held = Held()

    async def falls_over(arguments: JsonObject) -> JsonObject:
        await held.begun.wait()
        raise ZeroDivisionError

    async def calls_an_agent(arguments: JsonObject) -> JsonObject:
        await way.call(agent.stub)
        return {}

    steps: list[JsonObject] = [{"id": "a", "skill": "one__read"}, {"id": "b", "skill": "two__read"}]
    async with way.served(held) as agent:
        a_mesh = await mesh(catalog, FixedPlanner(steps), {"one__read": falls_over, "two__read": calls_an_agent})
        with pytest.raises(Internal):
            await a_mesh.ask()
        drawn = outline(await spans.all_ended()).replace(way, "<rpc>")
    expected = """
        [I] invoke_workflow ask  failed  ERROR INTERNAL
          [I] plan orchestrator  llm
          [C] invoke_agent one (a)  ERROR ZeroDivisionError  * exception   ZeroDivisionError
          [C] invoke_agent two (b)  cancelled
            [C] <rpc>  CANCELLED
              [S] <rpc>  CANCELLED
    """
    assert drawn.splitlines() == dedent(expected).strip().splitlines()
