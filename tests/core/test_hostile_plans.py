"""Whatever comes in the place of a plan, the answer is a plan or a list of violations: soon, and always the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmesh.errors import Violation, ViolationReason
from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.core.catalog import Catalog
from orchestrator_svc.core.compile import MAX_EXPRESSIONS
from orchestrator_svc.core.validate import PlanLimits, PlanRejected, validate
from tests.core.plans.tables import invalid_plans, valid_plans
from tests.core.skills import CATALOG, REPORT, STORE, record, skill

VALID = valid_plans()


def violations_of(source: Json, catalog: Catalog = CATALOG) -> tuple[Violation, ...]:
    with pytest.raises(PlanRejected) as raised:
        validate(source, catalog)
    return raised.value.violations


def plan_or_violations(source: Json) -> tuple[Violation, ...]:
    """The violations; without any, there is a plan, and it survives the plan language."""
    try:
        plan = validate(source, CATALOG)
    except PlanRejected as rejected:
        return rejected.violations
    assert validate(plan.to_json(), CATALOG) == plan
    return ()


def nested(levels: int) -> Json:
    value: Json = 1
    for level in range(levels):
        value = [value] if level % 2 else {"x": value}
    return value


def step(identifier: str, **changes: Json) -> JsonObject:
    return {"id": identifier, "skill": "data_agent__list_entities", **changes}


def storing(value: Json, **changes: Json) -> JsonObject:
    return step("a", skill=STORE.id, arguments={"record": {"x": value}}, **changes)


def test_an_argument_nested_ten_thousand_deep_is_one_violation() -> None:
    (violation,) = violations_of({"steps": [storing(nested(10_000))]})
    assert (violation.path, violation.reason) == ("steps[0].arguments", ViolationReason.ARGUMENT_INVALID)
    assert "nested deeper than 24" in violation.message


def test_a_literal_list_nested_ten_thousand_deep_is_one_violation() -> None:
    (violation,) = violations_of({"steps": [step("a", for_each=[nested(10_000)])]})
    assert (violation.path, violation.reason) == ("steps[0].for_each", ViolationReason.ARGUMENT_INVALID)


@pytest.mark.parametrize("key", ["id", "skill", "when", "optional", "depends_on", "unknown"])
def test_depth_where_there_must_be_a_scalar_is_a_matter_of_shape(key: str) -> None:
    found = violations_of({"steps": [{**step("a"), key: {"x": nested(10_000)}}]})
    assert [violation.reason for violation in found] == [ViolationReason.SHAPE]


def test_arguments_of_more_than_a_mebibyte_are_refused() -> None:
    (violation,) = violations_of({"steps": [storing("x" * 1024 * 1024)]})
    assert "bytes as JSON, at most 1048576 are allowed" in violation.message


def test_of_far_too_many_steps_only_their_number_is_said() -> None:
    steps: list[Json] = [step(f"s{index}", depends_on=["nobody"], when="1 +") for index in range(100_000)]
    (violation,) = violations_of({"steps": steps, "unknown": 1})
    assert (violation.path, violation.reason) == ("steps", ViolationReason.TOO_MANY_STEPS)
    assert violation.message.startswith("100000 steps, at most 32")


def test_of_too_many_steps_everything_is_said() -> None:
    found = violations_of({"steps": [step(f"s{index}", when="nobody.x") for index in range(320)]})
    assert Counter(violation.reason for violation in found) == {
        ViolationReason.TOO_MANY_STEPS: 1,
        ViolationReason.STEP_UNKNOWN: 320,
    }


def test_without_a_limit_thousands_of_steps_are_a_plan() -> None:
    steps: list[Json] = [step("s0")]
    steps += [step(f"s{index}", when=f"size(s{index - 1}.entities) > 0") for index in range(1, 1_000)]
    plan = validate({"steps": steps}, CATALOG, PlanLimits(max_steps=100_000))
    assert all(plan.steps[index].needs == (f"s{index - 1}",) for index in range(1, 1_000))


def test_a_ring_of_a_thousand_steps_is_one_cycle() -> None:
    steps: list[Json] = [step(f"s{index}", depends_on=[f"s{(index + 1) % 1000}"]) for index in range(1_000)]
    with pytest.raises(PlanRejected) as raised:
        validate({"steps": steps}, CATALOG, PlanLimits(max_steps=100_000))
    assert [(violation.path, violation.reason) for violation in raised.value.violations] == [
        ("steps[0]", ViolationReason.CYCLE)
    ]


def test_every_one_of_very_many_unknown_arguments_is_said() -> None:
    arguments: JsonObject = {"entity": "host", **{f"limit{index}": 1 for index in range(20_000)}}
    found = violations_of({"steps": [step("a", skill=REPORT.id, arguments=arguments)]})
    assert Counter(violation.reason for violation in found) == {ViolationReason.ARGUMENT_UNKNOWN: 20_000}
    assert found[0].message.endswith("did you mean `limit`?")


def test_every_one_of_very_many_unknown_keys_is_said() -> None:
    keys: JsonObject = {f"when{index}": 1 for index in range(20_000)}
    found = violations_of({"steps": [{**step("a"), **keys}], **keys})
    assert Counter(violation.reason for violation in found) == {ViolationReason.SHAPE: 40_000}


def test_every_wrong_element_of_a_list_is_said_unless_there_are_very_many() -> None:
    for count, said in ((9_000, 9_000), (100_000, 1)):
        arguments: JsonObject = {"record": {}, "parts": ["x"] * count}
        found = violations_of({"steps": [step("a", skill=STORE.id, arguments=arguments)]})
        assert Counter(violation.reason for violation in found) == {ViolationReason.ARGUMENT_INVALID: said}
        assert found[0].path == "steps[0].arguments.parts[0]"


def test_more_expressions_than_a_step_may_have_are_one_violation() -> None:
    few: list[Json] = ["${1.0} $${text}"] * MAX_EXPRESSIONS
    validate({"steps": [storing(few)]}, CATALOG)
    (violation,) = violations_of({"steps": [storing([*few, "${1.0"])]})
    assert (violation.path, violation.reason) == ("steps[0].arguments", ViolationReason.SHAPE)
    assert violation.message.startswith(f"{MAX_EXPRESSIONS + 1} expressions in one step")


def test_very_many_steps_to_wait_for_are_counted_before_they_are_looked_at() -> None:
    (violation,) = violations_of({"steps": [step("a", depends_on=[f"s{index}" for index in range(100_000)])]})
    assert (violation.path, violation.reason) == ("steps[0].depends_on", ViolationReason.SHAPE)


def test_schemas_that_refer_to_each_other_very_often_are_followed_once() -> None:
    # 20 levels with four references to the next: written out, a schema of 4^20 parts.
    definitions: JsonObject = {
        f"d{level}": {"anyOf": [{"$ref": f"#/$defs/d{level + 1}"}] * 4} for level in range(20)
    }  # fmt: skip
    definitions["d20"] = record(closed=False, name={"type": "string"}, inner={"$ref": "#/$defs/last"})
    definitions["last"] = record(closed=False, deep={"type": "integer"})
    schema: JsonObject = {"$defs": definitions, **record(closed=False, top={"$ref": "#/$defs/d0"})}
    catalog = Catalog.of([skill("big__find", {}, schema), REPORT])
    first = step("a", skill="big__find")
    second = step("b", skill=REPORT.id, arguments={"entity": "${a.top.name}", "limit": "${a.top.inner.deep}"})
    validate({"steps": [first, second]}, catalog)
    third = step("c", skill=REPORT.id, arguments={"entity": "${a.top.inner.deeep}"})
    (violation,) = violations_of({"steps": [first, third]}, catalog)
    assert violation.message.endswith("did you mean `deep`?")


@pytest.mark.parametrize("text", ["\ud800", "\x00", "\U0001f980", "\u202eevil", "\r\n", "a" * 100_000])
@pytest.mark.parametrize("where", ["id", "skill", "when", "for_each", "depends_on", "key", "argument", "expression"])
def test_strange_texts_are_values_or_violations(text: str, where: str) -> None:
    changes: dict[str, JsonObject] = {
        "id": {"id": text},
        "skill": {"skill": text},
        "when": {"when": f"size('{text}') > 0 && {text}"},
        "for_each": {"for_each": [text]},
        "depends_on": {"depends_on": [text]},
        "key": {text: text},
        "argument": {"skill": STORE.id, "arguments": {"record": {text: text}}},
        "expression": {"skill": STORE.id, "arguments": {"record": {"x": f"${{{text}}}"}}},
    }
    source: JsonObject = {"steps": [{**step("a"), **changes[where]}]}
    for violation in plan_or_violations(source):
        (violation.path + violation.message).encode()
        assert len(violation.message) < 500
        assert len(violation.path) < 200


_TEXTS = st.text(max_size=8) | st.sampled_from(["${a.x}", "a", "item"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
_STEP = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["a", "b", "c", "item", "", "A"]) | _JSON,
        "skill": st.sampled_from(list(CATALOG.skills)) | _JSON,
        "arguments": st.dictionaries(st.sampled_from(["entity", "limit", "record", "x"]), _JSON, max_size=3) | _JSON,
        "when": st.sampled_from(["a.x > 1.0", "has(a.x)", "has(b)", "item", "1 +"]) | _JSON,
        "for_each": st.sampled_from(["a.rows", "a", "b.entities", "[1]"]) | _JSON,
        "optional": _JSON,
        "depends_on": st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=3) | _JSON,
        "zzz": _JSON,
    },
)


@given(_JSON | st.fixed_dictionaries({"steps": _JSON | st.lists(_STEP | _JSON, max_size=5)}))
def test_any_json_is_a_plan_or_has_violations(source: Json) -> None:
    for violation in plan_or_violations(source):
        (violation.path + violation.message).encode()
        assert violation.message


@given(st.data())
def test_a_sound_plan_with_one_part_replaced_is_a_plan_or_has_violations(data: st.DataObject) -> None:
    source: Json = json.loads(json.dumps(data.draw(st.sampled_from(VALID)).source))
    place = data.draw(st.sampled_from(sorted(_places(source), key=str)))
    plan_or_violations(_with(source, place, data.draw(_JSON)))


def _places(value: Json, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner: list[tuple[str | int, Json]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [path, *(place for key, member in inner for place in _places(member, (*path, key)))]


def _with(value: Json, place: tuple[str | int, ...], new: Json) -> Json:
    if not place:
        return new
    if isinstance(value, dict):
        return {key: _with(member, place[1:], new) if key == place[0] else member for key, member in value.items()}
    assert isinstance(value, list)
    return [_with(member, place[1:], new) if index == place[0] else member for index, member in enumerate(value)]


def test_validation_leaves_the_plan_as_it_was_and_keeps_nothing_of_it() -> None:
    for entry in valid_plans():  # read afresh, because they are spoilt here
        before = json.dumps(entry.source)
        plan = validate(entry.source, CATALOG)
        assert json.dumps(entry.source) == before
        kept = json.dumps(plan.to_json())
        for place in entry.source["steps"] if isinstance(entry.source["steps"], list) else []:
            _spoil(place)
        assert json.dumps(plan.to_json()) == kept


def _spoil(value: Json) -> None:
    if isinstance(value, dict):
        for member in value.values():
            _spoil(member)
        value["spoilt"] = True
    elif isinstance(value, list):
        for member in value:
            _spoil(member)
        value.append("spoilt")


_SCRIPT = """
import json
from orchestrator_svc.core.validate import PlanRejected, validate
from tests.core.plans.tables import invalid_plans
from tests.core.skills import CATALOG

tangled = {"steps": [
    {"id": f"s{i}", "skill": "data_agent__list_entities",
     "depends_on": [f"s{j}" for j in range(1, 20) if i == 0 or 0 < (j - i) % 19 < 10]}
    for i in range(20)
]}
for source in [*(entry.source for entry in invalid_plans()), tangled]:
    try:
        validate(source, CATALOG)
    except PlanRejected as rejected:
        print(json.dumps([[v.path, v.reason, v.message] for v in rejected.violations]))
"""


def test_the_violations_are_the_same_in_every_process() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-c", _SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert len(outputs) == 1
    assert outputs.pop().count("\n") == len(invalid_plans()) + 1
