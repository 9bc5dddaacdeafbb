"""What agents and the orchestrator must agree on about cards: names, skill ids, effects, digests.

Pure: plain values in, plain values out, no generated code; the core of the orchestrator imports it. The messages are
in card.proto; `agentmesh.card_messages` turns them into these values.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from agentmesh.jsonvalues import JsonObject, digest

MAX_NAME_CHARACTERS: Final = 48
"""Of an agent's or a skill's name."""
MAX_SKILL_ID_CHARACTERS: Final = 64
"""Model providers take no longer tool name."""
MAX_CARD_BYTES: Final = 256_000
"""A card, serialized."""

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_SEPARATOR: Final = "__"


class Effect(StrEnum):
    """What a call of a skill may change in the world; ordered, a later one includes the freedom of the earlier."""

    READ_ONLY = "READ_ONLY"
    """Nothing: may be retried, repeated and started early. Prefer it to IDEMPOTENT wherever it is true."""
    IDEMPOTENT = "IDEMPOTENT"
    """Doing it twice equals doing it once: may be retried. Choose READ_ONLY if nothing changes."""
    SIDE_EFFECT = "SIDE_EFFECT"
    """Something each time: retried only if the request was never sent."""

    def within(self, limit: Effect) -> bool:
        """Whether a limit of that effect allows this one."""
        return _ORDER[self] <= _ORDER[limit]


_ORDER: Final = {effect: place for place, effect in enumerate(Effect)}


def is_name(text: str) -> bool:
    """Whether the text may name an agent or a skill: lower-case words joined by single underscores, 48 at most."""
    return len(text) <= MAX_NAME_CHARACTERS and _NAME.fullmatch(text) is not None


def skill_id(agent: str, skill: str) -> str:
    """Return the id of a skill in the mesh, `<agent>__<skill>`; names hold no `__`, so it can be split again."""
    return f"{agent}{_SEPARATOR}{skill}"


def split_skill_id(identifier: str) -> tuple[str, str]:
    """Return agent and skill of an id.

    Raises:
        ValueError: If it is no skill id.
    """
    agent, separator, skill = identifier.partition(_SEPARATOR)
    if not separator or not is_name(agent) or not is_name(skill) or len(identifier) > MAX_SKILL_ID_CHARACTERS:
        raise ValueError(f"{identifier[:80]!r} is no skill id, which is <agent>__<skill>")
    return agent, skill


def skill_digest(input_schema: JsonObject, output_schema: JsonObject, effect: str) -> str:
    """Return the digest of a skill's contract, as `ExecuteRequest.skill_digest` carries it.

    SHA-256 over canonical JSON, lower-case hex. Texts, tags and the timeout are left out: they change what a planner
    chooses, not what a call means.

    Args:
        input_schema: JSON Schema of the arguments; `{}` where the card has none.
        output_schema: JSON Schema of the result; `{}` where the card has none.
        effect: READ_ONLY, IDEMPOTENT or SIDE_EFFECT.
    """
    return digest({"input_schema": input_schema, "output_schema": output_schema, "effect": str(effect)})


def card_digest(card: JsonObject) -> str:
    """Return the digest of a card in the form of `agentmesh.card_messages.card_to_json`, lower-case hex SHA-256.

    Endpoints whose cards have equal digests belong to one deployment.
    """
    return digest(card)
