"""What the commands about agents do: one call of the client, then its answer on the output."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from agentmesh import errors
from agentmesh.cli.agents_view import AgentsView
from agentmesh.cli.draw_agents import AgentsDrawing
from agentmesh.cli.exits import CommandFailed, ExitCode
from agentmesh.cli.options import Target
from agentmesh.cli.output import Output, open_output
from agentmesh.cli.show_agents import lines_of, show_agent, show_agents, show_skills
from agentmesh.client import MeshClient
from agentmesh.client.wire_json import message_json
from agentmesh.v1.registry_service_pb2 import ListAgentsResponse

_REPORT_SECONDS: Final = 1.0
"""How old what a live table shows may be."""
_AGAIN_SECONDS: Final = 1.0
"""Between attempts to reach an orchestrator that has gone."""


def list_agents(target: Target, *, skills: bool, as_json: bool, timeout_seconds: float | None) -> None:
    with MeshClient(target.address, token=target.token) as mesh:
        listing = mesh.list_agents(timeout_seconds=timeout_seconds)
    output = open_output()
    if as_json:
        output.json(message_json(listing.wire))
    elif skills:
        show_skills(output, listing.agents)
    else:
        show_agents(output, listing, datetime.now(UTC))


def show(target: Target, name: str, *, as_json: bool, timeout_seconds: float | None) -> None:
    with MeshClient(target.address, token=target.token) as mesh:
        listing = mesh.list_agents(timeout_seconds=timeout_seconds)
    agents = [agent for agent in listing.agents if agent.name == name]
    if not agents:
        there = ", ".join(dict.fromkeys(agent.name for agent in listing.agents))
        raise CommandFailed(
            f"no agent `{name}` is in the mesh now", advice=f"there are: {there}" if there else "", code=ExitCode.USAGE
        )
    output = open_output()
    if as_json:
        assert isinstance(listing.wire, ListAgentsResponse)
        found = [agent for agent in listing.wire.agents if agent.card.name == name]
        output.json(message_json(ListAgentsResponse(agents=found, catalog_fingerprint=listing.catalog_fingerprint)))
        return
    now = datetime.now(UTC)
    for agent in agents:
        show_agent(output, agent, now)


def watch(target: Target, *, as_json: bool, timeout_seconds: float | None) -> None:
    output = open_output()
    with MeshClient(target.address, token=target.token) as mesh:
        if output.animated and not as_json:
            _draw(mesh, output, timeout_seconds)
        else:
            _write(mesh, output, as_json=as_json, timeout_seconds=timeout_seconds)


def _write(mesh: MeshClient, output: Output, *, as_json: bool, timeout_seconds: float | None) -> None:
    """A line for each change. That the orchestrator leaves is an error: whoever reads this decides what then."""
    for change in mesh.watch_agents(timeout_seconds=timeout_seconds):
        if as_json:
            output.json_line(message_json(change.wire))
        else:
            for line in lines_of(change):
                output.line(line)


def _draw(mesh: MeshClient, output: Output, timeout_seconds: float | None) -> None:
    """A table that follows. An orchestrator that was there and has gone is asked for again and again."""
    drawing = AgentsDrawing(lambda: datetime.now(UTC), marks=output.marks)
    until = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    with output.drawing(drawing.picture):
        while True:
            left = None if until is None else max(until - time.monotonic(), 0.001)
            try:
                _follow(mesh, drawing.show, left)
            except (errors.Unreachable, errors.ShuttingDown) as gone:
                if not drawing.shows_agents:
                    raise
                drawing.trouble = gone.message
            time.sleep(_AGAIN_SECONDS)


def _follow(mesh: MeshClient, show_view: Callable[[AgentsView], None], timeout_seconds: float | None) -> None:
    view = AgentsView()
    for change in mesh.watch_agents(report_seconds=_REPORT_SECONDS, timeout_seconds=timeout_seconds):
        view = view.after(change)
        show_view(view)
