"""The live table of agents: a row an endpoint, under the rows one line about all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Final

from agentmesh.cli.agents_view import AgentsView
from agentmesh.cli.output import Line, Picture, Span
from agentmesh.cli.show_agents import heartbeat_of, state_of
from agentmesh.client import AgentInfo

_COLUMNS: Final = ("agent", "version", "skills", "endpoint", "state", "heartbeat", "in flight")
_STATE: Final = _COLUMNS.index("state")
_STYLES: Final = {"SERVING": "green", "NOT_SERVING": "red", "SILENT": "yellow", "EJECTED": "yellow"}
_ABOUT_ROWS: Final = 4
"""Rows that are no endpoint: the head, an empty one, what there is in all, what is wrong."""


class AgentsDrawing:
    """Draws the view that it was given last.

    Args:
        clock: What time it is.
        marks: Whether marks beyond ASCII can be shown.
    """

    def __init__(self, clock: Callable[[], datetime], *, marks: bool) -> None:
        self._clock = clock
        self._dots = "…" if marks else "..."
        self._view: AgentsView | None = None
        self.trouble = ""
        """Why the view is not of now; empty while it is."""

    @property
    def shows_agents(self) -> bool:
        """Whether there has been a view."""
        return self._view is not None

    def show(self, view: AgentsView) -> None:
        """Draw this from now on."""
        self._view, self.trouble = view, ""

    def picture(self, rows: int, columns: int) -> Picture:  # noqa: ARG002 - lines are cut at the width
        """Return what is to be seen in so many rows and columns."""
        view, trouble = self._view, self.trouble
        if view is None:
            return Picture([[("asking who is there ...", "dim")]])
        table = list(_rows(view, self._clock()))
        room = max(rows - _ABOUT_ROWS, 1)
        shown = table if len(table) <= room else table[: room - 1]
        widths = [max(len(row[column]) for row in [_COLUMNS, *shown]) for column in range(len(_COLUMNS))]
        lines: list[Line] = [[(_padded(_COLUMNS, widths), "bold")], *(_styled(row, widths) for row in shown)]
        if len(shown) < len(table):
            lines.append([(f"{self._dots} and {len(table) - len(shown)} more endpoints", "dim")])
        lines += [[], [(_in_all(view), "dim")]]
        if trouble:
            lines.append([(trouble, "yellow"), ("; trying again", "dim")])
        return Picture(lines)


def _rows(view: AgentsView, now: datetime) -> Iterator[list[str]]:
    """An agent is named in the first of its rows."""
    for agent in view.agents:
        for number, endpoint in enumerate(agent.endpoints):
            named = [agent.name, agent.version, str(len(agent.skills))] if number == 0 else ["", "", ""]
            yield [
                *named,
                endpoint.address,
                state_of(endpoint),
                heartbeat_of(endpoint, now, relative=True),
                str(endpoint.calls_in_flight),
            ]


def _styled(row: Sequence[str], widths: Sequence[int]) -> list[Span]:
    cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
    return [
        "  ".join(cells[:_STATE]) + "  ",
        (cells[_STATE], _STYLES.get(row[_STATE], "dim")),
        "  " + "  ".join(cells[_STATE + 1 :]).rstrip(),
    ]


def _padded(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _in_all(view: AgentsView) -> str:
    agents: list[AgentInfo] = view.agents
    endpoints = sum(len(agent.endpoints) for agent in agents)
    skills = len({skill.id for agent in agents for skill in agent.skills})
    names = len({agent.name for agent in agents})
    return f"{_count(names, 'agent')}, {_count(endpoints, 'endpoint')}, {_count(skills, 'skill')}; Ctrl-C leaves"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
