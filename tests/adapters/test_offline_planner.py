"""The planner without a model: which plans questions become, and where it abstains."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmesh.cards import Effect
from agentmesh.deadline import Deadline
from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.adapters.offline.embeddings import WordllamaEmbedder, installed
from orchestrator_svc.adapters.offline_planner import OfflinePlanner
from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.app.ports.planner import PlanSource, Question, Role, Turn
from orchestrator_svc.core.catalog import Catalog
from orchestrator_svc.core.plan import Mode
from orchestrator_svc.core.validate import validate
from tests.adapters.offline_catalog import DAYS, LIBRARY, TEXT, record, rows, skill

PLANNER = OfflinePlanner(WordllamaEmbedder() if installed() else None)
BY_WORDS = OfflinePlanner()
BOOK = "978-0-261-10236-9"


def steps(query: str, *history: str, catalog: Catalog = LIBRARY) -> list[JsonObject]:
    """The plan's steps, the same with embeddings and without; it validates."""
    question = Question(query, tuple(Turn(Role.USER, text) for text in history))
    plan = PLANNER.plan(question, catalog)
    assert BY_WORDS.plan(question, catalog) == plan
    validate(plan, catalog)
    return cast("list[JsonObject]", plan["steps"])


def calls(query: str, *history: str, catalog: Catalog = LIBRARY) -> list[tuple[str, Json]]:
    return [(str(step["skill"]).split("__")[1], step["arguments"]) for step in steps(query, *history, catalog=catalog)]


# --- one skill -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (f"Look up the book {BOOK}", ("find_book", {"isbn": BOOK})),
        ("Show the fines of reader R-77", ("get_reader", {"reader": "R-77"})),
        ("What are the opening hours at the harbour?", ("opening_hours", {"branch": "harbour"})),
        ("opening hours of Main Street", ("opening_hours", {"branch": "main_street"})),
        ("opening hours", ("opening_hours", {})),
        ("R-77?", ("get_reader", {"reader": "R-77"})),
        ("List the overdue loans of the last 2 weeks", ("list_overdue", {"since_days": 14})),
        (
            "Which loans are overdue at the university over the past 3 weeks?",
            ("list_overdue", {"since_days": 21, "branch": "university"}),
        ),
        ("Reserve a room for 6 people with a projector", ("reserve_room", {"people": 6, "projector": True})),
        ("Please reserve a reading room for 4 people", ("reserve_room", {"people": 4})),
    ],
)
def test_a_question_becomes_one_step_with_the_values_it_mentions(query: str, expected: tuple[str, Json]) -> None:
    assert calls(query) == [expected]


def test_a_span_of_time_beyond_what_the_skill_takes_becomes_the_longest_it_takes() -> None:
    assert calls("Which loans are overdue since the last 3 years?") == [("list_overdue", {"since_days": 365})]


def test_a_value_that_the_schema_refuses_is_not_passed_on() -> None:
    assert calls("Reserve a room for 0 people") == []


def test_what_looks_like_an_expression_stays_text() -> None:
    free = Catalog.of([skill("shop_agent", "find_article", "Find articles by their text.", record(text=TEXT), {})])
    assert calls("Find the articles with the text '${HOME}'", catalog=free) == [("find_article", {"text": "$${HOME}"})]


def test_a_list_takes_all_values() -> None:
    ids: JsonObject = {"type": "array", "items": {"type": "string"}, "description": "Such as `R-1`."}
    many = Catalog.of([skill("loan_agent", "block_cards", "Show the cards of readers.", record(readers=ids), {})])
    assert calls("Show the cards of R-3 and R-4", catalog=many) == [("block_cards", {"readers": ["R-3", "R-4"]})]


# --- none ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "Sing me a song",
        "Good evening!",
        "?",
        "the harbour",
        "What is the biography of?",
        "Delete reader R-77",
        "Please update the shelf of the book 978-0-261-10236-9",
        "Cancel the loans and the fines of reader R-77",
        "How do I reserve a reading room?",
        "Is a reading room reserved for 6 people?",
    ],
)
def test_it_abstains_where_nothing_surely_fits(query: str) -> None:
    assert steps(query) == []


def test_only_the_part_that_fits_is_planned() -> None:
    assert calls("Sing me a song and list the overdue loans") == [("list_overdue", {})]


