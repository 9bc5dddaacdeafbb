"""Precision and recall of a detector over labelled series.

A detection counts when it lies within `TOLERANCE` samples of a label of that kind; each label is found at most once,
so that a second alarm for the same anomaly is a false one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.anomalies.generator import LabelledSeries, Values

Detector = Callable[[Values], Sequence[int]]
"""The values of a series in, the indexes of its anomalies out, in any order."""

TOLERANCE = {"spike": 1, "level_shift": 3}
"""Samples; where one level ends and the next begins is itself blurred by the noise."""


@dataclass(frozen=True, slots=True)
class Score:
    """Counts of one class or of all."""

    found: int = 0
    missed: int = 0
    false_alarms: int = 0

    def __add__(self, other: Score) -> Score:
        return Score(self.found + other.found, self.missed + other.missed, self.false_alarms + other.false_alarms)

    @property
    def precision(self) -> float:
        """Share of the alarms that are right; 1 without any alarm."""
        alarms = self.found + self.false_alarms
        return self.found / alarms if alarms else 1.0

    @property
    def recall(self) -> float:
        """Share of the labels that are found; 1 without any label."""
        labels = self.found + self.missed
        return self.found / labels if labels else 1.0


def score_by_kind(detector: Detector, series: Iterable[LabelledSeries]) -> dict[str, Score]:
    """One score a class, in order of appearance."""
    scores: dict[str, Score] = {}
    for one in series:
        scores[one.kind] = scores.get(one.kind, Score()) + score(one, detector(one.values))
    return scores


def score(series: LabelledSeries, detected: Sequence[int]) -> Score:
    """Matches labels to detections in order; the nearest free detection within the tolerance is taken."""
    free = sorted(detected)
    found = 0
    for label in series.labels:
        near = [index for index in free if abs(index - label.index) <= TOLERANCE[label.kind]]
        if near:
            free.remove(min(near, key=lambda index: abs(index - label.index)))
            found += 1
    return Score(found=found, missed=len(series.labels) - found, false_alarms=len(free))
