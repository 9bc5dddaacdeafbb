"""Wiring fills what can only mean one thing, says what else is missing, and never makes an unsound plan."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmesh.cards import Effect
from agentmesh.errors import ViolationReason
from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.core.catalog import Catalog, Skill
from orchestrator_svc.core.validate import validate
from orchestrator_svc.core.wiring import Wired, wire

TEXT: JsonObject = {"type": "string"}
NUMBER: JsonObject = {"type": "number"}


def record(**properties: Json) -> JsonObject:
    """An object in which every field is required."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def rows(**properties: Json) -> JsonObject:
    return {"type": "array", "items": record(**properties)}


def skill(name: str, takes: JsonObject, gives: JsonObject) -> Skill:
    return Skill("shop", name, "", Effect.READ_ONLY, input_schema=takes, output_schema=gives)


def step(name: str, **arguments: Json) -> JsonObject:
    return {"id": name, "skill": f"shop__{name}", "arguments": arguments}


def chain(first_gives: JsonObject, second_takes: JsonObject) -> Wired:
    """`find` gives something, `use` takes something and was given nothing."""
    catalog = Catalog.of([skill("find", record(), first_gives), skill("use", second_takes, {})])
    return wire([step("find"), step("use")], catalog)


def used(wired: Wired) -> Json:
    assert wired.violations == ()
    return wired.steps[-1]["arguments"]


def test_a_missing_argument_comes_from_the_field_of_the_same_name() -> None:
    wired = chain(record(city=TEXT, eta=TEXT), record(city=TEXT))
    assert used(wired) == {"city": "${find.city}"}
    assert wired.guards == (None, None)


def test_a_field_inside_objects_is_found() -> None:
    assert used(chain(record(place=record(city=TEXT)), record(city=TEXT))) == {"city": "${find.place.city}"}


def test_a_field_inside_a_list_means_the_first_element_and_asks_for_a_guard() -> None:
    wired = chain(record(anomalies=rows(component=TEXT)), record(component=TEXT))
    assert used(wired) == {"component": "${find.anomalies[0].component}"}
    assert wired.guards == (None, "size(find.anomalies) > 0")


def test_lists_within_lists_are_guarded_from_the_outside_in() -> None:
    wired = chain(record(days={"type": "array", "items": record(hours=rows(city=TEXT))}), record(city=TEXT))
    assert used(wired) == {"city": "${find.days[0].hours[0].city}"}
    assert wired.guards[1] == "size(find.days) > 0 && size(find.days[0].hours) > 0"


def test_two_arguments_from_one_list_need_one_guard() -> None:
    wired = chain(record(rows=rows(sku=TEXT, amount=NUMBER)), record(sku=TEXT, amount=NUMBER))
    assert used(wired) == {"sku": "${find.rows[0].sku}", "amount": "${find.rows[0].amount}"}
    assert wired.guards[1] == "size(find.rows) > 0"


def test_a_field_outside_lists_beats_one_inside_a_list() -> None:
    wired = chain(record(component=TEXT, anomalies=rows(component=TEXT)), record(component=TEXT))
    assert used(wired) == {"component": "${find.component}"}


def test_two_fields_that_fit_are_a_violation_that_names_both() -> None:
    wired = chain(record(sender=record(city=TEXT), receiver=record(city=TEXT)), record(city=TEXT))
    (violation,) = wired.violations
    assert violation.path == "steps[1].arguments.city"
    assert violation.reason is ViolationReason.ARGUMENT_MISSING
    assert "`${find.sender.city}` or `${find.receiver.city}`" in violation.message
    assert wired.steps[1]["arguments"] == {}


def test_the_same_field_of_two_earlier_steps_is_not_unique() -> None:
    catalog = Catalog.of(
        [
            skill("left", record(), record(city=TEXT)),
            skill("right", record(), record(city=TEXT)),
            skill("use", record(city=TEXT), {}),
        ]
    )
    (violation,) = wire([step("left"), step("right"), step("use")], catalog).violations
    assert "`${left.city}` or `${right.city}`" in violation.message


def test_a_field_of_a_later_step_is_not_taken() -> None:
    catalog = Catalog.of([skill("find", record(), record(city=TEXT)), skill("use", record(city=TEXT), {})])
    (violation,) = wire([step("use"), step("find")], catalog).violations
    assert violation.path == "steps[0].arguments.city"
    assert "no earlier step" in violation.message


def test_a_field_of_another_type_is_not_taken() -> None:
    assert chain(record(city=NUMBER), record(city=TEXT)).violations


def test_a_field_of_which_the_type_is_not_known_is_not_taken() -> None:
    assert chain(record(city={}), record(city=TEXT)).violations


def test_number_and_integer_are_alike() -> None:
    assert used(chain(record(amount={"type": "integer"}), record(amount=NUMBER))) == {"amount": "${find.amount}"}
    assert used(chain(record(amount=NUMBER), record(amount={"type": "integer"}))) == {"amount": "${find.amount}"}


def test_a_field_that_may_be_null_is_taken() -> None:
    maybe: JsonObject = {"anyOf": [TEXT, {"type": "null"}], "default": None}
    assert used(chain(record(city=maybe), record(city=TEXT))) == {"city": "${find.city}"}


