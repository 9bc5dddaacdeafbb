"""Values are found in a question where they stand, as what they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_svc.adapters.offline.mentions import Kind, find_mentions

KNOWN = ("main_street", "harbour", "EUR")


def found(text: str) -> list[tuple[Kind, str]]:
    return [(mention.kind, mention.text) for mention in find_mentions(text, KNOWN)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the shelf of 'War and Peace'", [(Kind.QUOTED, "War and Peace")]),
        ('called "a b" or `c d`', [(Kind.QUOTED, "a b"), (Kind.QUOTED, "c d")]),
        ("it's the reader's book, isn't it", []),
        ("hours of Main Street", [(Kind.KNOWN, "main_street")]),
        ("hours of main-street and the HARBOUR", [(Kind.KNOWN, "main_street"), (Kind.KNOWN, "harbour")]),
        ("the harbours", []),
        ("reader R-77's fines", [(Kind.IDENTIFIER, "R-77")]),
        ("look at loan_service on 10.0.0.7:80", [(Kind.IDENTIFIER, "loan_service"), (Kind.IDENTIFIER, "10.0.0.7:80")]),
        ("write to ann@example.org.", [(Kind.IDENTIFIER, "ann@example.org")]),
        ("an up-to-date e-book", []),
        ("in Oslo and New York", [(Kind.NAME, "Oslo"), (Kind.NAME, "New York")]),
        ("Show CPU and RAM", []),
        ("Oslo is a city", []),
        ("show it for lisbon", [(Kind.WORD, "lisbon")]),
        ("show it for me please", []),
    ],
)
def test_texts_are_found_as_what_they_are(text: str, expected: list[tuple[Kind, str]]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("the last 2 hours", 7200),
        ("for the next three days", 259200),
        ("over the past hour", 3600),
        ("in a week", 604800),
        ("half an hour ago", 1800),
        ("within a couple of minutes", 120),
        ("a 5 day forecast", 432000),
        ("a 90-minute window", 5400),
        ("the last 3h", 10800),
        ("1.5 hours", 5400),
        ("the past year", 31536000),
    ],
)
def test_spans_of_time_are_found_in_seconds(text: str, seconds: float) -> None:
    (mention,) = find_mentions(text, ())
    assert (mention.kind, mention.number) == (Kind.DURATION, seconds)


def test_a_number_has_its_unit_and_the_word_before_it() -> None:
    weight, amount, room = find_mentions("send 2.5 kg, pay 1,250 EUR, enter room 12", ())
    assert (weight.number, weight.unit, weight.before) == (2.5, "kg", "send")
    assert (amount.number, amount.unit) == (1250, "eur")
    assert (room.number, room.unit, room.before) == (12, "", "room")


def test_the_word_before_an_identifier_says_what_it_is_of() -> None:
    for text in (
        "order A-17",
        "order number A-17",
        "order no. A-17",
        "order #A-17",
        "order code: A-17",
        "order 'A-17'",
    ):
        (mention,) = find_mentions(text, ())
        assert (mention.text, mention.before) == ("A-17", "order"), text


@given(st.text(max_size=200))
def test_in_any_text_mentions_are_in_order_and_do_not_overlap(text: str) -> None:
    mentions = find_mentions(text, KNOWN)
    places = [place for mention in mentions for place in (mention.start, mention.end)]
    assert places == sorted(places)
    assert all(0 <= mention.start < mention.end <= len(text) for mention in mentions)
