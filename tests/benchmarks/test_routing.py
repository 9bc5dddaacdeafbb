"""The questions that measure the offline planner, and how much of them it routes right."""

from __future__ import annotations

from collections import Counter

import pytest
import yaml

from benchmarks.routing.measure import Measurement, Router, even
from benchmarks.routing.questions import QUESTIONS, load_catalog, load_questions
from benchmarks.routing.scoring import KINDS, judge
from benchmarks.routing.snapshot import cards_of_the_mesh
from orchestrator_svc.adapters.offline.embeddings import WordllamaEmbedder, installed
from orchestrator_svc.adapters.offline.thresholds import WITH_EMBEDDINGS, WORDS_ONLY

VARIANTS = ("words", "embeddings") if installed() else ("words",)


@pytest.fixture(scope="module", params=VARIANTS)
def measurement(request: pytest.FixtureRequest) -> Measurement:
    if request.param == "words":
        return Router(None).measure(even(load_questions()), WORDS_ONLY)
    return Router(WordllamaEmbedder()).measure(even(load_questions()), WITH_EMBEDDINGS)


def test_four_of_five_even_questions_are_routed_right(measurement: Measurement) -> None:
    assert measurement.overall.asked == len(load_questions()) // 2
    assert measurement.overall.share >= 0.80


@pytest.mark.parametrize("kind", KINDS)
def test_no_class_falls_under_three_of_five(measurement: Measurement, kind: str) -> None:
    assert measurement.tallies[kind].asked >= 12
    assert measurement.tallies[kind].share >= 0.60


def test_there_are_enough_questions_of_each_class_and_three_wordings_of_each_intent() -> None:
    questions = load_questions()
    assert len(questions) >= 60
    assert min(Counter(question.kind for question in questions).values()) >= 12
    assert [question.number for question in questions] == list(range(1, len(questions) + 1))
    assert {len(intent["ask"]) for intent in yaml.safe_load(QUESTIONS.read_text())} == {3}


def test_every_question_expects_what_its_catalog_has_and_its_class_says() -> None:
    for question in load_questions():
        assert {step.skill for step in question.steps.values()} <= set(load_catalog(question.catalog).skills)
        edges = any(step.needs for step in question.steps.values())
        kind = (
            "sequential"
            if edges
            else ("none", "single")[len(question.steps)]
            if len(question.steps) < 2
            else "parallel"
        )
        assert kind == question.kind, question.number


def test_the_catalog_of_the_mesh_has_the_skills_that_its_agents_have() -> None:
    """Texts may change without it; arguments and fields that plans refer to may not: run snapshot."""
    skills = {
        f"{card['name']}__{each['name']}": each
        for card in cards_of_the_mesh()
        for each in card["skills"]  # type: ignore[union-attr]  # a card is what card_to_json gives
        if isinstance(each, dict)
    }
    catalog = load_catalog("mesh")
    assert set(skills) == set(catalog.skills)
    for name, skill in catalog.skills.items():
        assert _names(skills[name]["input_schema"]) == _names(skill.input_schema), name
        assert _names(skills[name]["output_schema"]) == _names(skill.output_schema), name


def _names(schema: object) -> object:
    """The tree of field names."""
    if isinstance(schema, dict):
        properties = schema.get("properties", {})
        inner = {name: _names(member) for name, member in properties.items()}
        return [inner, *(_names(schema[key]) for key in ("items", "anyOf") if key in schema)]
    return [_names(each) for each in schema] if isinstance(schema, list) else None


ANOMALIES = next(question for question in load_questions() if question.kind == "sequential")


@pytest.mark.parametrize(
    ("second", "exact"),
    [
        ({"arguments": {"component": "${a.anomalies[0].component}"}, "when": "size(a.anomalies) > 0"}, True),
        ({"arguments": {"component": "host"}, "when": "size(a.anomalies) > 0"}, True),
        ({"arguments": {"component": "${a.anomalies[0].component}"}}, False),
        ({"arguments": {"component": "host"}, "depends_on": ["a"]}, False),
        ({"arguments": {"component": "host"}}, False),
        ({"arguments": {"component": "${item.component}"}, "for_each": "a.anomalies"}, False),
        ({"arguments": {"component": "host"}, "when": "size(b.anomalies) > 0"}, False),
    ],
)
def test_a_plan_is_right_only_with_the_edges_and_conditions_that_are_expected(
    second: dict[str, object],
    exact: bool,  # noqa: FBT001  # a column of the table
) -> None:
    first = {"id": "a", "skill": "analytics_agent__get_trends", "arguments": {}}
    plan = {"steps": [{"id": "b", "skill": "config_agent__check_config", **second}, first]}
    verdict = judge(ANOMALIES, plan, load_catalog("mesh"))  # type: ignore[arg-type]  # JSON, written out
    assert verdict.exact is exact
    assert verdict.arguments is (exact and "a.anomalies" in str(second["arguments"]))
