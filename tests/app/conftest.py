"""A mesh of fakes: every use case, no server."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from agentmesh.cards import Effect
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.core.catalog import Catalog, Skill


def object_schema(required: tuple[str, ...] = (), **properties: JsonObject) -> JsonObject:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


def skill(identifier: str, effect: Effect = Effect.READ_ONLY, **changes: object) -> Skill:
    """A skill that takes `x` and says nothing of its result."""
    agent, _, name = identifier.partition("__")
    settings: Mapping[str, object] = {"input_schema": object_schema(x={}), **changes}
    return Skill(agent=agent, name=name, description=f"does {name}", effect=effect, **settings)  # type: ignore[arg-type]  # the fields are named in each test


@pytest.fixture
def catalog() -> Catalog:
    return Catalog.of(
        [
            skill("one__read"),
            skill("two__read"),
            skill("three__read"),
            skill("four__write", Effect.SIDE_EFFECT),
            skill("five__store", Effect.IDEMPOTENT),
        ]
    )
