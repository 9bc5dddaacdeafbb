"""Cards between messages and plain values, for agents and the orchestrator alike."""

from __future__ import annotations

from typing import Final

from agentmesh.cards import Effect
from agentmesh.jsonvalues import JsonObject
from agentmesh.transport.structs import from_struct
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
    if effect not in card_pb2.Effect.values():
        raise ValueError(f"effect {effect} is not known")
    return Effect(card_pb2.Effect.Name(effect).removeprefix(_PREFIX))


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
