"""Finds what is unusual in one series: spikes, plateaus and lasting steps, whatever its trend and season.

1. The drift and the season are taken out (`robust.drift`, `season`).
2. A sample is a spike when it is far from the medians of both the samples before and those after it. The first
   sample of a new level is far from one of them only, so a step is no spike, and the level after it is normal.
3. A step is where the median of the next samples is far from that of the last ones. Two steps that undo each other
   shortly after are one plateau.
"Far" is measured in standard deviations of the ordinary noise, estimated robustly over the series and around the
sample; the larger counts. The input is one value a sample, evenly spaced, oldest first, finite.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent_svcs.analytics_agent.robust import Values, drift, local_spread, medians_after, medians_before, spread
from agent_svcs.analytics_agent.season import seasonal_part

LEAST_SAMPLES = 20
"""With fewer nothing is said: what is ordinary is not known yet."""
REACH = 10
"""Samples before and after that make the local level."""
LEAST_SIDE = 4
"""Samples that a side needs to have a level of its own, near the ends of the series."""
SPREAD_REACH = 30
"""Samples to both sides that make the local noise."""
LOCAL_SHARE = 0.75
"""Of the local noise; it counts only where it is clearly larger than elsewhere, being estimated from few samples."""
SPIKE_SIGMA = 3.3
"""Normal noise is further out in 1 of 1,000 samples."""
STEP_SIGMA = 3.5
LONGEST_PLATEAU = 30
"""Samples; a step that is undone later than this was a level of its own."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something unusual, from sample `start` to `end` inclusive; a lasting step has `start == end`."""

    index: int
    """The most unusual sample, or the first one of a new level."""
    start: int
    end: int
    value: float
    expected: float
    """What the ordinary course of the series would have given at `index`."""
    score: float
    """Distance from `expected` in standard deviations of the ordinary noise, never negative."""


def detect(values: Values, resolution: float = 0.0) -> list[Finding]:
    """Everything unusual in `values`, in order of time.

    `resolution` is the smallest change that matters, in the unit of the values: smaller ones are never reported.
    """
    if values.size < LEAST_SAMPLES:
        return []
    course = drift(values) * np.arange(values.size)
    course += seasonal_part(values - course)
    level = _Level(values - course, resolution)
    if not level.scale.any():
        return []
    steps = _steps(level)
    plateaus, lasting = _pair(level, steps)
    found = [*plateaus, *lasting]
    taken = {i for one in plateaus for i in range(one.start - 1, one.end + 2)}
    found += [one for one in _spikes(level) if one.index not in taken]
    return [
        Finding(
            index=one.index,
            start=one.start,
            end=one.end,
            value=float(values[one.index]),
            expected=float(one.expected + course[one.index]),
            score=one.score,
        )
        for one in sorted(found, key=lambda one: one.index)
    ]


class _Level:
    """The series without its course, the levels around each sample, and how noisy it is there."""

    def __init__(self, values: Values, resolution: float) -> None:
        self.values = values
        self.before = medians_before(values, REACH, LEAST_SIDE)
        self.after = medians_after(values, REACH, LEAST_SIDE)
        self.before = np.where(np.isnan(self.before), self.after, self.before)
        self.after = np.where(np.isnan(self.after), self.before, self.after)
        least = resolution / SPIKE_SIGMA
        self.scale = np.full(values.size, max(spread(values - (self.before + self.after) / 2.0), least))
        around = values - self.expected()
        self.scale = np.maximum(np.maximum(spread(around), LOCAL_SHARE * local_spread(around, SPREAD_REACH)), least)

    def expected(self) -> Values:
        """The level at each sample: between the two sides where they agree, else the side that is nearer."""
        middle = (self.before + self.after) / 2.0
        nearer = np.where(
            np.abs(self.values - self.before) <= np.abs(self.values - self.after), self.before, self.after
        )
        inside = (self.values - self.before) * (self.values - self.after) <= 0.0
        apart = np.abs(self.before - self.after) > 1.5 * self.scale
        return np.where(apart, np.where(inside, self.values, nearer), middle)


def _spikes(level: _Level) -> list[Finding]:
    expected = level.expected()
    score = (level.values - expected) / level.scale
    found: list[Finding] = []
    for run in _runs(score, SPIKE_SIGMA):
        peak = run[int(np.argmax(np.abs(score[run])))]
        found.append(
            Finding(
                index=int(peak),
                start=int(run[0]),
                end=int(run[-1]),
                value=float(level.values[peak]),
                expected=float(expected[peak]),
                score=float(abs(score[peak])),
            )
        )
    return found


def _steps(level: _Level) -> list[Finding]:
    """Where a new level begins; `expected` is the old level and `value` the new one."""
    size = level.values.size
    old, new = level.before, np.concatenate([level.after[:1], level.after[:-1]])
    contrast = (new - old) / level.scale
    contrast[:LEAST_SIDE] = contrast[size - LEAST_SIDE :] = 0.0
    found: list[Finding] = []
    for run in _runs(contrast, STEP_SIGMA):
        sharpest = run[int(np.argmax(np.abs(contrast[run])))]
        begin = _begin(level.values, run, old[sharpest], new[sharpest])
        found.append(
            Finding(
                index=begin,
                start=begin,
                end=begin,
                value=float(new[sharpest]),
                expected=float(old[sharpest]),
                score=float(abs(contrast[sharpest])),
            )
        )
    return found


def _begin(values: Values, run: NDArray[np.intp], old: float, new: float) -> int:
    """The first sample of the new level: the split near `run` that leaves least to its two levels."""
    first = max(1, int(run[0]) - 2)
    nearby = values[first : int(run[-1]) + 3]
    to_old, to_new = np.abs(nearby - old), np.abs(nearby - new)
    costs = np.concatenate([[0.0], np.cumsum(to_old)]) + np.concatenate([np.cumsum(to_new[::-1])[::-1], [0.0]])
    return first + int(np.argmin(costs[:-1]))


def _runs(score: Values, least: float) -> list[NDArray[np.intp]]:
    """Neighbouring samples (at most one apart) whose score is at least `least`, all on the same side."""
    runs: list[NDArray[np.intp]] = []
    for side in (1.0, -1.0):
        out = np.flatnonzero(side * score >= least)
        if out.size:
            runs += np.split(out, np.flatnonzero(np.diff(out) > 2) + 1)
    return runs


def _pair(level: _Level, steps: list[Finding]) -> tuple[list[Finding], list[Finding]]:
    """Steps that undo each other soon become one plateau; the others last."""
    plateaus: list[Finding] = []
    lasting: list[Finding] = []
    waiting = sorted(steps, key=lambda step: step.index)
    while waiting:
        step = waiting.pop(0)
        if waiting and _undoes(step, waiting[0]):
            plateaus.append(_plateau(level, step, waiting.pop(0)))
        else:
            lasting.append(step)
    return plateaus, lasting


def _undoes(step: Finding, later: Finding) -> bool:
    if later.index - step.index > LONGEST_PLATEAU:
        return False
    there, back = step.value - step.expected, later.value - later.expected
    return there * back < 0.0 and abs(there + back) < 0.5 * min(abs(there), abs(back))


def _plateau(level: _Level, step: Finding, later: Finding) -> Finding:
    inside = np.arange(step.index, later.index)
    away = np.abs(level.values[inside] - step.expected)
    peak = int(inside[int(np.argmax(away))])
    return Finding(
        index=peak,
        start=step.index,
        end=later.index - 1,
        value=float(level.values[peak]),
        expected=step.expected,
        score=float(away.max() / level.scale[peak]),
    )
