"""What every `SkillRanker` promises. A new implementation is added to `RANKERS`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agentmesh.cards import Effect
from orchestrator_svc.adapters.bm25_skill_ranker import Bm25SkillRanker
from orchestrator_svc.app.ports.skill_ranker import SkillRanker
from orchestrator_svc.core.catalog import Catalog, Skill

RANKERS: dict[str, Callable[[], SkillRanker]] = {"bm25": Bm25SkillRanker}

TOPICS = ("invoice", "parcel", "holiday", "salary", "meeting", "printer", "visitor", "licence", "contract", "training")
VERBS = ("list", "show", "create", "archive", "search")


@pytest.fixture(params=RANKERS)
def ranker(request: pytest.FixtureRequest) -> SkillRanker:
    return RANKERS[request.param]()


def skill(agent: str, name: str, description: str, *examples: str) -> Skill:
    return Skill(agent, name, description, Effect.READ_ONLY, examples=examples)


FORECAST = skill("weather_agent", "get_forecast", "Predict rain and temperature of a city.", "Will it snow in Oslo?")
LARGE = Catalog.of(
    [
        FORECAST,
        *(
            skill(f"{topic}_agent", f"{verb}_{topic}", f"Can {verb} any {topic} of the office.")
            for topic in TOPICS
            for verb in VERBS
        ),
    ]
)


@pytest.mark.parametrize(
    ("query", "best"),
    [
        ("What temperature will the city have?", FORECAST.id),
        ("show me the forecast", FORECAST.id),
        ("Does it SNOW?!", FORECAST.id),
        ("archive the salary", "salary_agent__archive_salary"),
        ("I want to create a meeting", "meeting_agent__create_meeting"),
    ],
    ids=["description", "name", "example", "two words", "many words"],
)
def test_the_best_fit_comes_first(ranker: SkillRanker, query: str, best: str) -> None:
    assert ranker.rank(query, LARGE)[0] == best


def test_skills_of_the_topic_come_before_all_others(ranker: SkillRanker) -> None:
    best = ranker.rank("something about the printer and the visitor", LARGE)[:10]
    assert {identifier.split("_agent__")[0] for identifier in best} == {"printer", "visitor"}


@pytest.mark.parametrize(
    "query",
    ["the invoice of the parcel", "", " ", "?!", "天気", "xyzzy", "\x00\u2028", "invoice " * 5000],
    ids=["words", "empty", "blank", "marks", "foreign", "unknown", "controls", "long"],
)
def test_every_skill_is_there_exactly_once(ranker: SkillRanker, query: str) -> None:
    ranked = ranker.rank(query, LARGE)
    assert sorted(ranked) == list(LARGE.skills)


@pytest.mark.parametrize("query", ["", "xyzzy", "天気"], ids=["empty", "unknown", "foreign"])
def test_where_no_word_fits_skills_keep_the_order_of_their_ids(ranker: SkillRanker, query: str) -> None:
    assert ranker.rank(query, LARGE) == tuple(LARGE.skills)


def test_equal_fits_are_in_the_order_of_their_ids(ranker: SkillRanker) -> None:
    twins = [skill(f"agent{letter}", "work", "Counts sheep.") for letter in "dbac"]
    others = [skill("other_agent", "rest", "Sleeps."), skill("a_agent", "rest", "Dreams.")]
    ranked = ranker.rank("count the sheep", Catalog.of([*twins, *others]))
    assert ranked[:4] == ("agenta__work", "agentb__work", "agentc__work", "agentd__work")


def test_the_same_question_gives_the_same_order(ranker: SkillRanker) -> None:
    first = ranker.rank("show any contract", LARGE)
    assert [ranker.rank("show any contract", LARGE) for _ in range(3)] == [first] * 3


def test_a_catalog_that_changes_is_ranked_as_it_is_now(ranker: SkillRanker) -> None:
    ranker.rank("forecast", LARGE)
    smaller = LARGE.only([FORECAST.id, "salary_agent__show_salary"])
    assert ranker.rank("show the salary", smaller) == ("salary_agent__show_salary", FORECAST.id)


def test_one_skill_is_the_best(ranker: SkillRanker) -> None:
    assert ranker.rank("anything", Catalog.of([FORECAST])) == (FORECAST.id,)
