"""The span of a skill: content is in it only where it may be captured, and then as the JSON that was sent."""

import pytest

from agentmesh.agent.tracing import tool_span
from tests.telemetry.recording import Spans

ARGUMENTS = "gen_ai.tool.call.arguments"
RESULT = "gen_ai.tool.call.result"


@pytest.mark.usefixtures("capturing")
def test_captured_content_is_json(spans: Spans) -> None:
    with tool_span("report", {"since": "2026-01-01", "all": True, "limit": None}) as tell:
        tell({"found": [1, 2]})
    attributes = spans.only("execute_tool report").attributes or {}
    assert attributes[ARGUMENTS] == '{"all":true,"limit":null,"since":"2026-01-01"}'
    assert attributes[RESULT] == '{"found":[1,2]}'


def test_else_there_is_none(spans: Spans) -> None:
    with tool_span("report", {"since": "2026-01-01"}) as tell:
        tell({"found": [1, 2]})
    assert not {ARGUMENTS, RESULT} & set(spans.only("execute_tool report").attributes or {})
