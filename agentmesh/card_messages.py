"""Cards between messages and plain values, for agents and the orchestrator alike."""

from __future__ import annotations

from typing import Final

from agentmesh.cards import Effect
from agentmesh.jsonvalues import Json, JsonObject
from agentmesh.transport.structs import from_struct, to_struct
from agentmesh.v1 import card_pb2

_PREFIX: Final = "EFFECT_"


def effect_to_message(effect: Effect) -> card_pb2.Effect.ValueType:
    """Return the enum value of the contract."""
    return card_pb2.Effect.Value(f"{_PREFIX}{effect}")


def effect_from_message(effect: card_pb2.Effect.ValueType) -> Effect:
    """Return our effect.

    Raises:
        ValueError: For EFFECT_UNSPECIFIED and values of a later version.
    """
    name = card_pb2.Effect.Name(effect) if effect in card_pb2.Effect.values() else str(effect)
    try:
        return Effect(name.removeprefix(_PREFIX))
    except ValueError:
        raise ValueError(f"{name} is no effect") from None


def card_to_json(card: card_pb2.AgentCard) -> JsonObject:
    """Return the card in the form over which `agentmesh.cards.card_digest` is taken: every field, by its name."""
    return {
        "name": card.name,
        "version": card.version,
        "description": card.description,
        "skills": [skill_to_json(skill) for skill in card.skills],
    }


def skill_to_json(skill: card_pb2.Skill) -> JsonObject:
    """Return one skill of a card: every field, by its name; `{}` for a schema and null for a timeout that is unset."""
    return {
        "name": skill.name,
        "description": skill.description,
        "input_schema": from_struct(skill.input_schema),
        "output_schema": from_struct(skill.output_schema),
        "effect": card_pb2.Effect.Name(skill.effect).removeprefix(_PREFIX),
        "tags": list(skill.tags),
        "examples": list(skill.examples),
        "timeout_seconds": skill.timeout.ToNanoseconds() / 1e9 if skill.HasField("timeout") else None,
        "reports_progress": skill.reports_progress,
    }


def card_from_json(source: JsonObject) -> card_pb2.AgentCard:
    """Return the message of a card in the form of `card_to_json`."""
    skills = source["skills"]
    return card_pb2.AgentCard(
        name=str(source["name"]),
        version=str(source["version"]),
        description=str(source["description"]),
        skills=[_skill_from_json(skill) for skill in skills if isinstance(skill, dict)]
        if isinstance(skills, list)
        else [],
    )


def _skill_from_json(source: JsonObject) -> card_pb2.Skill:
    skill = card_pb2.Skill(
        name=str(source["name"]),
        description=str(source["description"]),
        effect=effect_to_message(Effect(str(source["effect"]))),
        tags=_texts(source["tags"]),
        examples=_texts(source["examples"]),
        reports_progress=source["reports_progress"] is True,
    )
    input_schema, output_schema, timeout = source["input_schema"], source["output_schema"], source["timeout_seconds"]
    if isinstance(input_schema, dict) and input_schema:
        skill.input_schema.CopyFrom(to_struct(input_schema))
    if isinstance(output_schema, dict) and output_schema:
        skill.output_schema.CopyFrom(to_struct(output_schema))
    if isinstance(timeout, (int, float)):
        skill.timeout.FromNanoseconds(round(timeout * 1e9))
    return skill


def _texts(value: Json) -> list[str]:
    return [str(element) for element in value] if isinstance(value, list) else []
