"""Names, ids and digests on which agents and the orchestrator must agree."""

import hashlib
import json

import pytest

from agentmesh.cards import card_digest, is_name, skill_digest, skill_id, split_skill_id
from agentmesh.jsonvalues import JsonObject

INPUT: JsonObject = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
OUTPUT: JsonObject = {"type": "object"}


@pytest.mark.parametrize("name", ["a", "data_agent", "get_report2", "a1_2_b", "a" * 48])
def test_lower_case_words_joined_by_single_underscores_are_names(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "name", ["", "A", "1a", "_a", "a_", "a__b", "a-b", "a b", "a\n", "ä", "a" * 49, "a.b", "get_Report"]
)
def test_other_texts_are_no_names(name: str) -> None:
    assert not is_name(name)


def test_an_id_is_split_into_what_it_was_made_of() -> None:
    assert skill_id("data_agent", "get_report") == "data_agent__get_report"
    assert split_skill_id("data_agent__get_report") == ("data_agent", "get_report")


@pytest.mark.parametrize(
    "text", ["", "a", "a__", "__a", "a__b__c", "a___b", "A__b", "a__" + "b" * 48 + "c", "a" * 40 + "__" + "b" * 40]
)
def test_other_texts_are_no_skill_ids(text: str) -> None:
    with pytest.raises(ValueError, match="is no skill id"):
        split_skill_id(text)


def test_a_skill_digest_is_sha256_over_canonical_json_of_schemas_and_effect() -> None:
    text = json.dumps(
        {"effect": "READ_ONLY", "input_schema": INPUT, "output_schema": OUTPUT}, sort_keys=True, separators=(",", ":")
    )
    assert skill_digest(INPUT, OUTPUT, "READ_ONLY") == hashlib.sha256(text.encode()).hexdigest()


def test_a_digest_does_not_depend_on_the_order_of_keys_or_on_how_a_number_is_written() -> None:
    one: JsonObject = {"maximum": 3, "minimum": 1}
    other: JsonObject = {"minimum": 1.0, "maximum": 3.0}
    assert skill_digest(one, {}, "READ_ONLY") == skill_digest(other, {}, "READ_ONLY")
    assert card_digest({"name": "a", "version": "1.0.0"}) == card_digest({"version": "1.0.0", "name": "a"})


def test_a_change_of_a_schema_or_of_the_effect_changes_the_digest() -> None:
    digests = {
        skill_digest(INPUT, OUTPUT, "READ_ONLY"),
        skill_digest(INPUT, OUTPUT, "IDEMPOTENT"),
        skill_digest(OUTPUT, INPUT, "READ_ONLY"),
        skill_digest({}, OUTPUT, "READ_ONLY"),
    }
    assert len(digests) == 4