def test_arguments_that_are_there_or_not_required_stay_as_they_are() -> None:
    catalog = Catalog.of(
        [
            skill("find", record(), record(city=TEXT, days=NUMBER)),
            skill("use", {**record(city=TEXT, days=NUMBER), "required": ["city"]}, {}),
        ]
    )
    steps = [step("find"), step("use", city="Oslo")]
    assert wire(steps, catalog) == Wired(tuple(steps), (None, None), ())


def test_the_value_of_a_step_with_for_each_is_a_list() -> None:
    catalog = Catalog.of([skill("find", record(), record(city=TEXT)), skill("use", record(city=TEXT), {})])
    wired = wire([{**step("find"), "for_each": [1, 2]}, step("use")], catalog)
    assert used(wired) == {"city": "${find[0].city}"}
    assert wired.guards[1] == "size(find) > 0"


def test_references_and_alternatives_of_the_schema_are_followed() -> None:
    gives: JsonObject = {
        "$defs": {"Place": record(city=TEXT)},
        **record(place={"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}]}),
    }
    assert used(chain(gives, record(city=TEXT))) == {"city": "${find.place.city}"}


def test_a_schema_that_holds_itself_ends() -> None:
    gives: JsonObject = {
        "$defs": {"Node": record(city=TEXT, children={"type": "array", "items": {"$ref": "#/$defs/Node"}})},
        "$ref": "#/$defs/Node",
    }
    assert used(chain(gives, record(city=TEXT))) == {"city": "${find.city}"}


def test_a_schema_that_stands_for_a_billion_paths_ends() -> None:
    layers: JsonObject = {
        f"L{n}": record(left={"$ref": f"#/$defs/L{n + 1}"}, right={"$ref": f"#/$defs/L{n + 1}"}) for n in range(30)
    }
    gives: JsonObject = {"$defs": {**layers, "L30": record(city=TEXT)}, "$ref": "#/$defs/L0"}
    assert chain(gives, record(city=TEXT)).violations


@pytest.mark.parametrize("field", ["in", "null", "true", "Exchange Rate", 'a "b" \\ c', "1st", "größe", ""])
def test_a_field_with_any_name_is_written_so_that_the_plan_validates(field: str) -> None:
    catalog = Catalog.of([skill("find", record(), record(**{field: TEXT})), skill("use", record(**{field: TEXT}), {})])
    wired = wire([step("find"), step("use")], catalog)
    assert wired.violations == ()
    assert validate({"steps": list(wired.steps)}, catalog).steps[1].needs == ("find",)


def test_what_is_no_step_at_all_is_passed_on() -> None:
    catalog = Catalog.of([skill("use", record(city=TEXT), {})])
    odd: list[JsonObject] = [{}, {"skill": 7}, {"id": "a", "skill": "shop__gone"}, {**step("use"), "arguments": "no"}]
    assert wire(odd, catalog) == Wired(tuple(odd), (None,) * 4, ())


NAMES = st.sampled_from(["a", "b", "c", "in", "x y"])
LEAVES: st.SearchStrategy[JsonObject] = st.sampled_from(
    [TEXT, NUMBER, {"type": "integer"}, {"type": ["string", "null"]}, {"enum": ["p", 1]}, {}]
)


def _objects(members: st.SearchStrategy[JsonObject]) -> st.SearchStrategy[JsonObject]:
    return st.dictionaries(NAMES, members, max_size=4).map(lambda properties: record(**properties))


SCHEMAS: st.SearchStrategy[JsonObject] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        _objects(inner),
        inner.map(lambda items: {"type": "array", "items": items}),
        st.lists(inner, min_size=1, max_size=2).map(lambda options: {"anyOf": options}),
    ),
    max_leaves=8,
)


@st.composite
def catalogs(draw: st.DrawFn) -> Catalog:
    return Catalog.of(
        skill(f"s{index}", draw(_objects(LEAVES)), draw(_objects(SCHEMAS))) for index in range(draw(st.integers(1, 5)))
    )


@given(catalogs(), st.data())
def test_a_wired_plan_validates_with_its_guards(catalog: Catalog, data: st.DataObject) -> None:
    order = data.draw(st.permutations(sorted(each.name for each in catalog.skills.values())))
    lists = data.draw(st.sets(st.sampled_from(order)))
    steps: list[JsonObject] = [{**step(name), "for_each": [1] if name in lists else None} for name in order]
    wired = wire(steps, catalog)
    missing = {violation.path.split(".")[0] for violation in wired.violations}
    whole: list[Json] = []
    for index, (each, guard) in enumerate(zip(wired.steps, wired.guards, strict=True)):
        if f"steps[{index}]" in missing:
            # Its own arguments are incomplete; what others take from it is there all the same.
            assert isinstance(each["arguments"], dict)
            required = catalog.skills[str(each["skill"])].input_schema["properties"]
            assert isinstance(required, dict)
            filled = {name: _example(schema) for name, schema in required.items() if name not in each["arguments"]}
            whole.append({**each, "arguments": {**each["arguments"], **filled}, "when": guard})
        else:
            whole.append({**each, "when": guard})
    validate({"steps": whole}, catalog)


@given(catalogs())
def test_wiring_twice_changes_nothing_more(catalog: Catalog) -> None:
    first = wire([step(each.name) for each in catalog.skills.values()], catalog)
    second = wire(first.steps, catalog)
    assert json.dumps(second.steps) == json.dumps(first.steps)
    assert second.violations == first.violations


def _example(schema: Json) -> Json:
    return 1 if schema in (NUMBER, {"type": "integer"}) else "p"
