"""Commands of the service side: `agentmesh config` and `agentmesh up`. The library finds them by an entry point."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer


def register(app: typer.Typer) -> None:
    """Add the commands to the `agentmesh` program."""
    from orchestrator_svc.commands.declared import declare  # noqa: PLC0415 - children of `up` import this package, too

    declare(app)
