"""What counts as a result of a skill, whatever its agent is written in."""

from __future__ import annotations

import math
from typing import cast

import pytest

from agentmesh.cards import Effect
from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.core.catalog import Skill
from orchestrator_svc.core.outcome import Outcome, StepOutcome, StepReason
from orchestrator_svc.core.results import accept
from tests.core.skills import INTEGER, LOCATE, LOOSE, MESSAGE, STORE, TEXT, TRENDS, either, record, rows, skill


def refused(target: Skill, result: JsonObject | None, reason: StepReason) -> Outcome:
    outcome = accept(target, result)
    assert (outcome.kind, outcome.reason) == (StepOutcome.FAILED, reason)
    assert not outcome.transient
    return outcome


def nested(levels: int) -> JsonObject:
    value: Json = {}
    for _ in range(levels - 1):
        value = {"x": value}
    return cast("JsonObject", value)


class TestSize:
    def test_a_mebibyte_is_accepted_and_its_size_known(self) -> None:
        result: JsonObject = {"x": "y" * (1024 * 1024 - 8)}
        outcome = accept(LOOSE, result)
        assert outcome.succeeded
        assert outcome.result_bytes == 1024 * 1024
        assert outcome.result is result

    def test_one_byte_more_is_too_large(self) -> None:
        outcome = refused(LOOSE, {"x": "y" * (1024 * 1024 - 7)}, StepReason.RESULT_TOO_LARGE)
        assert "1048577 bytes" in outcome.message

    def test_size_is_counted_in_bytes(self) -> None:
        refused(LOOSE, {"x": "✓" * 400_000}, StepReason.RESULT_TOO_LARGE)

    def test_a_depth_of_24_is_accepted_and_25_too_deep(self) -> None:
        assert accept(LOOSE, nested(24)).succeeded
        assert "nested deeper than 24" in refused(LOOSE, nested(25), StepReason.RESULT_TOO_DEEP).message

    def test_ten_thousand_levels_are_too_deep_and_nothing_worse(self) -> None:
        refused(LOOSE, nested(10_000), StepReason.RESULT_TOO_DEEP)

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 2**53 + 1, -(2**53) - 1, "\ud800"])
    def test_what_json_between_languages_cannot_carry_is_refused_with_its_path(self, value: Json) -> None:
        outcome = refused(LOOSE, {"rows": [1, {"at": value}]}, StepReason.RESULT_NOT_JSON)
        assert "`rows[1].at`" in outcome.message

    @pytest.mark.parametrize("value", [2**53, -(2**53), 1e300, 0.1, -0.0])
    def test_every_other_number_is_accepted(self, value: Json) -> None:
        assert accept(LOOSE, {"x": value}).succeeded

    def test_the_limits_hold_for_a_skill_that_says_nothing_of_its_result(self) -> None:
        refused(MESSAGE, {"x": math.nan}, StepReason.RESULT_NOT_JSON)

    def test_an_answer_without_a_result(self) -> None:
        assert LOOSE.id in refused(LOOSE, None, StepReason.RESULT_MISSING).message


