"""Forty labelled series, made from a seed alone: ten of each class, and what is anomalous in them.

Every series has white Gaussian noise with a standard deviation of its own ("sigma": 0.01 to 100, so that no absolute
threshold can work) around a level of its own, and 3 to 7 labelled spikes of 3 to 8 sigma, up or down, added to the
noise. The last series of each class has no spike, so that false alarms count there too. Classes:

    trend        a straight line that rises or falls by 5 to 30 sigma over the series
    season       a repeating pattern (two harmonics) with a period of 12 to 60 samples and an amplitude of 2 to 10 sigma
    level_shift  1 or 2 lasting steps of 5 to 15 sigma; the first sample of the new level is labelled, the rest is not
    spikes       nothing but noise and spikes
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

AnomalyKind = Literal["spike", "level_shift"]
KINDS = ("trend", "season", "level_shift", "spikes")
SERIES_A_KIND = 10
SEED = 20261122

Values = NDArray[np.float64]

SPIKE_SIGMA = (3.0, 8.0)
SHIFT_SIGMA = (5.0, 15.0)
CLEAR_OF_SPIKES = 8
"""Samples between any two spikes, and between a spike and an end of the series or a shift."""
CLEAR_OF_SHIFTS = 40
"""Samples between any two shifts, and between a shift and an end of the series: what makes it a lasting level."""


@dataclass(frozen=True, slots=True)
class Label:
    """One anomaly that was put into a series."""

    index: int
    """The sample where it is, or where the new level begins."""
    kind: AnomalyKind
    sigma: float
    """Its size in standard deviations of the noise, signed."""


@dataclass(frozen=True, slots=True)
class LabelledSeries:
    """A series, and everything anomalous in it, in order."""

    name: str
    kind: str
    values: Values
    labels: tuple[Label, ...]


def generate(seed: int = SEED) -> list[LabelledSeries]:
    """The same 40 series for the same seed; each depends on the seed, its class and its number alone."""
    return [
        _series(kind, number, np.random.default_rng([seed, position, number]))
        for position, kind in enumerate(KINDS)
        for number in range(SERIES_A_KIND)
    ]


def _series(kind: str, number: int, rng: np.random.Generator) -> LabelledSeries:
    length = int(rng.integers(300, 421))
    sigma = 10.0 ** rng.uniform(-2.0, 2.0)
    level = sigma * rng.uniform(-50.0, 50.0)
    shifts = _shifts(rng, length) if kind == "level_shift" else []
    quiet = number == SERIES_A_KIND - 1
    spikes = [] if quiet else _spikes(rng, length, [shift.index for shift in shifts])

    shape = _SHAPES[kind](rng, length)
    for shift in shifts:
        shape[shift.index :] += shift.sigma
    for spike in spikes:
        shape[spike.index] += spike.sigma
    values = level + sigma * (shape + rng.standard_normal(length))
    labels = tuple(sorted([*shifts, *spikes], key=lambda label: label.index))
    return LabelledSeries(name=f"{kind}-{number}", kind=kind, values=values, labels=labels)


def _flat(_: np.random.Generator, length: int) -> Values:
    return np.zeros(length)


def _trend(rng: np.random.Generator, length: int) -> Values:
    return np.linspace(0.0, _sign(rng) * rng.uniform(5.0, 30.0), length)


def _season(rng: np.random.Generator, length: int) -> Values:
    phase = 2.0 * np.pi * (np.arange(length) / rng.uniform(12.0, 60.0) + rng.uniform())
    second = rng.uniform(0.0, 0.5)
    pattern = np.sin(phase) + second * np.sin(2.0 * phase + rng.uniform(0.0, 2.0 * np.pi))
    return np.asarray(rng.uniform(2.0, 10.0) * pattern / (1.0 + second))


_SHAPES: dict[str, Callable[[np.random.Generator, int], Values]] = {
    "trend": _trend,
    "season": _season,
    "level_shift": _flat,
    "spikes": _flat,
}


def _shifts(rng: np.random.Generator, length: int) -> list[Label]:
    places = _places(rng, int(rng.integers(1, 3)), length, CLEAR_OF_SHIFTS, [])
    return [Label(index, "level_shift", _sign(rng) * rng.uniform(*SHIFT_SIGMA)) for index in places]


def _spikes(rng: np.random.Generator, length: int, shifts: list[int]) -> list[Label]:
    places = _places(rng, int(rng.integers(3, 8)), length, CLEAR_OF_SPIKES, shifts)
    return [Label(index, "spike", _sign(rng) * rng.uniform(*SPIKE_SIGMA)) for index in places]


def _places(rng: np.random.Generator, count: int, length: int, clear: int, taken: list[int]) -> list[int]:
    """`count` indexes at least `clear` samples from each other, from those taken and from both ends."""
    found: list[int] = []
    while len(found) < count:
        index = int(rng.integers(clear, length - clear))
        if all(abs(index - other) >= clear for other in [*found, *taken]):
            found.append(index)
    return sorted(found)


def _sign(rng: np.random.Generator) -> float:
    return float(rng.choice((-1.0, 1.0)))
