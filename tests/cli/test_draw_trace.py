"""The waterfall: every span on a line, on one scale, whatever the trace is and however narrow the terminal."""

from __future__ import annotations

import io
import re
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from agentmesh.cli.draw_trace import Scale, plain_waterfall, waterfall
from agentmesh.cli.output import Line, PlainOutput, content
from agentmesh.cli.show_trace import show_trace
from agentmesh.cli.trace_view import views_of
from agentmesh.jsonvalues import Json
from agentmesh.telemetry import names
from agentmesh.traces.model import SpanEvent, SpanKind, SpanStatus, Trace
from agentmesh.traces.settling import Settled
from tests.cli.command import golden
from tests.cli.traces import a_partial_run
from tests.traces.spans import BEGAN_NS, MILLISECOND, span, trace


def _text(line: Line) -> str:
    return "".join(content(part) for part in line)


def _drawn(whole: Trace, columns: int = 100, *, marks: bool = True) -> list[str]:
    return [_text(line) for line in waterfall(whole, columns, marks=marks)]


def _plain(whole: Trace) -> str:
    stream = io.StringIO()
    show_trace(PlainOutput(stream), Settled(whole, ()))
    return stream.getvalue()


def test_in_a_pipe_it_is_text_that_stays_the_same() -> None:
    assert _plain(trace(*a_partial_run())) == golden("trace.txt")


def test_a_terminal_has_the_tree_on_the_left_and_bars_on_the_right() -> None:
    lines = _drawn(trace(*a_partial_run()), 120)
    assert lines[0].startswith("orchestrator: Orchestrator/Ask ")
    assert lines[0].endswith("█   1.24 s")
    assert lines[3].startswith("  │ └ chat some-model  812 tokens in, 96 out ")
    assert lines[5].startswith("  │ ├ ✗ → Agent/Execute  UNAVAILABLE ")
    assert lines[6].startswith("  │ │ ◆ attempt 1 failed: UNAVAILABLE, the next one after 50 ms")
    assert lines[8].startswith("  │   └ data_agent: Agent/Execute ")
    assert lines[13].startswith("  │ ◆ step conf skipped: UPSTREAM_FAILED, because of scan ")
    assert lines[14].startswith("  └ synthesize  after report, scan ")


def test_a_terminal_without_unicode_gets_ascii() -> None:
    lines = _drawn(trace(*a_partial_run()), 120, marks=False)
    assert all(line.isascii() for line in lines)
    assert lines[5].startswith("  | |-! > Agent/Execute  UNAVAILABLE ")


def test_a_narrow_terminal_has_no_bars_and_a_very_narrow_one_cut_names() -> None:
    assert _drawn(trace(*a_partial_run()), 50)[0] == "orchestrator: Orchestrator/Ask".ljust(38) + "    1.24 s"
    assert _drawn(trace(*a_partial_run()), 30)[0] == "orchestrator: Orch…   1.24 s"


Marks = Literal[True, False]
_marks: st.SearchStrategy[Marks] = st.sampled_from([True, False])
_names = st.text(st.sampled_from("a/界\x1b\n\u202e"), max_size=60)


@given(
    st.lists(st.tuples(_names, st.integers(0, 8), st.integers(-50, 50), st.integers(0, 100)), min_size=1, max_size=8),
    st.integers(25, 200),
    _marks,
)
def test_no_line_is_wider_than_the_terminal_and_no_control_character_is_in_one(
    spans: list[tuple[str, int, int, int]], columns: int, marks: Marks
) -> None:
    whole = trace(
        *(
            span(
                number,
                name,
                parent=parent,
                at_ms=at_ms,
                ms=ms,
                service=name[:20],
                events=(SpanEvent(name, BEGAN_NS + 30 * MILLISECOND),),
            )
            for number, (name, parent, ms, at_ms) in enumerate(spans, start=1)
        )
    )
    lines = _drawn(whole, columns, marks=marks)
    assert len(lines) == 2 * len(spans)
    assert max(map(cell_len, lines)) < columns
    assert not any(
        character in line for line in [*lines, *map(_text, plain_waterfall(whole))] for character in "\x1b\n\u202e"
    )


