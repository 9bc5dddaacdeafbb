"""Which cards a registry accepts, and everything that is said of the others. Nothing is fetched."""

from __future__ import annotations

import math
import socket
from collections.abc import Iterator

import pytest

from agentmesh.cards import Effect
from agentmesh.errors import CardInvalid, Violation, ViolationReason
from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.core.card import read_card
from orchestrator_svc.core.catalog import Skill
from tests.core.skills import INTEGER, SKILLS_OF_EVERY_KIND, TEXT, record, rows

TREE: JsonObject = record("left", left={"$ref": "#"})


def skill(name: str = "do_it", takes: JsonObject | None = None, gives: JsonObject | None = None) -> JsonObject:
    return {
        "name": name,
        "description": "Does it.",
        "effect": "READ_ONLY",
        "input_schema": takes or {},
        "output_schema": gives or {},
        "tags": ["t"],
        "examples": ["do it"],
        "timeout_seconds": 2.5,
        "reports_progress": False,
    }


def card(*skills: JsonObject, name: str = "some_agent") -> JsonObject:
    return {"name": name, "version": "1.2.3", "description": "Some agent.", "skills": list(skills)}


def violations_of(source: JsonObject) -> tuple[Violation, ...]:
    with pytest.raises(CardInvalid) as raised:
        read_card(source)
    return raised.value.violations


def problem_of(schema: JsonObject) -> str:
    (violation,) = violations_of(card(skill(takes=schema)))
    assert (violation.path, violation.reason) == ("card.skills[0].input_schema", ViolationReason.SCHEMA_INVALID)
    return violation.message


class TestAccepted:
    def test_a_card_becomes_skills_that_know_their_agent(self) -> None:
        read = read_card(card(skill(takes=record(x=TEXT)), skill("other")))
        first = read.skills[0]
        assert [each.id for each in read.skills] == ["some_agent__do_it", "some_agent__other"]
        assert (first.agent_version, first.agent_description) == ("1.2.3", "Some agent.")
        assert (first.effect, first.tags, first.examples) == (Effect.READ_ONLY, ("t",), ("do it",))
        assert first.timeout_seconds == 2.5
        assert first.input_schema == record(x=TEXT)

    def test_an_unset_timeout_is_none(self) -> None:
        assert read_card(card({**skill(), "timeout_seconds": None})).skills[0].timeout_seconds is None

    def test_a_card_without_skills(self) -> None:
        assert read_card(card()).skills == ()

    @pytest.mark.parametrize("each", SKILLS_OF_EVERY_KIND, ids=lambda each: each.id)
    def test_the_schemas_that_plans_are_tested_with(self, each: Skill) -> None:
        read_card(card(skill(takes=each.input_schema, gives=each.output_schema)))

    def test_references_within_the_schema_by_every_kind_of_step(self) -> None:
        schema: JsonObject = {
            "$defs": {"a/b": TEXT, "c~d": INTEGER, "list": {"anyOf": [TEXT, INTEGER]}},
            **record(
                x={"$ref": "#/$defs/a~1b"},
                y={"$ref": "#/$defs/c~0d"},
                z={"$ref": "#/$defs/list/anyOf/1"},
                w={"$ref": "#/properties/x"},
            ),
        }
        read_card(card(skill(takes=schema)))

    def test_one_definition_may_be_used_often(self) -> None:
        definitions: JsonObject = {
            f"d{n}": record(a={"$ref": f"#/$defs/d{n + 1}"}, b={"$ref": f"#/$defs/d{n + 1}"}) for n in range(8)
        }
        read_card(card(skill(takes={"$defs": {**definitions, "d8": TEXT}, **record(x={"$ref": "#/$defs/d0"})})))

    def test_equal_cards_have_equal_digests_whatever_their_order(self) -> None:
        one = read_card(card(skill()))
        assert read_card(dict(reversed(card(skill()).items()))).digest == one.digest
        assert read_card({**card(skill()), "version": "1.2.4"}).digest != one.digest


class TestNames:
    def test_a_name_that_is_used_twice(self) -> None:
        (violation,) = violations_of(card(skill("a"), skill("b"), skill("a")))
        assert violation == Violation("card.skills[2].name", ViolationReason.SKILL_NAME, "two skills are called `a`")

    def test_an_id_of_64_characters_is_accepted_and_65_are_too_long(self) -> None:
        agent = "a" * 30
        assert len(read_card(card(skill("s" * 32), name=agent)).skills[0].id) == 64
        (violation,) = violations_of(card(skill("s" * 33), name=agent))
        assert (violation.path, violation.reason) == ("card.skills[0].name", ViolationReason.SKILL_NAME)
        assert "65 characters, at most 64" in violation.message


