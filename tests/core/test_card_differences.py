"""Where two cards differ is named by its place."""

from __future__ import annotations

import pytest

from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.core.card_differences import card_differences

SCHEMA: JsonObject = {"type": "object", "most": 1}
CARD: JsonObject = {"name": "one", "tags": ["a", "b"], "schema": SCHEMA}


@pytest.mark.parametrize(
    ("other", "places"),
    [
        (dict(CARD), ""),
        ({**CARD, "name": "two"}, "card.name"),
        ({**CARD, "more": None}, "card.more"),
        ({**CARD, "tags": ["a", "c"]}, "card.tags[1]"),
        ({**CARD, "tags": ["a"]}, "card.tags"),
        ({**CARD, "schema": {**SCHEMA, "most": True}}, "card.schema.most"),
        ({**CARD, "schema": None}, "card.schema"),
        ({**CARD, **dict.fromkeys("defg", 1)}, "card.d, card.e, card.f"),
    ],
    ids=["none", "a value", "a name", "an item", "a length", "a number", "a type", "many"],
)
def test_the_first_differences_are_named(other: JsonObject, places: str) -> None:
    assert card_differences(CARD, other) == places
    assert card_differences(other, CARD) == places


def test_a_long_name_is_cut() -> None:
    assert len(card_differences(CARD, {**CARD, "x" * 1000: 1})) == 200
