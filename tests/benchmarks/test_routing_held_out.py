"""The questions that nobody tunes the planner on: enough of each class, and none of them seen before."""

from __future__ import annotations

import re
from collections import Counter

from benchmarks.routing.measure import Router
from benchmarks.routing.questions import HELD_OUT, load_catalog, load_questions
from benchmarks.routing.scoring import KINDS
from orchestrator_svc.adapters.offline.thresholds import WORDS_ONLY
from orchestrator_svc.core.catalog import Catalog

QUESTIONS = load_questions(HELD_OUT)


def test_there_are_twelve_questions_or_more_of_each_class_over_both_catalogs() -> None:
    assert len(QUESTIONS) >= 60
    assert min(Counter(question.kind for question in QUESTIONS).values()) >= 12
    assert {question.kind for question in QUESTIONS} == set(KINDS)
    assert {question.catalog for question in QUESTIONS} == {"mesh", "shop"}


def test_every_question_expects_skills_and_arguments_that_its_catalog_has() -> None:
    for question in QUESTIONS:
        catalog = load_catalog(question.catalog)
        for step in question.steps.values():
            assert step.skill in catalog.skills, question.number
            assert set(step.arguments) <= _arguments(step.skill, catalog), question.number
            assert step.needs <= set(question.steps), question.number


def test_the_class_of_a_question_is_the_mode_of_the_plan_that_it_expects() -> None:
    for question in QUESTIONS:
        if any(step.needs for step in question.steps.values()):
            expected = "sequential"
        else:
            expected = {0: "none", 1: "single"}.get(len(question.steps), "parallel")
        assert question.kind == expected, question.number


def test_no_question_is_one_of_those_that_the_planner_was_built_with_or_an_example_on_a_card() -> None:
    seen = {_bare(question.text) for question in load_questions()}
    seen |= {
        _bare(example)
        for name in ("mesh", "shop")
        for skill in load_catalog(name).skills.values()
        for example in skill.examples
    }
    assert not [question.text for question in QUESTIONS if _bare(question.text) in seen]


def test_more_than_half_of_them_are_routed_right() -> None:
    """A floor, not a goal: `make bench-routing` prints the figure, the README quotes it."""
    assert Router(None).measure(QUESTIONS, WORDS_ONLY).overall.share > 0.5


def _arguments(skill: str, catalog: Catalog) -> set[str]:
    properties = catalog.skills[skill].input_schema.get("properties")
    assert isinstance(properties, dict)
    return set(properties)


def _bare(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9_-]+", text.lower()))
