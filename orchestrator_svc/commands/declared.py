"""The service-side commands and their options. What they do is imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


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
) -> None:
    """Start a mesh on this machine, until Ctrl-C.

    An orchestrator and three agents, each a process of its own. The orchestrator serves at AGENTMESH_LISTEN, or at a
    free port where the default one is taken; other settings are taken from the environment as well, `agentmesh config`
    shows them.
    """
    from orchestrator_svc.commands.up import run_up  # noqa: PLC0415

    raise typer.Exit(run_up(logs=logs, verbose=verbose))


def config(
    *, as_json: Annotated[bool, typer.Option("--json", help="Write one JSON document, for programs.")] = False
) -> None:
    """Show the settings of the orchestrator.

    For each its variable, its value here and now, where that comes from, and what it is for. Secrets are masked.
    """
    from orchestrator_svc.commands.show_config import run_config  # noqa: PLC0415

    run_config(as_json=as_json)