@pytest.mark.parametrize("marks", [True, False])
def test_a_bar_begins_and_ends_where_its_span_does(marks: Marks) -> None:
    scale = Scale(trace(span(1, ms=100)), 10, marks=marks)
    full, empty = ("█", " ") if marks else ("#", ".")

    def bar(at_ms: float, ms: float) -> str:
        start_ns = BEGAN_NS + round(at_ms * MILLISECOND)
        return scale.bar(start_ns, start_ns + round(ms * MILLISECOND))

    assert bar(0, 100) == full * 10
    assert bar(20, 30) == empty * 2 + full * 3 + empty * 5
    assert bar(0, 0).strip(empty), "the shortest is still seen"
    assert bar(100, 0).strip(empty)
    assert bar(90, -500).strip(empty)
    assert len(bar(99.9, 5000)) == 10


def test_a_bar_is_exact_to_half_a_cell() -> None:
    scale = Scale(trace(span(1, ms=100)), 10, marks=True)
    assert scale.bar(BEGAN_NS + 15 * MILLISECOND, BEGAN_NS + 35 * MILLISECOND) == " ▐█▌      "


def test_what_happened_in_a_span_stands_among_its_children_by_time() -> None:
    events = tuple(SpanEvent(f"at {at_ms}", BEGAN_NS + at_ms * MILLISECOND) for at_ms in (25, 5, 45))
    whole = trace(
        span(1, "root", ms=50, events=events),
        span(2, "first", parent=1, at_ms=10),
        span(3, "second", parent=1, at_ms=30),
    )
    words = [re.split(r"  | [█▐▌◆]", line.lstrip("├└│◆ "))[0] for line in _drawn(whole)]
    assert words == ["orchestrator: root", "at 5", "first", "at 25", "second", "at 45"]


def test_of_many_events_some_are_counted_only() -> None:
    events = tuple(SpanEvent("tick", BEGAN_NS) for _ in range(1000))
    lines = _drawn(trace(span(1, events=events)))
    assert len(lines) == 22
    assert "... and 980 more events" in lines[-1]


def test_thousands_of_spans_are_drawn_however_deep() -> None:
    deep = trace(*(span(number, parent=number - 1, at_ms=number) for number in range(1, 3001)))
    lines = _drawn(deep, 80)
    assert len(lines) == 3000
    assert max(map(cell_len, lines)) < 80


def test_a_terminal_is_not_flooded() -> None:
    class Wide(PlainOutput):
        columns = 80

    stream = io.StringIO()
    show_trace(Wide(stream), Settled(trace(*(span(number) for number in range(1, 1001))), ()))
    assert len(stream.getvalue().splitlines()) < 310
    assert "... and 700 more lines" in stream.getvalue()


def test_what_is_missing_is_said() -> None:
    stream = io.StringIO()
    show_trace(PlainOutput(stream), Settled(trace(span(1)), tuple(f"part {number}" for number in range(8))))
    assert "  incomplete: part 0\n" in stream.getvalue()
    assert "  incomplete: and 3 more are missing\n" in stream.getvalue()


def test_a_span_without_its_parent_stands_at_the_top_and_says_so() -> None:
    lines = _drawn(trace(span(1, "root"), span(2, "stray", parent=9)))
    assert lines[1].startswith("orchestrator: stray  its parent is missing")


def test_a_request_that_goes_on_with_its_callers_trace_lacks_nothing() -> None:
    asked = span(1, "agentmesh.v1.Orchestrator/Ask", parent=9, kind=SpanKind.SERVER)
    lines = _drawn(trace(asked, span(2, parent=1)))
    assert lines[0].startswith("orchestrator: Orchestrator/Ask  in the trace of its caller")


def test_a_failure_without_a_reason_is_an_error() -> None:
    (view,) = views_of(trace(span(1, status=SpanStatus.ERROR)))
    assert view.notes == (("ERROR", "red"),)


def test_attributes_of_other_kinds_than_expected_are_no_failure() -> None:
    numbers: dict[str, Json] = dict.fromkeys((names.STEP_ID, names.MODE, names.ERROR_TYPE, names.GEN_AI_OPERATION), 5)
    words: dict[str, Json] = dict.fromkeys(
        (names.ATTEMPT, names.STEP_ATTEMPTS, names.LLM_CALLS, names.SERVER_PORT), "x"
    )
    lists: dict[str, Json] = {key: ["a"] for key in (names.OUTCOME, names.PLAN_SOURCE, names.SERVER_ADDRESS)}
    event = SpanEvent(names.RETRY_EVENT, BEGAN_NS, {names.RETRY_PAUSE_SECONDS: "soon"})
    assert _plain(trace(span(1, attributes={**numbers, **words, **lists}, events=(event,))))
