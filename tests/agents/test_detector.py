"""The anomaly detector of analytics_agent: what it finds, what it leaves alone, and how often it is right."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_svcs.analytics_agent.detector import LEAST_SAMPLES, detect
from agent_svcs.analytics_agent.robust import Values, drift, spread, theil_sen
from benchmarks.anomalies.__main__ import DETECTORS
from benchmarks.anomalies.generator import KINDS, SEED, generate
from benchmarks.anomalies.scoring import Score, score_by_kind

ROOT = Path(__file__).resolve().parents[2]


def _noise(length: int = 300, seed: int = 1) -> Values:
    return np.random.default_rng(seed).standard_normal(length)


@pytest.mark.parametrize("seeds", [(SEED,), (1, 2, 3)], ids=["the benchmark", "other series"])
def test_at_least_four_of_five_alarms_are_right_and_four_of_five_anomalies_are_found(seeds: tuple[int, ...]) -> None:
    scores = score_by_kind(DETECTORS["analytics_agent"], [one for seed in seeds for one in generate(seed)])
    overall = sum(scores.values(), Score())
    assert list(scores) == list(KINDS)
    assert overall.precision >= 0.8, scores
    assert overall.recall >= 0.8, scores


def test_the_benchmark_prints_precision_and_recall_of_each_class() -> None:
    command = [sys.executable, "-m", "benchmarks.anomalies"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    table = said.partition("\nanalytics_agent ")[2].splitlines()[1:]
    assert [line.split()[0] for line in table] == [*KINDS, "overall"]
    assert all(0.8 <= float(figure) <= 1.0 for figure in table[-1].split()[1:3])


@pytest.mark.parametrize("length", [0, 1, LEAST_SAMPLES - 1])
def test_nothing_is_said_of_a_series_that_is_too_short_to_know_what_is_ordinary(length: int) -> None:
    assert detect(np.append(np.zeros(max(length - 1, 0)), 100.0)[:length]) == []


@pytest.mark.parametrize(
    "values",
    [np.zeros(100), np.full(100, 12345.6), np.linspace(0.0, 50.0, 200), np.sin(np.arange(300) / 5.0)],
    ids=["zeros", "constant", "line", "sine"],
)
def test_a_series_without_noise_that_keeps_its_course_has_nothing_unusual(values: Values) -> None:
    assert detect(values, resolution=0.05) == []


def test_a_spike_in_a_constant_series_is_found_with_its_value_and_what_was_expected() -> None:
    values = np.full(100, 7.0)
    values[40] = 9.0
    (found,) = detect(values)
    assert (found.index, found.start, found.end, found.value, found.expected) == (40, 40, 40, 9.0, 7.0)
    assert found.score > 10.0


@pytest.mark.parametrize("at", [0, 1, 150, 298, 299])
def test_a_spike_is_found_wherever_it_is_the_newest_sample_included(at: int) -> None:
    values = _noise()
    values[at] += 12.0
    assert [one.index for one in detect(values) if one.score > 7.0] == [at]


def test_samples_that_are_unusual_together_are_one_finding_at_the_most_unusual() -> None:
    values = _noise()
    values[100:103] += (8.0, 15.0, 9.0)
    (found,) = [one for one in detect(values) if one.score > 7.0]
    assert (found.index, found.start, found.end) == (101, 100, 102)


@pytest.mark.parametrize("length", [8, 15, 30])
def test_a_plateau_is_one_finding_from_its_begin_to_its_end(length: int) -> None:
    values = _noise()
    values[120 : 120 + length] += 20.0
    (found,) = [one for one in detect(values) if one.score > 7.0]
    assert (found.start, found.end) == (120, 120 + length - 1)
    assert found.start <= found.index <= found.end
    assert found.expected == pytest.approx(0.0, abs=1.0)


def test_a_lasting_step_is_found_once_at_its_first_sample_and_the_new_level_is_ordinary() -> None:
    values = _noise()
    values[150:] += 10.0
    (found,) = [one for one in detect(values) if one.score > 5.0]
    assert abs(found.index - 150) <= 1
    assert (found.value - found.expected) == pytest.approx(10.0, abs=4.0)


def test_in_a_series_that_never_settles_a_change_of_level_is_nothing_unusual() -> None:
    levels = np.random.default_rng(3).choice([0.0, 50.0, 100.0], size=30)
    values = np.repeat(levels, 12) + _noise(360)
    assert detect(values) == []
    values[200] = 400.0
    assert [one.index for one in detect(values)] == [200]


def test_a_change_smaller_than_the_resolution_is_not_reported_however_quiet_the_series_is() -> None:
    values = np.full(100, 5.0)
    values[50] = 6.0
    assert len(detect(values, resolution=0.5)) == 1
    assert detect(values, resolution=2.0) == []


def test_a_season_is_not_unusual_and_what_breaks_it_is() -> None:
    season = 10.0 * np.sin(2.0 * np.pi * np.arange(300) / 24.0)
    values = season + _noise()
    assert [one for one in detect(values) if one.score > 5.0] == []
    values[126] = -values[126]
    assert [one.index for one in detect(values) if one.score > 5.0] == [126]


@given(
    factor=st.floats(min_value=1e-3, max_value=1e6),
    offset=st.floats(min_value=-1e6, max_value=1e6),
    seed=st.integers(0, 5),
)
def test_the_unit_of_the_values_changes_nothing(factor: float, offset: float, seed: int) -> None:
    values = _noise(200, seed)
    values[[50, 120]] += (9.0, -9.0)
    plain, scaled = detect(values), detect(factor * (values + offset / factor))
    assert [one.index for one in scaled] == [one.index for one in plain]
    assert [one.score for one in scaled] == pytest.approx([one.score for one in plain], rel=1e-2)


@given(st.lists(st.sampled_from([0.0, 1.0, 1.0, 1e12, -3.5, 2.0**-40]), max_size=120))
def test_any_finite_series_is_answered_with_findings_inside_it(raw: list[float]) -> None:
    values = np.array(raw, dtype=np.float64)
    found = detect(values)
    assert [one.index for one in found] == sorted(one.index for one in found)
    for one in found:
        assert 0 <= one.start <= one.index <= one.end < values.size
        assert np.isfinite([one.value, one.expected, one.score]).all()
        assert one.score >= 0.0


def test_the_spread_of_normal_noise_is_its_standard_deviation_and_wild_values_hardly_move_it() -> None:
    noise = 3.0 * _noise(5000)
    assert spread(noise) == pytest.approx(3.0, rel=0.05)
    noise[:250] = 1e6
    assert spread(noise) == pytest.approx(3.0, rel=0.25)
    assert spread(np.array([])) == 0.0


def test_the_slope_over_time_is_that_of_the_line_under_wild_values() -> None:
    at = np.arange(200, dtype=np.float64) * 5.0
    values = 100.0 + 0.02 * at
    values[::10] = 1e9
    assert theil_sen(at, values) == pytest.approx(0.02)
    assert theil_sen(at[:1], values[:1]) == 0.0
    assert theil_sen(np.zeros(5), np.arange(5.0)) == 0.0
    assert theil_sen(np.arange(2000.0), 4.0 * np.arange(2000.0)) == pytest.approx(4.0)


def test_a_lasting_step_does_not_pass_for_a_drift() -> None:
    values = np.zeros(400)
    values[200:] = 100.0
    assert drift(values) == 0.0
    assert drift(np.arange(400.0)) == 1.0
