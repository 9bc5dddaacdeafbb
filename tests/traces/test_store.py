"""The latest traces are kept, within bounds; what had to go is counted."""

from agentmesh.traces.store import Limits, TraceStore
from tests.traces.spans import span


def _ids(count: int) -> list[str]:
    return [f"{number:032x}" for number in range(1, count + 1)]


def test_the_oldest_trace_goes_first() -> None:
    store = TraceStore(Limits(traces=2))
    first, second, third = _ids(3)
    for trace_id in (first, second, first, third):
        store.add(span(len(store) + 1, trace_id=trace_id), 100)
    assert [trace.trace_id for trace in store.traces()] == [third, second]
    assert store.trace(first) is None
    assert store.counts.received == 4
    assert store.counts.dropped == store.counts.received - 2


def test_of_a_trace_that_is_too_large_the_root_stays_because_it_comes_last() -> None:
    store = TraceStore(Limits(spans_a_trace=3))
    for number in (5, 4, 3, 2):
        store.add(span(number, "leaf", parent=1), 100)
    store.add(span(1, "root"), 100)
    kept = store.trace(span(1).trace_id)
    assert kept is not None
    assert [one.name for one in kept.spans] == ["root", "leaf", "leaf"]
    assert store.counts.dropped == 2


def test_bytes_are_bounded_over_all_traces_even_by_a_single_span() -> None:
    store = TraceStore(Limits(total_bytes=250))
    ids = _ids(5)
    for trace_id in ids:
        store.add(span(1, trace_id=trace_id), 100)
    assert [trace.trace_id for trace in store.traces()] == [ids[4], ids[3]]
    store.add(span(1, trace_id="f" * 32), 251)
    assert len(store) == 0
    assert store.counts.dropped == 6
    store.add(span(1, trace_id=ids[0]), 250)
    assert len(store) == 1, "what went is not counted as kept"


def test_a_span_that_comes_twice_counts_once() -> None:
    store = TraceStore()
    store.add(span(1, "first"), 100)
    store.add(span(1, "again"), 100)
    kept = store.trace(span(1).trace_id)
    assert kept is not None
    assert [one.name for one in kept.spans] == ["first"]
    assert store.counts.repeated == 1
