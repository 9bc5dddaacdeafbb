"""Finds what is unusual in one series: spikes, plateaus and lasting steps, whatever its trend and season.

1. The drift and the season are taken out (`robust.drift`, `season`).
2. A sample is a spike when it is far from the medians of both the samples before and those after it. The first
   sample of a new level is far from one of them only, so a step is no spike, and the level after it is normal.
3. A step is where the median of the next samples is far from that of the last ones. Two steps that undo each other
   shortly after are one plateau. In a series that never settles only values far from all others are unusual.
"Far" is measured in standard deviations of the ordinary noise, estimated robustly over the series and around the
sample; the larger counts. The input is one value a sample, evenly spaced, oldest first, finite.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent_svcs.analytics_agent.level import LEAST_SIDE, Level, level_of, restless
from agent_svcs.analytics_agent.robust import Values, drift
from agent_svcs.analytics_agent.season import seasonal_part

LEAST_SAMPLES = 20
"""With fewer nothing is said: what is ordinary is not known yet."""
STEP_SIGMA = 3.5
FEW_STEPS = 3
MOST_STEPS = 0.02
"""Of the samples; where levels change more often than both, a change of level is nothing unusual."""
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
    level = level_of(values - course, resolution)
    if not level.scale.any():
        return []
    plateaus, lasting = _pair(level, _steps(level))
    if len(plateaus) + len(lasting) > max(FEW_STEPS, MOST_STEPS * values.size):
        level, plateaus, lasting = restless(level, resolution), [], []
    taken = {i for one in plateaus for i in range(one.start - 1, one.end + 2)}
    found = [*plateaus, *lasting, *(one for one in _spikes(level) if one.index not in taken)]
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


def _spikes(level: Level) -> list[Finding]:
    expected = level.expected()
    score = (level.values - expected) / level.scale
    found: list[Finding] = []
    for run in _runs(score, level.threshold):
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


def _steps(level: Level) -> list[Finding]:
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


def _pair(level: Level, steps: list[Finding]) -> tuple[list[Finding], list[Finding]]:
    """Steps that lead back soon become one plateau, with the steps between them; the others last."""
    plateaus: list[Finding] = []
    lasting: list[Finding] = []
    waiting = sorted(steps, key=lambda step: step.index)
    while waiting:
        step = waiting.pop(0)
        back = next((i for i, later in enumerate(waiting) if _leads_back(step, later)), None)
        if back is None:
            lasting.append(step)
        else:
            plateaus.append(_plateau(level, step, waiting[back]))
            waiting = waiting[back + 1 :]
    return plateaus, lasting


def _leads_back(step: Finding, later: Finding) -> bool:
    """Whether the level after `later` is that before `step` again, nearly."""
    away = abs(step.value - step.expected)
    return later.index - step.index <= LONGEST_PLATEAU and abs(later.value - step.expected) < 0.5 * away


def _plateau(level: Level, step: Finding, later: Finding) -> Finding:
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
