"""An agent's card, checked as a whole: what a registry accepts and the catalog is made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Final

from agentmesh.cards import MAX_CARD_BYTES, MAX_SKILL_ID_CHARACTERS, Effect, card_digest, skill_id
from agentmesh.errors import CardInvalid, ResultError, Violation, ViolationReason, summary_of
from agentmesh.jsonvalues import Json, JsonObject, check_limits
from orchestrator_svc.core.catalog import Skill
from orchestrator_svc.core.checker import Checker, SchemaInvalid
from orchestrator_svc.core.schemas import references_of, resolve
from orchestrator_svc.core.wording import cut

_MAX_PARTS: Final = 50_000
"""Objects, lists and values in one schema; a card of the greatest size without a reference has fewer."""


@dataclass(frozen=True)
class Card:
    """What an agent says of itself. Two endpoints whose cards are equal belong to one deployment."""

    name: str
    version: str
    description: str
    skills: tuple[Skill, ...]
    source: JsonObject
    """The card as plain data, in the form of `agentmesh.card_messages.card_to_json`."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the card."""
        return card_digest(self.source)


def read_card(source: JsonObject) -> Card:
    """Read a card in the form of `agentmesh.card_messages.card_to_json`, whose message was found valid before.

    Raises:
        CardInvalid: With everything that is wrong beyond what the message declares: names and schemas.
    """
    name, version, description = (str(source[key]) for key in ("name", "version", "description"))
    skills = source["skills"]
    if not isinstance(skills, list):
        raise TypeError("card.skills is a list")
    card = Card(
        name=name,
        version=version,
        description=description,
        skills=tuple(_read_skill(skill, name, version, description) for skill in skills if isinstance(skill, dict)),
        source=source,
    )
    violations = tuple(_violations(card))
    if violations:
        raise CardInvalid(f"the card of `{name}`: {summary_of(violations)}", violations=violations)
    return card


def _read_skill(skill: JsonObject, agent: str, version: str, description: str) -> Skill:
    timeout = skill["timeout_seconds"]
    return Skill(
        agent=agent,
        name=str(skill["name"]),
        description=str(skill["description"]),
        effect=Effect(str(skill["effect"])),
        input_schema=_object(skill["input_schema"]),
        output_schema=_object(skill["output_schema"]),
        agent_version=version,
        agent_description=description,
        tags=_texts(skill["tags"]),
        examples=_texts(skill["examples"]),
        timeout_seconds=float(timeout) if isinstance(timeout, (int, float)) else None,
        reports_progress=skill["reports_progress"] is True,
    )


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(str(element) for element in value) if isinstance(value, list) else ()


def _violations(card: Card) -> Iterator[Violation]:
    seen: set[str] = set()
    for index, skill in enumerate(card.skills):
        path = f"card.skills[{index}]"
        identifier = skill_id(card.name, skill.name)
        if skill.name in seen:
            yield Violation(f"{path}.name", ViolationReason.SKILL_NAME, f"two skills are called `{skill.name}`")
        seen.add(skill.name)
        if len(identifier) > MAX_SKILL_ID_CHARACTERS:
            message = f"the skill id `{identifier}` has {len(identifier)} characters, at most {MAX_SKILL_ID_CHARACTERS}"
            yield Violation(f"{path}.name", ViolationReason.SKILL_NAME, message)
        for field, schema in (("input_schema", skill.input_schema), ("output_schema", skill.output_schema)):
            problem = _schema_problem(schema) if schema else None
            if problem is not None:
                yield Violation(f"{path}.{field}", ViolationReason.SCHEMA_INVALID, problem)


def _schema_problem(schema: JsonObject) -> str | None:
    try:
        check_limits(schema, max_bytes=MAX_CARD_BYTES)  # deeper ones come, and cannot be listed: a Struct holds no more
    except ResultError as error:
        return f"cannot be used: {error.message}"
    problem = _reference_problem(schema) or _type_problem(schema)
    if problem is not None:
        return problem
    try:
        Checker(schema)
    except SchemaInvalid as error:
        return f"is not a valid JSON Schema: {error}"
    return None


def _reference_problem(schema: JsonObject) -> str | None:
    for reference in references_of(schema):
        if not reference.startswith("#"):
            return f"refers to another document, `{cut(reference)}`; only references within the schema are followed"
        if resolve(reference, schema) is None:
            return f"`{cut(reference)}` refers to nothing; write a JSON pointer such as `#/$defs/Row`"
    size = _size_written_out(schema)
    if size is None:
        return "is recursive; results and arguments are nested at most 24 deep, so write the levels out"
    if size > _MAX_PARTS:
        return f"has {size} parts when its references are written out, at most {_MAX_PARTS} are allowed"
    return None


def _type_problem(schema: JsonObject) -> str | None:
    if schema.get("type") == "object":
        return None
    return 'must say `"type": "object"` at the top: arguments and results are objects'


def _size_written_out(schema: JsonObject) -> int | None:
    """Parts of the schema with what its references name in their places; None if that has no end.

    References to references double it with every level, and to check a value takes as many steps.
    """
    targets: dict[str, Counter[str]] = {}
    waiting = set(references_of(schema))
    while waiting:
        reference = waiting.pop()
        targets[reference] = Counter(references_of(resolve(reference, schema)))
        waiting |= targets[reference].keys() - targets.keys()
    sizes: dict[str, int] = {}
    try:
        for reference in TopologicalSorter(targets).static_order():
            inner = sum(count * sizes[name] for name, count in targets[reference].items())
            sizes[reference] = _parts(resolve(reference, schema)) + inner
    except CycleError:
        return None
    return _parts(schema) + sum(sizes[reference] for reference in references_of(schema))


def _parts(value: Json) -> int:
    if isinstance(value, dict):
        return 1 + sum(_parts(member) for member in value.values())
    return 1 + sum(_parts(element) for element in value) if isinstance(value, list) else 1
