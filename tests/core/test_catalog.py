"""The catalog: what a planner sees, and whether two of them are the same."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmesh.cards import Effect
from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.core.catalog import Catalog, Skill
from orchestrator_svc.core.wording import nearest
from tests.core.skills import CATALOG, ENTITIES, INTEGER, MESSAGE, REPORT, STORE, TEXT, TRENDS, record

SKILLS = list(CATALOG.skills.values())


def reordered(value: Json, random: Random) -> Json:
    """The same JSON with the keys of its objects in another order."""
    if isinstance(value, dict):
        keys = random.sample(list(value), len(value))
        return {key: reordered(value[key], random) for key in keys}
    if isinstance(value, list):
        return [reordered(element, random) for element in value]
    return value


def as_object(value: Json) -> JsonObject:
    assert isinstance(value, dict)
    return value


class TestFingerprint:
    @given(st.randoms(use_true_random=True))
    def test_it_does_not_depend_on_any_order(self, random: Random) -> None:
        skills = [
            replace(
                skill,
                input_schema=as_object(reordered(skill.input_schema, random)),
                output_schema=as_object(reordered(skill.output_schema, random)),
            )
            for skill in random.sample(SKILLS, len(SKILLS))
        ]
        assert Catalog.of(skills).fingerprint == CATALOG.fingerprint

    def test_it_does_not_depend_on_how_a_number_is_carried(self) -> None:
        carried = replace(REPORT, input_schema={"type": "object", "maxProperties": 3.0})
        written = replace(REPORT, input_schema={"type": "object", "maxProperties": 3})
        assert Catalog.of([carried]).fingerprint == Catalog.of([written]).fingerprint

    @pytest.mark.parametrize(
        "changed",
        [
            replace(REPORT, description="another"),
            replace(REPORT, effect=Effect.IDEMPOTENT),
            replace(REPORT, input_schema={**REPORT.input_schema, "required": []}),
            replace(REPORT, output_schema={**REPORT.output_schema, "required": ["entity"]}),
            replace(REPORT, output_schema={}),
            replace(REPORT, tags=("metrics",)),
            replace(REPORT, examples=("how is the host?",)),
            replace(REPORT, agent_description="another"),
            replace(REPORT, name="get_reports"),
            replace(REPORT, agent="date_agent"),
        ],
        ids=[
            "description",
            "effect",
            "input",
            "output",
            "no output",
            "tags",
            "examples",
            "agent",
            "name",
            "agent name",
        ],
    )
    def test_it_changes_with_everything_that_a_planner_sees(self, changed: Skill) -> None:
        others = [skill for skill in SKILLS if skill is not REPORT]
        assert Catalog.of([changed, *others]).fingerprint != CATALOG.fingerprint

    def test_it_changes_when_a_skill_comes_or_goes(self) -> None:
        fingerprints = {Catalog.of(SKILLS[:count]).fingerprint for count in range(len(SKILLS) + 1)}
        assert len(fingerprints) == len(SKILLS) + 1

    def test_what_no_planner_sees_does_not_change_it(self) -> None:
        same = replace(REPORT, agent_version="9.9.9", timeout_seconds=3.0)
        assert Catalog.of([same]).fingerprint == Catalog.of([REPORT]).fingerprint

    def test_it_is_the_same_in_every_process(self) -> None:
        script = "from tests.core.skills import CATALOG; print(CATALOG.fingerprint)"
        outputs = {
            subprocess.run(
                [sys.executable, "-c", script],
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                check=True,
                text=True,
            ).stdout.strip()
            for seed in ("0", "4242")
        }
        assert outputs == {CATALOG.fingerprint}


class TestDigest:
    def test_it_covers_schemas_and_effect_and_nothing_else(self) -> None:
        assert replace(REPORT, description="x", tags=("y",), timeout_seconds=1.0).digest == REPORT.digest
        for changed in (
            replace(REPORT, effect=Effect.IDEMPOTENT),
            replace(REPORT, input_schema=record(entity=TEXT)),
            replace(REPORT, output_schema=record(entity=TEXT)),
        ):
            assert changed.digest != REPORT.digest


class TestParts:
    def test_skills_are_in_the_order_of_their_ids(self) -> None:
        assert list(CATALOG.skills) == sorted(CATALOG.skills)
        assert len(CATALOG) == len(SKILLS)

    def test_only_the_skills_that_are_named_and_that_there_are(self) -> None:
        assert list(CATALOG.only([TRENDS.id, REPORT.id, "nobody__does"]).skills) == [TRENDS.id, REPORT.id]

    @pytest.mark.parametrize(
        ("limit", "allowed"),
        [
            (Effect.READ_ONLY, {REPORT.id}),
            (Effect.IDEMPOTENT, {REPORT.id, STORE.id}),
            (Effect.SIDE_EFFECT, {REPORT.id, STORE.id, MESSAGE.id}),
        ],
    )
    def test_only_the_skills_that_change_no_more_than_allowed(self, limit: Effect, allowed: set[str]) -> None:
        assert set(Catalog.of([REPORT, STORE, MESSAGE]).within(limit).skills) == allowed

    def test_an_empty_catalog_is_false(self) -> None:
        assert not Catalog.of([])
        assert CATALOG

    def test_a_catalog_never_changes(self) -> None:
        with pytest.raises(TypeError):
            CATALOG.skills["x"] = REPORT  # type: ignore[index]  # that is the point

    def test_a_skill_without_an_input_schema_takes_no_argument(self) -> None:
        assert ENTITIES.check_arguments.mismatches({}) == ()
        (mismatch,) = ENTITIES.check_arguments.mismatches({"x": 1})
        assert (mismatch.keyword, mismatch.names) == ("additionalProperties", ("x",))


class TestNearest:
    @pytest.mark.parametrize(
        ("name", "close"),
        [
            ("data_agent__get_raport", "data_agent__get_report"),
            ("get_trends", "analytics_agent__get_trends"),
            ("data-agent.list_entities", "data_agent__list_entities"),
            ("weather", None),
            ("", None),
            ("x" * 1_000_000, None),
        ],
    )
    def test_a_misspelt_skill_has_a_nearest_one(self, name: str, close: str | None) -> None:
        assert nearest(name, CATALOG.skills) == close

    @pytest.mark.parametrize("count", [3, 3000])
    def test_it_does_not_depend_on_the_order_of_what_is_known(self, count: int) -> None:
        known = [f"scan_{number}" for number in range(count)]
        assert nearest("scan", known) == nearest("scan", known[::-1])

    def test_of_a_great_many_the_right_one_is_found_though_few_are_compared_closely(self) -> None:
        known = [f"agent{agent}__some_skill_name_{skill}" for agent in range(3) for skill in range(1000)]
        assert nearest("agent2__some_skil_name_731", known) == "agent2__some_skill_name_731"


def test_a_skill_can_be_compared_and_changed_like_a_value() -> None:
    assert replace(REPORT) == REPORT
    assert replace(REPORT, input_schema=record(entity=INTEGER)) != REPORT