class TestOpenWorld:
    def test_fields_that_the_schema_does_not_list_are_kept(self) -> None:
        result: JsonObject = {"id": 1, "more": {"x": 1}, "previous": {"id": 2, "more": 3}}
        assert accept(STORE, result).result == result

    def test_a_missing_field_makes_the_result_invalid(self) -> None:
        outcome = refused(STORE, {"previous": None}, StepReason.RESULT_INVALID)
        assert (
            outcome.message
            == 'the result of `store_agent__put_record` breaks its output schema at result: "id" is a required property'
        )
        assert outcome.result is None

    @pytest.mark.parametrize(
        ("result", "place"),
        [
            ({"anomalies": [{"component": "a", "score": "high"}]}, "result.anomalies[0].score"),
            ({"anomalies": [{"component": "a"}]}, "result.anomalies[0]"),
            ({"anomalies": "none"}, "result.anomalies"),
            ({"anomalies": [], "direction": "sideways"}, "result.direction"),
            ({"anomalies": [], "stats": {"count": 1}}, "result.stats"),
        ],
    )
    def test_an_ill_typed_field_makes_the_result_invalid_and_is_named(self, result: JsonObject, place: str) -> None:
        assert f" {place}: " in refused(TRENDS, result, StepReason.RESULT_INVALID).message

    def test_closed_parts_in_lists_unions_and_definitions_are_open_too(self) -> None:
        schema: JsonObject = {
            "$defs": {"Row": record("a", a=TEXT)},
            **record("rows one", rows=rows({"$ref": "#/$defs/Row"}), one=either(record("b", b=TEXT), INTEGER)),
        }
        result: JsonObject = {"rows": [{"a": "x", "z": 1}], "one": {"b": "y", "z": 1}, "z": 1}
        assert accept(skill("some__find", {}, schema), result).succeeded
        refused(skill("some__find", {}, schema), {**result, "one": {"z": 1}}, StepReason.RESULT_INVALID)

    def test_exactly_one_of_several_closed_shapes_is_at_least_one_of_them_when_they_are_open(self) -> None:
        schema = record(shape={"oneOf": [record(radius=INTEGER), record(width=INTEGER, height=INTEGER)]})
        target = skill("some__draw", {}, schema)
        for shape in ({"radius": 1}, {"width": 1, "height": 2}, {"radius": 1, "colour": "red"}):
            assert accept(target, {"shape": cast("JsonObject", shape)}).succeeded
        refused(target, {"shape": {"radius": "big", "width": "wide"}}, StepReason.RESULT_INVALID)

    def test_a_union_of_both_kinds_holds_by_both(self) -> None:
        schema = record(x={"anyOf": [TEXT, record(a=TEXT)], "oneOf": [TEXT, record("b", b=TEXT)]})
        target = skill("some__mix", {}, schema)
        assert accept(target, {"x": {"a": "x", "b": "y", "c": 1}}).succeeded
        refused(target, {"x": {"a": "x"}}, StepReason.RESULT_INVALID)

    def test_of_a_very_large_result_the_first_mismatch_is_said(self) -> None:
        target = skill("some__list", {}, record(rows=rows(INTEGER)))
        outcome = refused(target, {"rows": [*range(1_000), *["x"] * 200_000]}, StepReason.RESULT_INVALID)
        assert 'result.rows[1000]: "x" is not of type "integer"' in outcome.message

    def test_a_field_may_have_the_name_of_a_keyword(self) -> None:
        target = skill(
            "some__describe", {}, record("additionalProperties", additionalProperties=TEXT, oneOf=rows(TEXT))
        )
        assert accept(target, {"additionalProperties": "x", "oneOf": []}).succeeded
        refused(target, {"additionalProperties": 1}, StepReason.RESULT_INVALID)
        refused(target, {"additionalProperties": "x", "oneOf": 1}, StepReason.RESULT_INVALID)

    def test_constants_stay_as_they_are(self) -> None:
        options: JsonObject = {"additionalProperties": False}
        target = skill("some__echo", {}, record("x", x={"const": options}))
        assert accept(target, {"x": options}).succeeded
        refused(target, {"x": {}}, StepReason.RESULT_INVALID)

    def test_the_elements_of_a_tuple_are_checked_by_place(self) -> None:
        assert accept(LOCATE, {"name": "x", "corners": [1, "a"]}).succeeded
        assert (
            "result.corners[1]" in refused(LOCATE, {"name": "x", "corners": [1, 2]}, StepReason.RESULT_INVALID).message
        )


class TestSideEffect:
    def test_the_raw_result_is_kept_although_it_is_invalid(self) -> None:
        target = skill("some__send", {}, record("id", id=INTEGER), Effect.SIDE_EFFECT)
        outcome = refused(target, {"id": "seven"}, StepReason.RESULT_INVALID)
        assert outcome.result == {"id": "seven"}
        assert outcome.result_bytes == len('{"id":"seven"}')

    @pytest.mark.parametrize("effect", [Effect.READ_ONLY, Effect.IDEMPOTENT])
    def test_of_any_other_skill_it_is_not(self, effect: Effect) -> None:
        target = skill("some__read", {}, record("id", id=INTEGER), effect)
        assert refused(target, {"id": "seven"}, StepReason.RESULT_INVALID).result is None
