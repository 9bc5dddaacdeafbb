"""Which plans are sound, and what is said of the others."""

from __future__ import annotations

import pytest

from agentmesh.errors import Violation, ViolationReason
from agentmesh.jsonvalues import Json
from orchestrator_svc.core.validate import PlanRejected, validate
from tests.core.plans.tables import InvalidPlan, ValidPlan, invalid_plans, valid_plans
from tests.core.skills import CATALOG

VALID = valid_plans()
INVALID = invalid_plans()


def violations_of(source: Json) -> tuple[Violation, ...]:
    with pytest.raises(PlanRejected) as raised:
        validate(source, CATALOG)
    return raised.value.violations


@pytest.mark.parametrize("entry", VALID, ids=lambda entry: entry.name)
def test_a_sound_plan_is_accepted_with_its_mode_and_edges(entry: ValidPlan) -> None:
    plan = validate(entry.source, CATALOG)
    assert plan.mode == entry.mode
    assert {step.id: list(step.needs) for step in plan.steps if step.needs} == entry.needs
    assert {step.id: sorted(step.tolerates) for step in plan.steps if step.tolerates} == entry.tolerates


@pytest.mark.parametrize("entry", VALID, ids=lambda entry: entry.name)
def test_a_plan_survives_the_plan_language(entry: ValidPlan) -> None:
    plan = validate(entry.source, CATALOG)
    again = validate(plan.to_json(), CATALOG)
    assert again == plan
    assert again.hash == plan.hash
    assert again.to_json() == plan.to_json()


@pytest.mark.parametrize("entry", INVALID, ids=lambda entry: entry.name)
def test_everything_that_is_wrong_is_said_at_once(entry: InvalidPlan) -> None:
    found = violations_of(entry.source)
    assert [(violation.path, violation.reason) for violation in found] == [
        (expected.path, expected.reason) for expected in entry.violations
    ]
    for violation, expected in zip(found, entry.violations, strict=True):
        assert expected.said in violation.message
        assert len(violation.message) < 500
        assert len(violation.path) < 200


def test_the_tables_are_long_enough_and_have_every_reason_that_validation_gives() -> None:
    assert min(len(VALID), len(INVALID)) >= 60
    names = [entry.name for entry in VALID] + [entry.name for entry in INVALID]
    assert len(set(names)) == len(names)
    elsewhere = {
        ViolationReason.EFFECT_NOT_ALLOWED,  # of a valid plan
        ViolationReason.RULE,  # of a request
        ViolationReason.NOT_SUPPORTED,
        ViolationReason.SCHEMA_INVALID,  # of a card
        ViolationReason.SKILL_NAME,
        ViolationReason.SIBLING_CALL,  # of tool calls
        ViolationReason.NOT_JSON,
        ViolationReason.LIMIT,  # of a budget
        ViolationReason.SKILL_CHANGED,  # of a registration
        ViolationReason.ADDRESS_NOT_ALLOWED,
    }
    given = {violation.reason for entry in INVALID for violation in entry.violations}
    assert given == set(ViolationReason) - elsewhere
