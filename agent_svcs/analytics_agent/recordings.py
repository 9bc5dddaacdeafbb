"""Recordings: rounds of samples in a text file, so that a fresh machine has a history to look at.

The file is CSV. Lines of `# name: value` at its head say how it was made (`agent_svcs.analytics_agent.record` makes
it); then a row of column names, `seconds` and one `component.metric` each; then one row a round, `seconds` counted
from `started`. An empty cell was not measured.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, TextIO

import numpy as np

from agent_svcs.analytics_agent.series import Key, Round, Series

SHIPPED: Final = Path(__file__).parent / "recording" / "mesh.csv"


class RecordingUnreadable(ValueError):
    """The file is no recording; the text names the line."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording in memory."""

    about: Mapping[str, str]
    """The head of the file."""
    started: float
    """Seconds since 1970."""
    newest: float
    """Seconds since 1970."""
    series: Mapping[Key, Series]

    def read(self, keys: Iterable[Key], start: float) -> list[Series]:
        """The samples from `start` on, in the order of `keys`; a key without samples gives an empty series."""
        nothing = np.empty(0)
        return [self.series.get(key, Series(*key, nothing, nothing)).since(start) for key in keys]


def read_recording(path: Path = SHIPPED) -> Recording:
    """Reads a file; raises OSError, or RecordingUnreadable naming the line."""
    with path.open(encoding="utf-8", newline="") as file:
        lines = file.read().splitlines()
    head = [line for line in lines if line.startswith("#")]
    about = dict(_entry(line) for line in head if ": " in line)
    if "started" not in about:
        raise RecordingUnreadable(f"{path.name}: the head has no line `# started: ...`")
    started = datetime.fromisoformat(about["started"]).timestamp()
    columns, *rows = list(csv.reader(lines[len(head) :])) or [[]]
    if columns[:1] != ["seconds"] or not all("." in name for name in columns[1:]) or not rows:
        raise RecordingUnreadable(f"{path.name}: line {len(head) + 1} is no row of column names with rows under it")
    table = np.array([_numbers(path, columns, row, len(head) + 2 + i) for i, row in enumerate(rows)])
    at = started + table[:, 0]
    series: dict[Key, Series] = {}
    for place, name in enumerate(columns[1:], start=1):
        component, _, metric = name.partition(".")
        there = ~np.isnan(table[:, place])
        series[component, metric] = Series(component, metric, at[there], table[there, place])
    return Recording(about=about, started=started, newest=float(at[-1]), series=series)


def _entry(line: str) -> tuple[str, str]:
    name, _, value = line.removeprefix("#").strip().partition(": ")
    return name, value


def _numbers(path: Path, columns: Sequence[str], row: Sequence[str], line: int) -> list[float]:
    if len(row) != len(columns):
        raise RecordingUnreadable(f"{path.name}: line {line} has {len(row)} cells, not {len(columns)}")
    try:
        return [float(cell) if cell else float("nan") for cell in row]
    except ValueError:
        raise RecordingUnreadable(f"{path.name}: line {line} has a cell that is no number") from None


def write_recording(file: TextIO, about: Mapping[str, str], rounds: Sequence[Round]) -> None:
    """Writes what `read_recording` reads; `about` has `started`, the moment of the first round."""
    file.writelines(f"# {name}: {value}\n" for name, value in about.items())
    keys = sorted({key for one in rounds for key in one.readings})
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["seconds", *(f"{component}.{metric}" for component, metric in keys)])
    for one in rounds:
        cells = [_text(one.readings[key]) if key in one.readings else "" for key in keys]
        writer.writerow([f"{one.at - rounds[0].at:.1f}", *cells])


def _text(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
