"""The rules of ROUTE that turn a model's tool calls into a plan, or say everything that is wrong with them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmesh.cards import Effect
from agentmesh.errors import Violation, ViolationReason
from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.core.catalog import Catalog, Skill
from orchestrator_svc.core.expressions import RESERVED
from orchestrator_svc.core.plan import Mode
from orchestrator_svc.core.tool_calls import PLAN_TOOL, ToolCall, plan_from
from orchestrator_svc.core.validate import PlanRejected, validate

TEXT: JsonObject = {"type": "string"}


def record(**properties: Json) -> JsonObject:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def skill(agent: str, name: str, takes: JsonObject | None = None, gives: JsonObject | None = None) -> Skill:
    return Skill(agent, name, "", Effect.READ_ONLY, input_schema=takes or {}, output_schema=gives or {})


ANOMALIES = record(anomalies={"type": "array", "items": record(component=TEXT)})
CATALOG = Catalog.of([
    skill("shop", "find_item", record(item=TEXT)),
    skill("store", "find_item", record(item=TEXT)),
    skill("watch", "scan", {}, ANOMALIES),
    skill("config", "check", record(component=TEXT)),
    skill("math", "size"),
    skill("math", "size_1"),
    skill("files", "find_files_of_everybody_in_every_folder"),
    skill("files", "find_files_of_everybody_in_every_drive"),
])  # fmt: skip


def call(name: str, arguments: Json = None) -> ToolCall:
    return ToolCall(name, json.dumps({} if arguments is None else arguments))


def whole(*steps: Json) -> ToolCall:
    return call(PLAN_TOOL, {"reason": "in order", "steps": list(steps)})


BARE = call(PLAN_TOOL, {"reason": "in order"})
SCAN: JsonObject = {"id": "scan", "skill": "watch__scan", "arguments": {}}
CHECK: JsonObject = {"id": "c", "skill": "config__check", "arguments": {"component": "${scan.anomalies[0].component}"}}


def rejected(*calls: ToolCall) -> list[tuple[str, ViolationReason]]:
    return [(violation.path, violation.reason) for violation in violations(*calls)]


def violations(*calls: ToolCall) -> tuple[Violation, ...]:
    with pytest.raises(PlanRejected) as raised:
        plan_from(calls, CATALOG)
    return raised.value.violations


def mode(*calls: ToolCall) -> Mode:
    return validate(plan_from(calls, CATALOG), CATALOG).mode


def test_one_call_is_a_plan_of_one_step() -> None:
    calls = [call("shop__find_item", {"item": "tea"})]
    assert plan_from(calls, CATALOG) == {
        "steps": [{"id": "find_item", "skill": "shop__find_item", "arguments": {"item": "tea"}}]
    }
    assert mode(*calls) is Mode.SINGLE


def test_several_calls_are_a_plan_without_edges() -> None:
    calls = [call("shop__find_item", {"item": "tea"}), call("watch__scan")]
    assert mode(*calls) is Mode.PARALLEL


@pytest.mark.parametrize("calls", [[], [whole()], [whole(), whole()]], ids=["no call", "no steps", "twice no steps"])
def test_no_call_and_no_steps_mean_that_no_skill_fits(calls: list[ToolCall]) -> None:
    assert plan_from(calls, CATALOG) == {"steps": []}


def test_step_ids_are_the_names_of_the_skills_numbered_where_they_repeat_and_never_reserved() -> None:
    names = ["shop__find_item", "store__find_item", "shop__find_item", "math__size", "math__size_1", "math__size"]
    names += ["files__find_files_of_everybody_in_every_folder", "files__find_files_of_everybody_in_every_drive"]
    plan = plan_from([call(name, {"item": "x"} if "item" in name else {}) for name in names], CATALOG)
    assert "size" in RESERVED
    assert [step.id for step in validate(plan, CATALOG).steps] == [
        "find_item",
        "find_item_2",
        "find_item_3",
        "size_1",
        "size_1_2",
        "size_2",
        "find_files_of_everybody_in_every",
        "find_files_of_everybody_in_eve_2",
    ]


@pytest.mark.parametrize("text", ["${HOME}", "$${x}", "costs $5 {a}", "${now}", "${", "}"])
def test_arguments_of_plain_calls_are_literals(text: str) -> None:
    plan = plan_from([call("shop__find_item", {"item": text})], CATALOG)
    template = validate(plan, CATALOG).steps[0].arguments
    assert template.embedded == ()
    assert template.resolve({}, datetime.now(UTC)) == {"item": text}


def test_steps_of_plan_execution_are_the_plan() -> None:
    assert plan_from([whole(SCAN, CHECK)], CATALOG) == {"steps": [SCAN, CHECK]}
    assert mode(whole(SCAN, CHECK)) is Mode.SEQUENTIAL


@pytest.mark.parametrize(
    "sibling",
    [
        call("watch__scan"),
        ToolCall("watch__scan", ""),
        call("config__check", {"component": "${scan.anomalies[0].component}"}),
        whole(SCAN, CHECK),
        BARE,
    ],
    ids=["equal", "equal without arguments", "equal with its expression", "the same plan again", "the bare signal"],
)
def test_a_sibling_that_says_nothing_new_is_dropped(sibling: ToolCall) -> None:
    for calls in ([whole(SCAN, CHECK), sibling], [sibling, whole(SCAN, CHECK)]):
        assert plan_from(calls, CATALOG) == {"steps": [SCAN, CHECK]}


def test_an_escaped_literal_equals_the_call_that_means_it() -> None:
    step: JsonObject = {"id": "f", "skill": "shop__find_item", "arguments": {"item": "$${HOME}"}}
    assert plan_from([whole(step), call("shop__find_item", {"item": "${HOME}"})], CATALOG) == {"steps": [step]}


def test_any_other_sibling_is_a_violation() -> None:
    strange = call("config__check", {"component": "other"})
    assert rejected(strange, whole(SCAN, CHECK), call("watch__scan"), whole(SCAN)) == [
        ("tool_calls[0]", ViolationReason.SIBLING_CALL),
        ("tool_calls[3]", ViolationReason.SIBLING_CALL),
    ]


def test_the_bare_signal_runs_its_siblings_in_their_order_and_wires_what_is_missing() -> None:
    expected = [
        SCAN,
        {
            "id": "check",
            "skill": "config__check",
            "arguments": {"component": "${scan.anomalies[0].component}"},
            "depends_on": ["scan"],
            "when": "size(scan.anomalies) > 0",
        },
    ]
    for calls in (
        [BARE, call("watch__scan"), call("config__check")],
        [call("watch__scan"), call("config__check"), BARE],
    ):
        assert plan_from(calls, CATALOG) == {"steps": expected}
        assert mode(*calls) is Mode.SEQUENTIAL


def test_an_empty_list_of_steps_beside_calls_is_the_bare_signal() -> None:
    plan = plan_from([whole(), call("watch__scan"), call("shop__find_item", {"item": "tea"})], CATALOG)
    assert validate(plan, CATALOG).steps[1].needs == ("scan",)


def test_what_wiring_cannot_fill_is_a_violation_beside_every_other() -> None:
    assert rejected(BARE, call("config__check"), call("shop__find_item", {"itme": 1})) == [
        ("steps[0].arguments.component", ViolationReason.ARGUMENT_MISSING),
        ("steps[1].arguments.item", ViolationReason.ARGUMENT_MISSING),
        ("steps[1].arguments.itme", ViolationReason.ARGUMENT_UNKNOWN),
    ]


def test_the_bare_signal_alone_is_no_plan() -> None:
    assert rejected(BARE) == [("tool_calls[0].arguments.steps", ViolationReason.SHAPE)]
    assert rejected(BARE, BARE) == [("tool_calls[0].arguments.steps", ViolationReason.SHAPE)]


@pytest.mark.parametrize(
    "text",
    [
        '{"item": "tea"',
        "[1]",
        "null",
        '"x"',
        '{"n": NaN}',
        '{"n": 1e999}',
        '{"n": 9007199254740993}',
        '{"n": %s}' % ("9" * 5000),
        '{"s": "\\ud800"}',
        '{"d": ' * 40 + "1" + "}" * 40,
        "[" * 100_000,
    ],
    ids=lambda text: text[:24],
)
def test_arguments_that_are_no_json_object_are_a_violation_that_names_the_tool(text: str) -> None:
    (violation,) = violations(ToolCall("watch__scan", text))
    assert (violation.path, violation.reason) == ("tool_calls[0].arguments", ViolationReason.NOT_JSON)
    assert "`watch__scan`" in violation.message
    assert len(violation.message) < 300


def test_an_unknown_tool_is_a_violation_that_names_the_nearest() -> None:
    (violation,) = violations(call("wach__scan"))
    assert (violation.path, violation.reason) == ("tool_calls[0].name", ViolationReason.SKILL_UNKNOWN)
    assert "`watch__scan`" in violation.message
    assert "did you mean `plan_execution`" in violations(call("plan_executions"))[0].message


def test_everything_that_is_wrong_is_said_at_once() -> None:
    assert rejected(call("nobody__at_all"), ToolCall("watch__scan", "{"), whole(SCAN), ToolCall("x", "?")) == [
        ("tool_calls[0].name", ViolationReason.SKILL_UNKNOWN),
        ("tool_calls[1].arguments", ViolationReason.NOT_JSON),
        ("tool_calls[3].name", ViolationReason.SKILL_UNKNOWN),
        ("tool_calls[3].arguments", ViolationReason.NOT_JSON),
        ("tool_calls[0]", ViolationReason.SIBLING_CALL),
    ]


@pytest.mark.parametrize("steps", ["text", {}, 0, False, [1, None]], ids=str)
def test_steps_of_another_kind_are_left_to_the_validator(steps: Json) -> None:
    plan = plan_from([call(PLAN_TOOL, {"reason": "r", "steps": steps})], CATALOG)
    with pytest.raises(PlanRejected) as raised:
        validate(plan, CATALOG)
    assert {violation.reason for violation in raised.value.violations} == {ViolationReason.SHAPE}


NAMES = st.sampled_from([*CATALOG.skills, PLAN_TOOL, "nobody__at_all", ""])
VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists)
ARGUMENTS = st.dictionaries(st.sampled_from(["item", "component", "steps", "reason"]), VALUES).map(json.dumps)


@given(st.lists(st.builds(ToolCall, NAMES, ARGUMENTS | st.text()), max_size=5))
def test_whatever_a_model_calls_is_a_plan_or_is_rejected(calls: list[ToolCall]) -> None:
    try:
        plan = plan_from(calls, CATALOG)
    except PlanRejected:
        return
    assert plan.keys() == {"steps"}
    assert plan_from(calls, CATALOG) == plan
