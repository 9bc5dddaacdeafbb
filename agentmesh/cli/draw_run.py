"""A run as it is drawn while it goes on: its steps with their states, then the answer as far as it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from agentmesh.cli.output import Line, Picture, Span
from agentmesh.cli.run_view import RunView, StepView
from agentmesh.cli.show_answer import duration, mark_of, why
from agentmesh.cli.show_plan import plan_note
from agentmesh.client.enums import StepOutcome

_TURNS_PER_SECOND: Final = 10
_BAR_CELLS: Final = 8
_COLUMNS_FOR_SKILLS: Final = 100
"""In a narrower terminal what a step is about has the room."""


class RunDrawing:
    """Draws the view that it was given last.

    Args:
        marks: Whether marks beyond ASCII can be shown.
        clock: Seconds; monotonic.
    """

    def __init__(self, *, marks: bool, clock: Callable[[], float]) -> None:
        self._marks = marks
        self._clock = clock
        self._began = clock()
        self._seen = (RunView(), clock())
        """In one place, because another thread draws."""

    def show(self, view: RunView) -> None:
        """Draw this from now on."""
        self._seen = (view, self._clock())

    def picture(self, rows: int, columns: int) -> Picture:
        """Return what is to be seen in so many rows and columns."""
        view, seen_at = self._seen
        quiet = self._clock() - seen_at
        head = self._head(view, quiet)
        names = _Names.of(view, with_skills=columns >= _COLUMNS_FOR_SKILLS)
        lines = [self._step(step, names, view, quiet) for step in view.steps]
        room = rows - len(head) - (3 if not view.text else max(4, rows // 3))
        lines = lines if len(lines) <= room else self._most_important(view, lines, max(room, 1))
        if view.text:
            return Picture([*head, *lines, [], [("answer", "bold")]], view.text)
        return Picture([*head, *lines])

    def _head(self, view: RunView, quiet: float) -> list[Line]:
        doing = _doing(view)
        line: list[Span] = [
            (self._turning(), "cyan"),
            f" {doing} ...",
            (f"  {_running(self._elapsed(view, quiet))}", "dim"),
        ]
        if view.run_id:
            line.append((f"  run {view.run_id}", "dim"))
        planned = view.planned
        if planned is None:
            return [line, []] if view.steps else [line]
        note = plan_note(planned.plan, planned.mode, planned.plan_source, planned.planner)
        return [line, [], [("plan", "bold"), (f"  {note}", "dim")]]

    def _elapsed(self, view: RunView, quiet: float) -> float:
        """On the orchestrator's clock up to the last event, on ours since: two clocks are never compared."""
        if view.began_at is None or view.at is None:
            return self._clock() - self._began
        return (view.at - view.began_at).total_seconds() + quiet

    def _step(self, step: StepView, names: _Names, view: RunView, quiet: float) -> Line:
        name, skill = names.of_step(step)
        if step.report is not None:
            report = step.report
            spans: list[Span] = [*mark_of(report.outcome, marks=self._marks), f" {name}", (skill, "cyan")]
            if report.seconds is not None:
                spans.append(f"  {duration(report.seconds)}")
            if report.attempts > 1 and not report.items:
                spans.append((f", {report.attempts} attempts", "yellow"))
            return ["  ", *spans, *why(report)]
        if step.began_at is None or view.at is None:
            return ["  ", ("· waiting  " if self._marks else "WAITING  ", "dim"), f" {name}", (skill, "dim")]
        taken = (view.at - step.began_at).total_seconds() + quiet
        running = f"{self._turning()} running  " if self._marks else "RUNNING  "
        return ["  ", (running, "cyan"), f" {name}", (skill, "cyan"), f"  {_running(taken)}", *self._course(step)]

    def _course(self, step: StepView) -> Sequence[Span]:
        spans: list[Span] = []
        if step.items_begun:
            spans.append(f", {len(step.items_begun)} item{'s' if len(step.items_begun) > 1 else ''} begun")
        if step.attempt > 1:
            spans.append((f", attempt {step.attempt}", "yellow"))
        progress = step.progress
        if progress is not None:
            if progress.item_index is not None:
                spans.append(f", item {progress.item_index}:")
            if progress.fraction is not None:
                spans += ["  ", *self._bar(progress.fraction)]
            if progress.message:
                spans.append((f"  {progress.message}", "italic"))
        return spans

    def _bar(self, fraction: float) -> Sequence[Span]:
        part = min(max(fraction, 0.0), 1.0)
        cells = round(part * _BAR_CELLS)
        done, open_ = ("━", "╌") if self._marks else ("#", "-")
        return [(done * cells, "cyan"), (open_ * (_BAR_CELLS - cells), "dim"), f" {part * 100:.0f} %"]

    def _most_important(self, view: RunView, lines: Sequence[Line], room: int) -> list[Line]:
        """What runs and what failed first; the others are counted."""
        order = sorted(range(len(lines)), key=lambda index: _rank(view.steps[index]))
        kept = sorted(order[: room - 1])
        ended = sum(step.report is not None for step in view.steps)
        more: Line = ["    ", (f"... and {len(lines) - len(kept)} more; {ended} of {len(lines)} have ended", "dim")]
        return [*(lines[index] for index in kept), more]

    def _turning(self) -> str:
        frames = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" if self._marks else "|/-\\"
        return frames[int(self._clock() * _TURNS_PER_SECOND) % len(frames)]


@dataclass(frozen=True, slots=True)
class _Names:
    """Ids and skills of steps, padded to one width for all."""

    id_width: int
    skill_width: int
    """0: without skills."""

    @classmethod
    def of(cls, view: RunView, *, with_skills: bool) -> _Names:
        skills = [len(step.skill) for step in view.steps] if with_skills else []
        return cls(max((len(step.id) for step in view.steps), default=0), max(skills, default=0))

    def of_step(self, step: StepView) -> tuple[str, str]:
        skill = f"  {step.skill.ljust(self.skill_width)}" if self.skill_width else ""
        return step.id.ljust(self.id_width), skill


def _running(seconds: float) -> str:
    """Coarser than `duration`: it changes while one looks at it."""
    return f"{max(seconds, 0):.1f} s"


def _doing(view: RunView) -> str:
    if view.text:
        return "writing the answer"
    if view.planned is None and not view.steps:
        return "routing" if view.run_id else "asking the mesh"
    return "running" if any(step.report is None for step in view.steps) else "about to answer"


def _rank(step: StepView) -> int:
    if step.running:
        return 0
    if step.report is None:
        return 2
    return 3 if step.report.outcome in {StepOutcome.SUCCEEDED, StepOutcome.SKIPPED} else 1
