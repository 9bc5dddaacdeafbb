"""The history of analytics_agent: its store, the recording, and which of the two speaks."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from agent_svcs.analytics_agent.history import CONTEXT_SECONDS, LIVE_ROUNDS, History
from agent_svcs.analytics_agent.recordings import Recording, RecordingUnreadable, read_recording, write_recording
from agent_svcs.analytics_agent.series import Round, Series
from agent_svcs.analytics_agent.store import Store

CPU = ("host", "cpu_percent")
FDS = ("data_agent", "open_fds")


def _round(at: float, cpu: float = 1.0) -> Round:
    return Round(at, {CPU: cpu, FDS: 2.0 * cpu})


@pytest.fixture
def store() -> Iterator[Store]:
    with Store(None, retention_seconds=3600.0) as opened:
        yield opened


def test_what_was_sampled_is_read_back_in_order_of_time(store: Store) -> None:
    for at in (30.0, 10.0, 20.0):
        store.append(_round(at, cpu=at))
    cpu, nothing, fds = store.read([CPU, ("host", "load_1m"), FDS], start=15.0)
    assert (cpu.component, cpu.metric, cpu.at.tolist(), cpu.values.tolist()) == (*CPU, [20.0, 30.0], [20.0, 30.0])
    assert fds.values.tolist() == [40.0, 60.0]
    assert nothing.values.size == nothing.at.size == 0
    assert (store.newest(), store.rounds_since(15.0)) == (30.0, 2)


def test_an_empty_store_says_so(store: Store) -> None:
    assert (store.newest(), store.rounds_since(0.0)) == (None, 0)
    assert [one.values.size for one in store.read([CPU], 0.0)] == [0]


def test_what_is_older_than_the_retention_is_gone(store: Store) -> None:
    for at in range(0, 10_000, 100):
        store.append(_round(float(at)))
    assert store.rounds_since(0.0) == 37
    assert [one.at[0] for one in store.read([CPU, FDS], 0.0)] == [6300.0, 6300.0]


def test_a_second_round_of_the_same_moment_replaces_the_first(store: Store) -> None:
    store.append(_round(1.0, cpu=1.0))
    store.append(_round(1.0, cpu=9.0))
    assert store.rounds_since(0.0) == 1
    assert store.read([CPU], 0.0)[0].values.tolist() == [9.0]


def test_a_store_in_a_file_outlives_its_process(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "history.sqlite3"
    with Store(path, 3600.0) as first:
        first.append(_round(1.0))
    with Store(path, 3600.0) as second:
        assert second.newest() == 1.0
        second.append(_round(2.0))
        assert second.read([CPU], 0.0)[0].at.tolist() == [1.0, 2.0]


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("this is no database" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        Store(tmp_path / "text", 3600.0)


def test_many_threads_may_write_and_read_at_once(store: Store) -> None:
    def work(number: int) -> None:
        for step in range(40):
            store.append(_round(1000.0 + number + step / 100.0))
            store.read([CPU, FDS], 0.0)

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(work, range(6))) == [None] * 6  # or it raises what a thread raised
    assert store.rounds_since(0.0) == 240


def test_names_from_elsewhere_cannot_change_the_statements(store: Store) -> None:
    store.append(_round(1.0))
    assert store.read([("host'; DROP TABLE sample; --", "x")], 0.0)[0].values.size == 0
    assert store.read([CPU], 0.0)[0].values.size == 1


def _recording(seconds: int = 300) -> Recording:
    at = 1000.0 + np.arange(seconds, dtype=np.float64)
    series = {CPU: Series(*CPU, at, np.arange(seconds, dtype=np.float64))}
    return Recording({"started": "1970-01-01T00:16:40Z"}, 1000.0, float(at[-1]), series)


def test_the_recording_speaks_until_there_are_enough_live_rounds(store: Store) -> None:
    history = History(store, _recording(), interval_seconds=5.0)
    for number in range(LIVE_ROUNDS):
        window = history.window([CPU], 3600.0)
        assert (window.source, window.start, window.end) == ("recording", 1000.0, 1299.0)
        assert f"too few so far: {number} of the {LIVE_ROUNDS} rounds" in window.note
        store.append(_round(50_000.0 + 5.0 * number))
    window = history.window([CPU], 3600.0)
    newest = 50_000.0 + 5.0 * (LIVE_ROUNDS - 1)
    assert (window.source, window.start, window.end) == ("live", newest - 3600.0, newest)
    assert [one.values.size for one in window.series] == [LIVE_ROUNDS]


def test_a_short_window_of_live_samples_is_live_too_and_has_context_before_it(store: Store) -> None:
    history = History(store, _recording(), interval_seconds=5.0)
    for number in range(800):
        store.append(_round(50_000.0 + 5.0 * number))
    window = history.window([CPU], 60.0)
    assert (window.source, window.end - window.start) == ("live", 60.0)
    assert window.end - window.series[0].at[0] == min(CONTEXT_SECONDS, 3600.0)


def test_a_store_kept_over_a_pause_counts_from_its_new_beginning() -> None:
    with Store(None, retention_seconds=1e6) as store:
        history = History(store, _recording(), interval_seconds=5.0)
        for number in range(500):
            store.append(_round(5.0 * number))
        store.append(_round(900_000.0))
        assert history.window([CPU], 3600.0).source == "recording"


def test_a_window_in_the_recording_ends_at_its_newest_sample(store: Store) -> None:
    window = History(store, _recording(), 5.0).window([CPU, FDS], 60.0)
    assert (window.start, window.end) == (1239.0, 1299.0)
    assert [one.since(window.start).values.size for one in window.series] == [61, 0]


def test_a_long_series_is_thinned_to_means() -> None:
    series = Series(*CPU, np.arange(10.0), np.arange(10.0)).thinned(5)
    assert (series.at.tolist(), series.values.tolist()) == ([0.5, 2.5, 4.5, 6.5, 8.5], [0.5, 2.5, 4.5, 6.5, 8.5])


def test_a_recording_is_read_as_it_was_written(tmp_path: Path) -> None:
    text = io.StringIO()
    rounds = [Round(100.0, {CPU: 1.0}), Round(101.0, {CPU: 2.25, FDS: 7.0}), Round(102.5, {FDS: 8.0})]
    write_recording(text, {"started": "1970-01-01T00:01:40+00:00", "fault": "none: it is made up"}, rounds)
    (tmp_path / "made.csv").write_text(text.getvalue())
    recording = read_recording(tmp_path / "made.csv")
    cpu, fds = recording.read([CPU, FDS], 0.0)
    assert (cpu.at.tolist(), cpu.values.tolist()) == ([100.0, 101.0], [1.0, 2.25])
    assert (fds.at.tolist(), fds.values.tolist()) == ([101.0, 102.5], [7.0, 8.0])
    assert (recording.started, recording.newest) == (100.0, 102.5)
    assert recording.about["fault"] == "none: it is made up"


HEAD = "# started: 2026-11-22T10:00:00+00:00\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no line `# started"),
        ("seconds,host.x\n0,1\n", "no line `# started"),
        (HEAD, "line 2 is no row of column names"),
        (HEAD + "seconds,host.x\n", "line 2 is no row of column names"),
        (HEAD + "time,host.x\n0,1\n", "line 2 is no row of column names"),
        (HEAD + "seconds,host\n0,1\n", "line 2 is no row of column names"),
        (HEAD + "seconds,host.x\n0,1\n1\n", "line 4 has 1 cells, not 2"),
        (HEAD + "seconds,host.x\n0,one\n", "line 3 has a cell that is no number"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(RecordingUnreadable, match=problem):
        read_recording(tmp_path / "bad.csv")
