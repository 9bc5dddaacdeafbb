"""The catalog against which the plans of the tests are checked: skills of every kind that a card can describe."""

from __future__ import annotations

from typing import Final

from agentmesh.cards import Effect
from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.core.catalog import Catalog, Skill

TEXT: Final[JsonObject] = {"type": "string"}
NUMBER: Final[JsonObject] = {"type": "number"}
INTEGER: Final[JsonObject] = {"type": "integer"}
TRUTH: Final[JsonObject] = {"type": "boolean"}


def record(required: str = "", *, closed: bool = True, **properties: JsonObject) -> JsonObject:
    """An object schema; `required` has the names that must be there, separated by spaces."""
    schema: JsonObject = {"type": "object", "properties": dict(properties), "required": list(required.split())}
    return {**schema, "additionalProperties": False} if closed else schema


def rows(items: Json) -> JsonObject:
    return {"type": "array", "items": items}


def either(*schemas: Json) -> JsonObject:
    return {"anyOf": list(schemas)}


def skill(identifier: str, takes: JsonObject, gives: JsonObject, effect: Effect = Effect.READ_ONLY) -> Skill:
    agent, name = identifier.split("__")
    return Skill(agent, name, f"{name} of {agent}", effect, input_schema=takes, output_schema=gives)


REPORT: Final = skill(
    "data_agent__get_report",
    record("entity", entity=TEXT, limit={"type": "integer", "minimum": 1, "maximum": 100}, detail=TRUTH),
    record(
        "entity rows",
        closed=False,
        entity=TEXT,
        cpu=NUMBER,
        healthy=TRUTH,
        rows=rows(record("name", closed=False, name=TEXT, value=NUMBER, tags=rows(TEXT))),
        note=either(TEXT, {"type": "null"}),
        meta=record(closed=False, labels={"type": "object", "additionalProperties": TEXT}),
    ),
)
"""Nested, with lists and a field that may be null."""

ENTITIES: Final = skill("data_agent__list_entities", {}, record("entities", entities=rows(TEXT)))
"""Takes nothing, by a schema that is not there."""

TRENDS: Final = skill(
    "analytics_agent__get_trends",
    record(
        "entity",
        entity=TEXT,
        window_minutes={"type": "integer", "minimum": 1, "default": 60},
        metric=either({"enum": ["cpu", "memory", "disk"]}, {"type": "null"}),
    ),
    {
        "$defs": {
            "Anomaly": record("component score", closed=False, component=TEXT, score=NUMBER, metric=TEXT),
            "Stats": record("mean", closed=False, mean=NUMBER, count=INTEGER),
        },
        **record(
            "anomalies",
            closed=False,
            anomalies=rows({"$ref": "#/$defs/Anomaly"}),
            stats=either({"$ref": "#/$defs/Stats"}, {"type": "null"}),
            direction={"enum": ["up", "down", "flat"]},
        ),
    },
)
"""References to definitions, an enum, Optional."""

CONFIG: Final = skill(
    "config_agent__check_config",
    {
        "$defs": {"Options": record(depth=INTEGER, paths=rows(TEXT), mode={"enum": ["fast", "full"]})},
        **record("component", component=TEXT, options={"$ref": "#/$defs/Options"}),
    },
    {**record("component", component=TEXT, ok=TRUTH), "additionalProperties": True},
)
"""Takes a closed nested object; its result may have any further field."""

MESSAGE: Final = skill(
    "notify_agent__send_message",
    record(
        "to text",
        to={"type": "array", "items": TEXT, "minItems": 1, "maxItems": 3},
        text={"type": "string", "maxLength": 200},
        priority={"enum": [1, 2, 3]},
    ),
    {},
    Effect.SIDE_EFFECT,
)
"""Says nothing of its result."""

STORE: Final = skill(
    "store_agent__put_record",
    record(
        "record", record={"type": "object", "additionalProperties": True}, key=either(TEXT, INTEGER), parts=rows(NUMBER)
    ),
    record("id", id=INTEGER, previous=either(record(id=INTEGER), {"type": "null"})),
    Effect.IDEMPOTENT,
)
"""Takes any object, and a union."""

LOCATE: Final = skill(
    "geo_agent__locate",
    record("place", place={"oneOf": [TEXT, record("lat lon", lat=NUMBER, lon=NUMBER)]}),
    {
        "type": "object",
        "allOf": [
            {"properties": {"name": TEXT}, "required": ["name"]},
            {"properties": {"corners": {"type": "array", "prefixItems": [NUMBER, TEXT], "items": False}}},
        ],
        "anyOf": [{"required": ["corners"]}, {"properties": {"elevation": INTEGER}}],
    },
)
"""A result of several parts, and a tuple."""

LOOSE: Final = skill("loose_agent__anything", {"type": "object"}, {"type": "object"})
"""Takes and gives objects of which nothing is known."""

COUNTS: Final = skill(
    "loose_agent__counts",
    record("by", closed=False, by=TEXT),
    record("counts", counts={"type": "object", "patternProperties": {"^n_": INTEGER}}, total=INTEGER),
)
"""Does not say whether it takes further arguments."""

SKILLS_OF_EVERY_KIND: Final = (REPORT, ENTITIES, TRENDS, CONFIG, MESSAGE, STORE, LOCATE, LOOSE, COUNTS)

CATALOG: Final = Catalog.of(SKILLS_OF_EVERY_KIND)