# --- side by side ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("fines of R-1, R-2 and R-3", [("get_reader", {"reader": f"R-{number}"}) for number in (1, 2, 3)]),
        (
            "Show the opening hours and the overdue loans of the harbour",
            [("opening_hours", {"branch": "harbour"}), ("list_overdue", {"branch": "harbour"})],
        ),
        (
            "For the harbour: show the opening hours and list the overdue loans",
            [("opening_hours", {"branch": "harbour"}), ("list_overdue", {"branch": "harbour"})],
        ),
        (
            "Check the fines of reader R-77. Also, what are the opening hours of the university?",
            [("get_reader", {"reader": "R-77"}), ("opening_hours", {"branch": "university"})],
        ),
        ("title, author and shelf of the book 978-0-261-10236-9", [("find_book", {"isbn": BOOK})]),
    ],
)
def test_independent_requests_have_no_edges(query: str, expected: list[tuple[str, Json]]) -> None:
    assert calls(query) == expected
    assert validate({"steps": [*steps(query)]}, LIBRARY).mode is not Mode.SEQUENTIAL


# --- one after the other ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        f"Find the book {BOOK}, then the biography of its author",
        f"After looking up the book {BOOK}, give me the biography of the author",
        f"Before you show the biography of the author, look up the book {BOOK}",
        f"Biography of the author of the book {BOOK}",
        f"Show the book {BOOK}'s author biography",
        f"Look up the book {BOOK}, followed by the biography of its author",
    ],
)
def test_what_a_step_lacks_comes_from_the_step_before(query: str) -> None:
    found, author = steps(query)
    assert found == {"id": "find_book", "skill": "book_agent__find_book", "arguments": {"isbn": BOOK}}
    assert author["arguments"] == {"author_id": "${find_book.author_id}"}


def test_then_without_data_is_an_order_of_steps() -> None:
    _, hours = steps("Show the fines of reader R-7, then the opening hours")
    assert hours["depends_on"] == ["get_reader"]


@pytest.mark.parametrize(
    ("words", "when"),
    [
        ("Are there overdue loans? If so,", "size(list_overdue.loans) > 0"),
        ("List overdue loans, then if any are found,", "size(list_overdue.loans) > 0"),
        ("If no loans are overdue,", "size(list_overdue.loans) == 0"),
        ("If more than 5 loans are overdue,", "size(list_overdue.loans) > 5"),
        ("If the total of overdue loans is at least 10,", "list_overdue.total >= 10.0"),
        ("Unless loans are overdue,", "size(list_overdue.loans) == 0"),
        ("Unless more than 3 loans are overdue,", "size(list_overdue.loans) <= 3"),
        ("Should any loans be overdue,", "size(list_overdue.loans) > 0"),
        ("Are any loans overdue? Then", "size(list_overdue.loans) > 0"),
    ],
)
def test_a_condition_is_one_over_the_earlier_result(words: str, when: str) -> None:
    _, hours = steps(f"{words} tell me the opening hours of the university")
    assert hours["arguments"] == {"branch": "university"}
    assert hours["when"] == when


def test_otherwise_is_the_opposite_of_the_last_condition() -> None:
    _, reader, hours = steps("If loans are overdue, show the fines of the reader, otherwise tell me the opening hours")
    assert (reader["when"], hours["when"]) == ("size(list_overdue.loans) > 0", "size(list_overdue.loans) == 0")


def test_an_argument_out_of_a_list_is_guarded() -> None:
    _, reader = steps("List the overdue loans and show the fines of that reader")
    assert reader["arguments"] == {"reader": "${list_overdue.loans[0].reader}"}
    assert reader["when"] == "size(list_overdue.loans) > 0"


@pytest.mark.parametrize(
    "query",
    [
        "List overdue loans; for each of them get the fines of the reader",
        "For every overdue loan, show the fines of the reader",
        "Show the fines of the reader for each overdue loan",
        "Show the fines of the readers whose loans are overdue",
        "List the overdue loans and get the fines of the reader for all of them",
    ],
)
def test_for_each_goes_over_the_list_of_the_earlier_result(query: str) -> None:
    _, reader = steps(query)
    assert reader["for_each"] == "list_overdue.loans"
    assert reader["arguments"] == {"reader": "${item.reader}"}


def test_the_words_tell_which_of_several_lists_is_meant() -> None:
    two_lists = record(returned=rows(isbn=TEXT), lost=rows(isbn=TEXT))
    catalog = Catalog.of(
        [
            skill(
                "loan_agent", "list_events", "Events of the day: lost and returned books.", record(days=DAYS), two_lists
            ),
            *(each for each in LIBRARY.skills.values() if each.name == "find_book"),
        ]
    )
    for word in ("lost", "returned"):
        _, book = steps(f"Check the events for {word} books, then look up the book", catalog=catalog)
        assert book["arguments"] == {"isbn": f"${{list_events.{word}[0].isbn}}"}
        assert book["when"] == f"size(list_events.{word}) > 0"


