"""A small made-up catalog, a library: the tests of the offline planner use no question of the benchmark."""

from __future__ import annotations

from agentmesh.cards import Effect
from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.core.catalog import Catalog, Skill

TEXT: JsonObject = {"type": "string"}


def record(**properties: Json) -> JsonObject:
    """An object whose fields are required unless they have a default."""
    required: list[Json] = [
        name for name, each in properties.items() if isinstance(each, dict) and "default" not in each
    ]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def rows(**properties: Json) -> JsonObject:
    return {"type": "array", "items": record(**properties)}


def skill(agent: str, name: str, says: str, takes: JsonObject, gives: JsonObject, **parts: Effect) -> Skill:
    effect = parts.get("effect", Effect.READ_ONLY)
    return Skill(agent, name, says, effect, input_schema=takes, output_schema=gives)


READER: JsonObject = {"type": "string", "description": "Number of the reader, e.g. R-12."}
ISBN: JsonObject = {"type": "string", "description": "Number of the book, such as `978-0-1402-8329-7`."}
DAYS: JsonObject = {"type": "integer", "default": 30, "minimum": 1, "maximum": 365, "description": "Days to look back."}
BRANCH: JsonObject = {"type": "string", "enum": ["main_street", "harbour", "university"], "default": "main_street"}

LIBRARY = Catalog.of([
    skill(
        "book_agent",
        "find_book",
        "Look up one book: title, author, genre, shelf and publisher.",
        record(isbn=ISBN),
        record(isbn=TEXT, title=TEXT, author_id=TEXT, shelf=TEXT, copies={"type": "integer"}),
    ),
    skill(
        "book_agent",
        "get_author",
        "Biography of an author.",
        record(author_id={"type": "string", "description": "Number of the author, e.g. AU-5."}),
        record(author_id=TEXT, name=TEXT, country=TEXT),
    ),
    skill(
        "loan_agent",
        "list_overdue",
        "List overdue loans: books that were not returned in time.",
        record(since_days=DAYS, branch=BRANCH),
        record(loans=rows(isbn=TEXT, reader=TEXT, days_late={"type": "integer"}), total={"type": "integer"}),
    ),
    skill(
        "loan_agent",
        "get_reader",
        "Name, address and fines of a reader.",
        record(reader=READER),
        record(reader=TEXT, name=TEXT, fines_eur={"type": "number"}, interests={"type": "array", "items": TEXT}),
    ),
    skill(
        "room_agent",
        "opening_hours",
        "Opening hours of a branch of the library.",
        record(branch=BRANCH),
        record(branch=TEXT, hours=rows(day=TEXT, opens=TEXT)),
    ),
    skill(
        "room_agent",
        "reserve_room",
        "Reserve a reading room for some people.",
        record(people={"type": "integer", "minimum": 1}, projector={"type": "boolean", "default": False}),
        record(room=TEXT),
        effect=Effect.SIDE_EFFECT,
    ),
])  # fmt: skip
