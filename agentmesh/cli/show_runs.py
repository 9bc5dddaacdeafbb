"""The list of runs, as people read it: a row a run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from agentmesh.cli.output import Output
from agentmesh.cli.show_answer import duration, moment
from agentmesh.client.values import RunSummary


def show_runs(output: Output, runs: Sequence[RunSummary], now: datetime) -> None:
    """Write a row a run. In a terminal they began so long ago, in a pipe at a moment."""
    if not runs:
        output.line("no runs")
        return
    rows = [
        [
            run.run_id,
            _began(run, now, relative=output.rich),
            run.state if run.outcome is None else run.outcome,
            "-" if run.seconds is None else duration(run.seconds),
            run.query or "-",
        ]
        for run in runs
    ]
    output.table(["run", "began", "state", "took", "question"], rows, cut="question")


def _began(run: RunSummary, now: datetime, *, relative: bool) -> str:
    if run.started_at is None:
        return "-"
    if relative:
        return f"{_age((now - run.started_at).total_seconds())} ago"
    return moment(run.started_at)


def _age(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"