# --- history ---------------------------------------------------------------------------------------------------------


def test_a_follow_up_asks_again_with_another_value() -> None:
    before = "Which loans are overdue at the harbour over the last 2 weeks?"
    assert calls("And at the university?", before) == [("list_overdue", {"since_days": 14, "branch": "university"})]
    assert calls("what about the last 3 days", before) == [("list_overdue", {"since_days": 3, "branch": "harbour"})]
    assert calls("And at the university?") == []


def test_history_does_not_change_a_question_that_stands_by_itself() -> None:
    assert calls("Show the fines of reader R-77", "List the overdue loans") == [("get_reader", {"reader": "R-77"})]
    assert calls("Sing me a song", "List the overdue loans") == []


# --- promises of the port --------------------------------------------------------------------------------------------


async def test_it_says_that_no_model_was_asked() -> None:
    ledger = Ledger(run_id="run")
    routing = await PLANNER.route(Question("opening hours"), LIBRARY, ledger, Deadline.after(30.0))
    assert (routing.source, routing.planner) == (PlanSource.OFFLINE, "offline")
    assert (ledger.llm_calls, ledger.llm_requests) == (0, 0)


def test_skills_that_are_not_offered_are_not_used() -> None:
    harmless = LIBRARY.within(Effect.READ_ONLY)
    assert calls("Reserve a reading room for 4 people", catalog=harmless) == []


def test_every_process_makes_the_same_plan() -> None:
    program = (
        "from tests.adapters.test_offline_planner import *\n"
        "for query in ('List overdue loans and the hours; for each get the reader', 'fines of R-1 and R-2'):\n"
        "    print(steps(query))"
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
    assert "list_overdue" in outputs.pop()


PHRASES = st.sampled_from([
    "the overdue loans", f"the book {BOOK}", "fines of reader R-7", "opening hours at the harbour", "biography", "it",
    "then", "if found,", "if there are more than 3 loans,", "for each of them", "before", "after", "and", ",", ".",
    "its author", "that reader", "list", "look up", "delete", "of the last 3 days", "none", "${x}", "'a'", "978", "?",
    "unless", "otherwise", "whose", "'s",
])  # fmt: skip


@given(st.lists(PHRASES, max_size=25).map(" ".join) | st.text(max_size=300))
def test_whatever_is_asked_the_plan_validates(query: str) -> None:
    validate(PLANNER.plan(Question(query), LIBRARY), LIBRARY)


FIELDS = st.sampled_from(["city", "cities", "id", "at", "count", "in", "Exchange Rate", "é"])
SCHEMAS: st.SearchStrategy[JsonObject] = st.recursive(
    st.sampled_from([TEXT, {"type": "integer"}, {"type": "boolean"}, {"enum": ["a", "b", 1]}, {}, {"const": "x"}]),
    lambda inner: st.one_of(
        st.dictionaries(FIELDS, inner, max_size=3).map(lambda members: record(**members)),
        inner.map(lambda items: {"type": "array", "items": items}),
        st.lists(inner, min_size=1, max_size=2).map(lambda options: {"anyOf": options}),
    ),
    max_leaves=6,
)
ODD_SKILLS = st.builds(
    lambda name, says, takes, gives: skill("some_agent", name, says, takes, gives),
    st.sampled_from(["list_cities", "get_city", "count", "size", "map"]),
    st.sampled_from(["Lists cities.", "A city by its id.", "", "Counts things in a city, e.g. A-1 or B-2."]),
    st.dictionaries(FIELDS, SCHEMAS, max_size=3).map(lambda members: record(**members)),
    SCHEMAS,
)


@given(
    st.lists(ODD_SKILLS, min_size=1, max_size=4).map(Catalog.of),
    st.lists(
        st.sampled_from(
            [
                "list the cities",
                "get the city A-1",
                "count",
                "then",
                "if any,",
                "for each city",
                "of Rome",
                "3",
                "that id",
            ]
        ),
        max_size=8,
    ).map(" ".join),
)
def test_whatever_the_cards_say_the_plan_validates(catalog: Catalog, query: str) -> None:
    validate(BY_WORDS.plan(Question(query), catalog), catalog)
