"""The service-side commands and their options. What they do is imported when they run."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Final

import typer

_MOST: Final = 16
"""Processes of one kind on one machine; more are surely a slip."""


def declare(app: typer.Typer) -> None:
    """Add every command."""
    app.command()(up)
    app.command()(config)


def up(
    *,
    logs: Annotated[
        Path | None,
        typer.Option(
            metavar="DIRECTORY", help="Keep the logs here; by default in a directory that goes with a clean stop."
        ),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show what the processes log, each line after their name.")
    ] = False,
    orchestrators: Annotated[
        int, typer.Option(min=1, max=_MOST, metavar="N", help="Start so many; several share a store.")
    ] = 1,
    replicas: Annotated[
        list[str] | None,
        typer.Option(metavar="AGENT=N", help="Start so many processes of an agent; may be repeated."),
    ] = None,
) -> None:
    """Start a mesh on this machine, until Ctrl-C.

    An orchestrator and three agents, each a process of its own. The orchestrator serves at AGENTMESH_LISTEN, or at a
    free port where the default one is taken; other settings are taken from the environment as well, `agentmesh config`
    shows them. Several orchestrators share the Redis or Valkey at AGENTMESH_REGISTRY_URL, or one that is started for
    them.
    """
    from orchestrator_svc.commands.mesh import AGENTS, Shape  # noqa: PLC0415
    from orchestrator_svc.commands.up import run_up  # noqa: PLC0415

    shape = Shape(orchestrators, dict(_replicas(one, AGENTS) for one in replicas or ()))
    raise typer.Exit(run_up(logs=logs, verbose=verbose, shape=shape))


def _replicas(option: str, agents: Collection[str]) -> tuple[str, int]:
    name, _, number = option.partition("=")
    if name not in agents or not number.isdecimal() or not 1 <= int(number) <= _MOST:
        raise typer.BadParameter(
            f"--replicas {option}: must be AGENT=N, with {', '.join(agents)} and 1 to {_MOST} processes"
        )
    return name, int(number)


def config(
    *, as_json: Annotated[bool, typer.Option("--json", help="Write one JSON document, for programs.")] = False
) -> None:
    """Show the settings of the orchestrator.

    For each its variable, its value here and now, where that comes from, and what it is for. Secrets are masked.
    """
    from orchestrator_svc.commands.show_config import run_config  # noqa: PLC0415

    run_config(as_json=as_json)
