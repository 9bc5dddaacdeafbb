"""Which skills fit a question: the best first, all of them, the same order always."""

from __future__ import annotations

import os
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from agentmesh.cards import Effect
from orchestrator_svc.adapters.bm25_skill_ranker import Bm25SkillRanker
from orchestrator_svc.core.catalog import Catalog, Skill


def skill(agent: str, name: str, description: str = "", **parts: object) -> Skill:
    return Skill(agent, name, description, Effect.READ_ONLY, **parts)  # type: ignore[arg-type]  # fields by name


CATALOG = Catalog.of([
    skill("weather", "get_forecast", "Forecast of rain and temperature for a city."),
    skill("stock", "count_items", "How many pieces of an article are in the warehouse.", tags=("inventory",)),
    skill("billing", "create_invoice", "Writes an invoice.", examples=("Bill Ann for three hammers",)),
    skill("travel", "book", "Does it.", agent_description="Trains and flights."),
    skill("zoo", "feed", "Feeds an animal."),
])  # fmt: skip


def best(query: str, catalog: Catalog = CATALOG) -> str:
    return Bm25SkillRanker().rank(query, catalog)[0]


def test_every_part_of_a_card_counts() -> None:
    assert best("forecasts please") == "weather__get_forecast"
    assert best("are there pieces in the warehouse?") == "stock__count_items"
    assert best("what about the inventory?") == "stock__count_items"
    assert best("three hammers") == "billing__create_invoice"
    assert best("a flight") == "travel__book"


def test_words_match_in_their_inflected_forms() -> None:
    assert best("invoicing") == "billing__create_invoice"
    assert best("Temperatures?") == "weather__get_forecast"


def test_the_name_says_more_than_the_description() -> None:
    catalog = Catalog.of([
        skill("a", "other", "Orders a refund where the list of refunds is asked for."),
        skill("b", "list_refunds", "Gives what there is."),
    ])  # fmt: skip
    assert best("refunds", catalog) == "b__list_refunds"


def test_every_skill_is_there_and_equal_fits_are_in_the_order_of_their_ids() -> None:
    rain = Bm25SkillRanker().rank("rain", CATALOG)
    assert rain == ("weather__get_forecast", *(name for name in CATALOG.skills if name != "weather__get_forecast"))
    assert Bm25SkillRanker().rank("", CATALOG) == tuple(CATALOG.skills)
    assert Bm25SkillRanker().rank("the and of 42 ?!", CATALOG) == tuple(CATALOG.skills)
    assert Bm25SkillRanker().rank("quux", CATALOG) == tuple(CATALOG.skills)


def test_same_cards_fit_equally() -> None:
    catalog = Catalog.of([skill(f"agent{number}", "scan", "Finds anomalies.") for number in range(50)])
    assert Bm25SkillRanker().rank("anomalies in scans", catalog) == tuple(catalog.skills)


def test_catalogs_without_words_are_ranked() -> None:
    assert Bm25SkillRanker().rank("rain", Catalog.of([])) == ()
    wordless = Catalog.of([skill("x", "a"), skill("y", "b")])
    assert Bm25SkillRanker().rank("rain", wordless) == ("x__a", "y__b")


def test_another_catalog_gets_its_own_ranking() -> None:
    ranker = Bm25SkillRanker()
    for number in range(20):
        catalog = Catalog.of([skill("a", f"topic{chr(97 + number)}x"), skill("b", "other")])
        assert set(ranker.rank("rain", catalog)) == set(catalog.skills)
    assert ranker.rank("rain", CATALOG)[0] == "weather__get_forecast"


@given(st.text())
def test_any_question_ranks_every_skill_once(query: str) -> None:
    ranker = Bm25SkillRanker()
    ranked = ranker.rank(query, CATALOG)
    assert sorted(ranked) == list(CATALOG.skills)
    assert ranked == ranker.rank(query, CATALOG)


def test_every_process_ranks_alike() -> None:
    program = (
        "from tests.adapters.test_bm25_skill_ranker import CATALOG, Bm25SkillRanker\n"
        "print(Bm25SkillRanker().rank('invoice for items, trains, animals and rain in the city', CATALOG))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
