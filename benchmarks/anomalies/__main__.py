"""Prints precision and recall a class: `python -m benchmarks.anomalies [--seed N]`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from agent_svcs.analytics_agent.detector import detect
from benchmarks.anomalies.generator import SEED, Values, generate
from benchmarks.anomalies.scoring import Detector, Score, score_by_kind


def three_sigma_rule(values: Values) -> Sequence[int]:
    """The usual first attempt, for comparison: further than 3 standard deviations from the mean of the series."""
    return [int(i) for i in np.flatnonzero(np.abs(values - values.mean()) > 3.0 * values.std())]


def robust_detector(values: Values) -> Sequence[int]:
    """The detector of analytics_agent."""
    return [finding.index for finding in detect(values)]


DETECTORS: dict[str, Detector] = {"three-sigma rule": three_sigma_rule, "analytics_agent": robust_detector}


def main() -> None:
    """Scores every detector on the same series."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.anomalies", description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED, help=f"seed of the series (default {SEED})")
    seed: int = parser.parse_args().seed
    series = generate(seed)
    labels = sum(len(one.labels) for one in series)
    print(f"{len(series)} series, {sum(len(one.values) for one in series)} samples, {labels} anomalies, seed {seed}")
    for name, detector in DETECTORS.items():
        scores = score_by_kind(detector, series)
        print(f"\n{name:<20}{'precision':>10}{'recall':>10}{'found':>8}{'missed':>8}{'false':>8}")
        for kind, one in [*scores.items(), ("overall", sum(scores.values(), Score()))]:
            counts = f"{one.found:>8}{one.missed:>8}{one.false_alarms:>8}"
            print(f"  {kind:<18}{one.precision:>10.3f}{one.recall:>10.3f}{counts}")


if __name__ == "__main__":
    main()
