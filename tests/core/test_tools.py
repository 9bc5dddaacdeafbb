"""What a model is offered for a catalog: the same bytes every time, and short enough for every provider."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agentmesh.cards import Effect
from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.core.catalog import Catalog, Skill
from orchestrator_svc.core.shape import shape
from orchestrator_svc.core.tool_calls import PLAN_TOOL
from orchestrator_svc.core.tools import MAX_DESCRIPTION_CHARACTERS, Toolbox

SCAN = Skill(
    "watch",
    "scan",
    "Finds anomalies.",
    Effect.READ_ONLY,
    input_schema={"type": "object", "properties": {"window": {"type": "integer"}, "entity": {"type": "string"}}},
    output_schema={
        "type": "object",
        "properties": {
            "until": {"type": "string"},
            "anomalies": {"type": "array", "items": {"$ref": "#/$defs/Anomaly"}},
        },
        "required": ["until", "anomalies"],
        "$defs": {
            "Anomaly": {
                "type": "object",
                "properties": {"score": {"type": "number"}, "component": {"type": "string"}},
                "required": ["component"],
            }
        },
    },
    agent_description="Watches.",
    examples=("Anything odd?", "Look for spikes"),
)
CHECK = Skill("config", "check", "Shows a configuration.", Effect.SIDE_EFFECT)
CATALOG = Catalog.of([SCAN, CHECK])


def test_there_is_a_tool_a_skill_in_the_order_of_ids_and_one_for_plans() -> None:
    assert [tool.name for tool in Toolbox().tools(CATALOG)] == ["config__check", "watch__scan", PLAN_TOOL]


def test_a_tool_says_what_the_skill_does_whose_it_is_what_it_changes_and_what_it_returns() -> None:
    assert Toolbox().tools(CATALOG)[1].description == (
        "Finds anomalies.\n"
        "Agent: Watches.\n"
        "Examples: Anything odd? | Look for spikes\n"
        "Effect: READ_ONLY\n"
        "Returns: {anomalies: {component: string, score?: number}[], until: string}"
    )
    assert Toolbox().tools(CATALOG)[0].description == "Shows a configuration.\nEffect: SIDE_EFFECT"


def test_parameters_are_an_object_schema_also_for_a_skill_that_takes_nothing() -> None:
    assert Toolbox().tools(CATALOG)[0].parameters == {"type": "object", "properties": {}, "additionalProperties": False}


def test_plan_execution_offers_exactly_the_skills_of_the_catalog() -> None:
    parameters = json.dumps(Toolbox().tools(CATALOG)[-1].parameters)
    assert '"enum": ["config__check", "watch__scan"]' in parameters
    assert Toolbox().tools(CATALOG)[-1].parameters["required"] == ["reason"]


def test_a_skill_that_changed_is_offered_as_it_is_now() -> None:
    box = Toolbox()
    assert box.tools(CATALOG)[1] is box.tools(CATALOG)[1]
    changed = Catalog.of([CHECK, replace(SCAN, description="Finds everything.")])
    assert box.tools(changed)[1].description.startswith("Finds everything.")
    assert box.tools(changed) == Toolbox().tools(changed)


@pytest.mark.parametrize("word", ["1.0", "`now`", "${scan.anomalies[0].component}", "`when`", "CEL"])
def test_plan_execution_says_how_expressions_are_written(word: str) -> None:
    assert word in Toolbox().tools(CATALOG)[-1].description


def test_no_description_is_longer_than_providers_take() -> None:
    wide: JsonObject = {
        "type": "object",
        "properties": {f"field_{number}": SCAN.output_schema for number in range(60)},
        "$defs": SCAN.output_schema["$defs"],
    }
    verbose = Skill(
        "a", "b", "word " * 500, Effect.READ_ONLY, {}, wide, agent_description="x" * 900, examples=("y" * 900,)
    )
    for tool in Toolbox().tools(Catalog.of([verbose, SCAN])):
        assert len(tool.description) <= MAX_DESCRIPTION_CHARACTERS


def test_the_same_catalog_gives_the_same_bytes_in_every_process_and_whatever_the_order_of_keys() -> None:
    program = (
        "import json, sys\n"
        "from tests.core.test_tools import CHECK, SCAN\n"
        "from dataclasses import asdict, replace\n"
        "from orchestrator_svc.core.catalog import Catalog\n"
        "from orchestrator_svc.core.tools import Toolbox\n"
        "turned = lambda v: {k: turned(v[k]) for k in reversed(v)} if isinstance(v, dict) else v\n"
        "scan = replace(SCAN, input_schema=turned(SCAN.input_schema), output_schema=turned(SCAN.output_schema))\n"
        "print(json.dumps([asdict(tool) for tool in Toolbox().tools(Catalog.of([CHECK, scan]))]))\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    here = [
        {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
        for tool in Toolbox().tools(CATALOG)
    ]
    assert outputs == {(json.dumps(here) + "\n").encode()}


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({}, "any"),
        ({"type": "object"}, "object"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string | null"),
        ({"enum": ["a", 1, None]}, '"a" | 1 | null'),
        ({"const": True}, "true"),
        ({"type": "array", "items": {"type": ["string", "null"]}}, "(string | null)[]"),
        ({"type": "array"}, "any[]"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "{[name]: number}"),
        ({"type": "object", "properties": {"a b": {"type": "number"}}}, '{"a b"?: number}'),
        ({"properties": {"a": {"$ref": "#/nowhere"}}, "required": ["a"]}, "{a: any}"),
        ({"type": "object", "properties": {"up": {"$ref": "#"}}}, "{up?: {up?: {up?: {up?: {up?: {up?: {...}}}}}}}"),
    ],
    ids=str,
)
def test_a_schema_is_one_short_line(schema: JsonObject, text: str) -> None:
    assert shape(schema, max_characters=200) == text


def test_a_shape_that_is_too_long_is_cut_from_the_inside() -> None:
    deep: JsonObject = {"type": "object", "properties": {"a": SCAN.output_schema, "b": {"type": "string"}}}
    assert shape(SCAN.output_schema, max_characters=40) == "{anomalies: {...}[], until: string}"
    assert shape(deep, max_characters=30) == "{a?: {...}, b?: string}"
    assert shape(deep, max_characters=9) == "{a?: {..."


def test_a_schema_that_stands_for_very_many_fields_is_written_in_bounded_time() -> None:
    definitions: dict[str, Json] = {"d9": {"type": "string"}}
    for level in range(9):
        definitions[f"d{level}"] = {
            "type": "object",
            "properties": {f"p{n}": {"$ref": f"#/$defs/d{level + 1}"} for n in range(50)},
        }
    text = shape({"$ref": "#/$defs/d0", "$defs": definitions}, max_characters=100_000)
    assert len(text) < 20_000
