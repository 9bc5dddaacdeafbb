"""The tree of a trace, from spans that say anything about their parents."""

from hypothesis import given
from hypothesis import strategies as st

from agentmesh.traces.model import Trace
from agentmesh.traces.tree import walk
from tests.traces.spans import span, trace


def _shape(whole: Trace) -> list[tuple[int, str]]:
    return [(placed.depth, placed.span.name) for placed in walk(whole)]


def test_children_come_below_their_parent_by_their_beginning() -> None:
    whole = trace(
        span(1, "root", ms=50),
        span(2, "late", parent=1, at_ms=20),
        span(3, "early", parent=1, at_ms=10),
        span(4, "below", parent=3),
    )
    assert _shape(whole) == [(0, "root"), (1, "early"), (2, "below"), (1, "late")]
    assert [placed.is_last for placed in walk(whole)] == [True, False, True, True]


def test_a_span_whose_parent_is_missing_stands_at_the_top_and_is_marked() -> None:
    whole = trace(span(1, "root"), span(2, "stray", parent=9, at_ms=5))
    assert [(placed.span.name, placed.is_torn_off) for placed in walk(whole)] == [("root", False), ("stray", True)]


def test_of_a_circle_the_span_that_began_first_is_the_root() -> None:
    whole = trace(span(1, "a", parent=3, at_ms=1), span(2, "b", parent=1, at_ms=2), span(3, "c", parent=2, at_ms=3))
    assert _shape(whole) == [(0, "a"), (1, "b"), (2, "c")]


def test_a_span_that_is_its_own_parent_is_a_root() -> None:
    assert _shape(trace(span(1, "self", parent=1))) == [(0, "self")]


def test_a_trace_may_be_thousands_of_spans_deep() -> None:
    deep = trace(*(span(number, str(number), parent=number - 1, at_ms=number) for number in range(1, 5001)))
    placed = list(walk(deep))
    assert len(placed) == 5000
    assert placed[-1].depth == 4999


@given(st.lists(st.integers(0, 12), max_size=12))
def test_every_span_is_given_once_and_after_its_parent_whatever_the_parents_are(parents: list[int]) -> None:
    whole = trace(*(span(number, parent=parent, at_ms=number % 3) for number, parent in enumerate(parents, start=1)))
    placed = list(walk(whole))
    assert sorted(one.span.span_id for one in placed) == sorted(one.span_id for one in whole.spans)
    seen: dict[str, int] = {}
    for one in placed:
        if one.depth:
            assert seen[one.span.parent_id] == one.depth - 1
        seen[one.span.span_id] = one.depth
