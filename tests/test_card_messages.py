"""Cards between messages and plain values."""

from typing import cast

import pytest

from agentmesh.card_messages import card_from_json, card_to_json, effect_from_message, effect_to_message
from agentmesh.cards import Effect, card_digest
from agentmesh.jsonvalues import JsonObject
from agentmesh.transport import to_struct
from agentmesh.v1 import card_pb2


def a_card() -> card_pb2.AgentCard:
    skill = card_pb2.Skill(
        name="get_report",
        description="Report.",
        effect=card_pb2.EFFECT_READ_ONLY,
        tags=["system"],
        examples=["How is the host?"],
        input_schema=to_struct({"type": "object", "properties": {"days": {"type": "integer", "maximum": 7}}}),
        reports_progress=True,
    )
    skill.timeout.FromMilliseconds(2500)
    plain = card_pb2.Skill(name="list_entities", description="List.", effect=card_pb2.EFFECT_SIDE_EFFECT)
    return card_pb2.AgentCard(name="data_agent", version="1.0.0", description="Data.", skills=[skill, plain])


def test_a_card_as_json_has_every_field_by_its_name() -> None:
    assert card_to_json(a_card()) == {
        "name": "data_agent",
        "version": "1.0.0",
        "description": "Data.",
        "skills": [
            {
                "name": "get_report",
                "description": "Report.",
                "input_schema": {"type": "object", "properties": {"days": {"type": "integer", "maximum": 7}}},
                "output_schema": {},
                "effect": "READ_ONLY",
                "tags": ["system"],
                "examples": ["How is the host?"],
                "timeout_seconds": 2.5,
                "reports_progress": True,
            },
            {
                "name": "list_entities",
                "description": "List.",
                "input_schema": {},
                "output_schema": {},
                "effect": "SIDE_EFFECT",
                "tags": [],
                "examples": [],
                "timeout_seconds": None,
                "reports_progress": False,
            },
        ],
    }


def test_no_field_of_a_card_is_forgotten() -> None:
    card = card_to_json(a_card())
    assert list(card) == [field.name for field in card_pb2.AgentCard.DESCRIPTOR.fields]
    skill = cast("list[JsonObject]", card["skills"])[0]
    assert [name.removesuffix("_seconds") for name in skill] == [f.name for f in card_pb2.Skill.DESCRIPTOR.fields]


def test_a_card_comes_back_from_its_json() -> None:
    assert card_from_json(card_to_json(a_card())) == a_card()


def test_equal_cards_have_equal_digests_and_any_change_changes_the_digest() -> None:
    digest = card_digest(card_to_json(a_card()))
    assert card_digest(card_to_json(card_pb2.AgentCard.FromString(a_card().SerializeToString()))) == digest
    changed = a_card()
    changed.skills[0].examples.append("And now?")
    assert card_digest(card_to_json(changed)) != digest


@pytest.mark.parametrize("effect", list(Effect))
def test_an_effect_comes_back_from_its_message(effect: Effect) -> None:
    assert effect_from_message(effect_to_message(effect)) is effect


@pytest.mark.parametrize("value", [card_pb2.EFFECT_UNSPECIFIED, 17])
def test_other_values_are_no_effects(value: card_pb2.Effect.ValueType) -> None:
    with pytest.raises(ValueError, match="is no effect"):
        effect_from_message(value)
