"""A question is taken apart by its grammar: what comes first, what depends on what, what stands side by side."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_svc.adapters.offline.clauses import Link, Reading, Role, read
from orchestrator_svc.adapters.offline.mentions import find_mentions

ALONE, THEN, IF, EACH = Link.ALONE, Link.THEN, Link.IF, Link.EACH


def reading(text: str) -> Reading:
    return read(text, find_mentions(text, ("harbour",)))


def stages(text: str) -> list[tuple[Link, str]]:
    """The stages, clauses joined by ` | `; marked are conditions with `?`, opposites with `!`, scopes with `*`."""
    marks = {Role.REQUEST: "{}", Role.CONDITION: "({})?", Role.CONTRARY: "({})!", Role.SCOPE: "({})*"}
    return [
        (stage.link, marks[stage.role].format(" | ".join(text[slice(*clause.span)] for clause in stage.clauses)))
        for stage in reading(text).stages
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Show the loans.", [(ALONE, "Show the loans")]),
        ("Show the loans. List the books!", [(ALONE, "Show the loans"), (ALONE, "List the books")]),
        ("Could you please show the loans, please?", [(ALONE, "show the loans")]),
        ("Show the loans, then the books", [(ALONE, "Show the loans"), (THEN, "the books")]),
        ("First show the loans and after that, the books", [(ALONE, "show the loans"), (THEN, "the books")]),
        (
            "Show loans, next the books, and finally the hours",
            [(ALONE, "Show loans"), (THEN, "the books"), (THEN, "the hours")],
        ),
        ("Show the loans. Then list the books.", [(ALONE, "Show the loans"), (THEN, "list the books")]),
        ("Show the loans of the next 3 days", [(ALONE, "Show the loans of the next 3 days")]),
        ("Before you list the books, show the loans", [(ALONE, "show the loans"), (THEN, "you list the books")]),
        ("List the books before you show the loans", [(ALONE, "List the books"), (THEN, "you show the loans")]),
        ("After listing the books, show the loans", [(ALONE, "listing the books"), (THEN, "show the loans")]),
        ("Show the loans after listing the books", [(ALONE, "listing the books"), (THEN, "Show the loans")]),
        ("If a book is late, show the loan", [(ALONE, "(a book is late)?"), (IF, "show the loan")]),
        ("Show the loan if a book is late", [(ALONE, "(a book is late)?"), (IF, "Show the loan")]),
        ("Find late books; if any, show them", [(ALONE, "Find late books"), (ALONE, "(any)?"), (IF, "show them")]),
        (
            "Find late books and, when there are some, show the loans",
            [(ALONE, "Find late books"), (ALONE, "(there are some)?"), (IF, "show the loans")],
        ),
        (
            "Find late books, then if found, show the loans",
            [(ALONE, "Find late books"), (THEN, "(found)?"), (IF, "show the loans")],
        ),
        ("Show the loan unless it is late", [(ALONE, "(unless it is late)?"), (IF, "Show the loan")]),
        ("Unless it is late, show the loan", [(ALONE, "(Unless it is late)?"), (IF, "show the loan")]),
        (
            "If it is late, show the loan, otherwise the book",
            [(ALONE, "(it is late)?"), (IF, "show the loan"), (ALONE, "(otherwise)!"), (IF, "the book")],
        ),
        ("Is a book late? Then show it.", [(ALONE, "Is a book late"), (IF, "show it")]),
        ("Check if a book is late", [(ALONE, "Check if a book is late")]),
        ("When is the library open, and where?", [(ALONE, "When is the library open | where")]),
        ("For each book, show the author", [(ALONE, "(book)*"), (EACH, "show the author")]),
        ("Show the author for every book", [(ALONE, "(book)*"), (EACH, "Show the author")]),
        (
            "List the books and show the author of each of them",
            [(ALONE, "List the books"), (ALONE, "(of them)*"), (EACH, "show the author of each")],
        ),
        ("Show the loans of every 3 days", [(ALONE, "Show the loans of every 3 days")]),
        ("Show the loans and list the books", [(ALONE, "Show the loans | list the books")]),
        ("Show the loans, list the books, and tell me the hours",
         [(ALONE, "Show the loans | list the books | tell me the hours")]),
        ("Where is it, and how much does it cost?", [(ALONE, "Where is it | how much does it cost")]),
        ("the loan and report of today", [(ALONE, "the loan and report of today")]),
        ("", []),
        ("?!", []),
        ("and then", []),
    ],
)  # fmt: skip
def test_stages_are_in_the_order_of_time(text: str, expected: list[tuple[Link, str]]) -> None:
    assert stages(text) == expected


def units(text: str) -> list[str]:
    (stage,) = reading(text).stages
    return [text[slice(*unit)] for clause in stage.clauses for unit in clause.units]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the loans, the books and the hours", ["the loans", "the books", "the hours"]),
        ("the loans as well as the books, plus the hours", ["the loans", "the books", "the hours"]),
        ("the loans together with the books", ["the loans", "the books"]),
        ("the book 'War and Peace' and the loans", ["the book 'War and Peace'", "the loans"]),
    ],
)
def test_a_clause_joins_units(text: str, expected: list[str]) -> None:
    assert units(text) == expected


@pytest.mark.parametrize("text", ["For the harbour: show the loans", "For the harbour, show the loans"])
def test_what_everything_is_about_stands_apart(text: str) -> None:
    found = reading(text)
    assert [text[slice(*context)].removeprefix("For ") for context in found.contexts] == ["the harbour"]
    assert stages(text) == [(ALONE, "show the loans")]


PIECES = st.sampled_from(
    [
        "show",
        "the loans",
        "and",
        "then",
        "if",
        ",",
        ".",
        ":",
        "before",
        "after",
        "for each",
        "every",
        "when found",
        "#",
        "'",
    ]
)


@given(st.lists(PIECES, max_size=60).map(" ".join) | st.text(max_size=200))
def test_any_text_is_read_in_spans_of_it(text: str) -> None:
    found = reading(text)
    for stage in found.stages:
        for clause in stage.clauses:
            for start, end in (clause.span, *clause.units):
                assert 0 <= start <= end <= len(text)
