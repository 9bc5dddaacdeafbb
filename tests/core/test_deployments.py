"""Deployments: which endpoints belong together, and which version of a skill a catalog shows."""

from __future__ import annotations

import itertools

import pytest

from agentmesh.cards import Effect
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.core.card import Card, read_card
from orchestrator_svc.core.catalog import Skill
from orchestrator_svc.core.deployments import group, skills_shown


def schema(argument: str) -> JsonObject:
    return {"type": "object", "properties": {argument: {"type": "string"}}}


def card(agent: str = "one", version: str = "1.0.0", text: str = "", **arguments: str) -> Card:
    """A card with a skill for each keyword, which takes the argument that is named so."""
    skills: list[JsonObject] = [
        {
            "name": name,
            "description": text,
            "input_schema": schema(argument),
            "output_schema": {},
            "effect": "READ_ONLY",
            "tags": [],
            "examples": [],
            "timeout_seconds": None,
            "reports_progress": False,
        }
        for name, argument in (arguments or {"look": "item"}).items()
    ]
    return read_card({"name": agent, "version": version, "description": "", "skills": list(skills)})


def never(endpoint: str) -> bool:
    return False


def argument_of(skill: Skill) -> str:
    properties = skill.input_schema["properties"]
    assert isinstance(properties, dict)
    return "".join(properties)


def test_endpoints_with_equal_cards_are_one_deployment() -> None:
    (deployment,) = group([(card(), "a"), (card(), "b"), (card(), "c")])
    assert deployment.endpoints == ("a", "b", "c")
    assert deployment.card.digest == card().digest


@pytest.mark.parametrize(
    "other", [card("two"), card(version="1.0.1"), card(text="says it better"), card(look="name")], ids=str
)
def test_any_difference_of_cards_makes_another_deployment(other: Card) -> None:
    assert len(group([(card(), "a"), (other, "b")])) == 2


def test_the_order_is_by_agent_then_the_highest_version_then_the_digest_however_they_come() -> None:
    same = sorted([card("one", "1.10.0", text) for text in ("", "x", "y")], key=lambda one: one.digest)
    wanted = [card("one", "2.0.0"), *same, card("one", "1.9.0"), card("one", "1.9.0-rc.1"), card("two", "0.1.0")]
    for cards in itertools.islice(itertools.permutations(wanted), 0, None, 97):
        made = group([(one, one.digest) for one in cards])
        assert [deployment.card.digest for deployment in made] == [one.digest for one in wanted]


def test_nobody_makes_no_deployment_and_shows_no_skill() -> None:
    assert group([]) == ()
    assert skills_shown((), never) == {}


def test_of_a_skill_the_highest_version_is_shown() -> None:
    made = group([(card(version="1.2.0", look="old"), "a"), (card(version="1.10.0", look="new"), "b")])
    assert argument_of(skills_shown(made, lambda _: True)["one__look"]) == "new"


def test_a_version_without_a_usable_endpoint_gives_way_to_one_that_has_some() -> None:
    made = group([(card(look="old"), "a"), (card(version="2.0.0", look="new"), "b")])
    assert argument_of(skills_shown(made, {"a"}.__contains__)["one__look"]) == "old"
    assert argument_of(skills_shown(made, {"a", "b"}.__contains__)["one__look"]) == "new"


def test_without_any_usable_endpoint_the_highest_version_is_still_known() -> None:
    made = group([(card(look="old"), "a"), (card(version="2.0.0", look="new"), "b")])
    assert argument_of(skills_shown(made, never)["one__look"]) == "new"


def test_skills_of_one_agent_may_come_from_different_versions() -> None:
    made = group([(card(look="old", count="old"), "a"), (card(version="2.0.0", look="new"), "b")])
    shown = skills_shown(made, lambda _: True)
    assert {name: argument_of(skill) for name, skill in shown.items()} == {"one__look": "new", "one__count": "old"}


def test_a_usable_older_version_wins_over_a_newer_one_skill_by_skill() -> None:
    made = group([(card(look="old"), "a"), (card(version="2.0.0", look="new", count="new"), "b")])
    shown = skills_shown(made, {"a"}.__contains__)
    assert {name: argument_of(skill) for name, skill in shown.items()} == {"one__look": "old", "one__count": "new"}


def test_a_deployment_serves_what_has_the_same_schemas_and_effect_whatever_its_texts() -> None:
    (deployment,) = group([(card(), "a")])
    (own,) = card(text="in other words").skills
    assert deployment.serves(own)
    assert not deployment.serves(card(look="name").skills[0])
    assert not deployment.serves(card(see="item").skills[0])
    assert not deployment.serves(card("two").skills[0])
    assert not deployment.serves(Skill("one", "look", "", Effect.IDEMPOTENT, schema("item")))