class TestSchemas:
    @pytest.mark.parametrize(
        ("schema", "said"),
        [
            (TEXT, 'must say `"type": "object"`'),
            (rows(TEXT), 'must say `"type": "object"`'),
            ({"properties": {"x": TEXT}}, 'must say `"type": "object"`'),
            ({"type": ["object", "null"]}, 'must say `"type": "object"`'),
            ({"type": 5}, 'must say `"type": "object"`'),
            (record(x={"type": "strin"}), "not a valid JSON Schema: properties.x.type"),
            ({"type": "object", "required": "x"}, "not a valid JSON Schema: required"),
            ({"type": "object", "properties": []}, "not a valid JSON Schema: properties"),
            (record(x={"type": "string", "pattern": "("}), "not a valid JSON Schema: properties.x.pattern"),
            ({"type": "object", "$schema": "https://example.com/my-own"}, "not a valid JSON Schema"),
            (record(x={"$ref": "#/$defs/Nothing"}), "`#/$defs/Nothing` refers to nothing"),
            (record(x={"$ref": "#anchor"}), "`#anchor` refers to nothing; write a JSON pointer"),
            (record(x={"$ref": "#/required/7"}), "refers to nothing"),
            (record(x={"minimum": math.nan}), "`properties.x.minimum` is nan"),
        ],
    )  # fmt: skip
    def test_a_schema_that_cannot_be_used(self, schema: JsonObject, said: str) -> None:
        assert said in problem_of(schema)

    @pytest.mark.parametrize(
        "schema",
        [
            TREE,
            record(children=rows({"$ref": "#"})),
            {"$defs": {"Node": record(next={"$ref": "#/$defs/Node"})}, **record(x={"$ref": "#/$defs/Node"})},
            {
                "$defs": {"A": record(b={"$ref": "#/$defs/B"}), "B": rows({"$ref": "#/$defs/A"})},
                **record(x={"$ref": "#/$defs/A"}),
            },
            record(x=record(y={"$ref": "#/properties/x"})),
            {"$defs": {"A": {"$ref": "#/$defs/A"}}, **record(x=TEXT)},
            {"$schema": "https://json-schema.org/draft/2019-09/schema", **record(x={"$ref": "#/properties"})},
        ],
        ids=["root", "root in a list", "definition", "two definitions", "property", "itself", "properties"],
    )
    def test_a_recursive_schema(self, schema: JsonObject) -> None:
        assert "is recursive" in problem_of(schema)

    @pytest.mark.parametrize("keyword", ["anyOf", "oneOf", "allOf", "prefixItems"])
    def test_references_that_double_with_every_level(self, keyword: str) -> None:
        levels: JsonObject = {f"L{n}": {keyword: [{"$ref": f"#/$defs/L{n + 1}"}] * 2} for n in range(40)}
        schema = {"$defs": {**levels, "L40": TEXT}, **record(x={"$ref": "#/$defs/L0"})}
        assert "parts when its references are written out, at most 50000" in problem_of(schema)

    def test_a_schema_that_is_too_deep(self) -> None:
        deep: Json = {}
        for _ in range(10_000):
            deep = {"x": deep}
        assert "nested deeper" in problem_of({"type": "object", "properties": deep})

    def test_input_and_output_are_both_looked_at_and_everything_is_said(self) -> None:
        found = violations_of(card(skill("a", takes=TEXT), skill("a", gives=TREE), skill("b", takes=TREE, gives=TEXT)))
        assert [(violation.path, violation.reason) for violation in found] == [
            ("card.skills[0].input_schema", ViolationReason.SCHEMA_INVALID),
            ("card.skills[1].name", ViolationReason.SKILL_NAME),
            ("card.skills[1].output_schema", ViolationReason.SCHEMA_INVALID),
            ("card.skills[2].input_schema", ViolationReason.SCHEMA_INVALID),
            ("card.skills[2].output_schema", ViolationReason.SCHEMA_INVALID),
        ]


class TestOtherDocuments:
    @pytest.fixture
    def listener(self) -> Iterator[socket.socket]:
        """A server of schemas, which nobody may ask."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(0)
            yield server
            with pytest.raises(BlockingIOError):
                server.accept()

    @pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef"])
    @pytest.mark.parametrize("where", ["property", "definition", "branch", "top"])
    def test_they_are_refused_and_never_fetched(self, listener: socket.socket, keyword: str, where: str) -> None:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/schema.json"
        remote: JsonObject = {keyword: url}
        schemas: dict[str, JsonObject] = {
            "property": record(x=remote),
            "definition": {"$defs": {"X": remote}, **record(x=TEXT)},
            "branch": record(x={"anyOf": [TEXT, {"not": remote}]}),
            "top": {"type": "object", **remote},
        }
        assert "refers to another document" in problem_of(schemas[where])

    def test_a_base_of_its_own_is_not_fetched_either(self, listener: socket.socket) -> None:
        base = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        assert "another document" in problem_of({"$id": base, **record(x={"$ref": "other.json"})})
        assert "not a valid JSON Schema" in problem_of({"$schema": base, **record(x=TEXT)})
        read_card(card(skill(takes={"$id": base, "$defs": {"X": TEXT}, **record(x={"$ref": "#/$defs/X"})})))

    @pytest.mark.parametrize(
        "reference", ["file:///etc/passwd", "other.json", "//host/x", "urn:x:y", "", "x" * 100_000]
    )
    def test_every_other_kind_of_reference_is_refused(self, reference: str) -> None:
        said = problem_of(record(x={"$ref": reference}))
        assert "refers to another document" in said
        assert len(said) < 300
