"""The labelled series against which the anomaly detector is measured, and the counting of what it finds."""

import numpy as np
import pytest

from benchmarks.anomalies.generator import KINDS, SPIKE_SIGMA, Label, LabelledSeries, generate
from benchmarks.anomalies.scoring import Score, score, score_by_kind


def test_a_seed_gives_the_same_forty_series_each_time_and_another_seed_gives_others() -> None:
    first, again, other = generate(1), generate(1), generate(2)
    assert [one.name for one in first] == [one.name for one in again]
    assert all(np.array_equal(a.values, b.values) and a.labels == b.labels for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a.values, b.values) for a, b in zip(first, other, strict=False))


def test_there_are_ten_series_of_each_class_and_one_of_the_ten_has_no_spike() -> None:
    series = generate()
    assert [one.kind for one in series] == [kind for kind in KINDS for _ in range(10)]
    for kind in KINDS:
        spikes = [sum(label.kind == "spike" for label in one.labels) for one in series if one.kind == kind]
        assert spikes.count(0) == 1
        assert all(3 <= count <= 7 for count in spikes if count)


def test_spikes_have_three_to_eight_sigma_and_shifts_occur_in_their_class_alone() -> None:
    for one in generate():
        assert all(SPIKE_SIGMA[0] <= abs(x.sigma) <= SPIKE_SIGMA[1] for x in one.labels if x.kind == "spike")
        assert any(label.kind == "level_shift" for label in one.labels) == (one.kind == "level_shift")


def test_a_label_is_where_the_values_are_unusual() -> None:
    spikes = [one for one in generate() if one.kind == "spikes"]
    for one in spikes:
        rest = np.delete(one.values, [label.index for label in one.labels])
        for label in one.labels:
            assert (one.values[label.index] - rest.mean()) / rest.std() == pytest.approx(label.sigma, abs=3.5)


SERIES = LabelledSeries(
    "made", "spikes", np.zeros(100), (Label(20, "spike", 4.0), Label(50, "level_shift", 9.0), Label(80, "spike", -4.0))
)


@pytest.mark.parametrize(
    ("detected", "expected"),
    [
        ([], Score(0, 3, 0)),
        ([20, 50, 80], Score(3, 0, 0)),
        ([80, 50, 20], Score(3, 0, 0)),
        ([21, 53, 79], Score(3, 0, 0)),
        ([22, 54, 78], Score(0, 3, 3)),
        ([20, 21, 50], Score(2, 1, 1)),
        ([0, 1, 2], Score(0, 3, 3)),
    ],
)
def test_a_label_is_found_once_within_its_tolerance_and_every_other_alarm_is_false(
    detected: list[int], expected: Score
) -> None:
    assert score(SERIES, detected) == expected


def test_precision_and_recall_are_added_up_over_the_series_of_a_class() -> None:
    scores = score_by_kind(lambda _: [20, 90], [SERIES, SERIES])
    assert scores == {"spikes": Score(found=2, missed=4, false_alarms=2)}
    assert scores["spikes"].precision == 0.5
    assert scores["spikes"].recall == pytest.approx(1 / 3)
