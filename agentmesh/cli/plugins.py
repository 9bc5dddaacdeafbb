"""Commands that other packages bring, through the entry-point group `agentmesh.commands`.

An entry point is a function that takes a `typer.Typer` and adds its commands to it. They are looked for only where a
name is not one of ours, or help lists all: `agentmesh ask` does not wait for them.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from collections.abc import Mapping

GROUP: Final = "agentmesh.commands"


class PluginGroup(TyperGroup):
    """Our commands, then those of other packages, which cannot replace ours."""

    _loaded = False

    # The types of the command-line library are its private ones, so only its own names are used here.
    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401
        """Return the command of this name, ours without looking further."""
        found = super().get_command(ctx, cmd_name)
        if found is None:
            self._load()
            found = super().get_command(ctx, cmd_name)
        return found

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401
        self._load()
        return super().list_commands(ctx)

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        for name, command in _brought_commands().items():
            self.commands.setdefault(name, command)


def _brought_commands() -> Mapping[str, Any]:
    app = typer.Typer(rich_markup_mode=None)
    app.callback()(lambda: None)  # so that even a single command is a command of a group
    for entry_point in entry_points(group=GROUP):
        try:
            entry_point.load()(app)
        except ImportError as error:
            sys.stderr.write(f"warning: the commands of {entry_point.value} cannot be loaded: {error}\n")
    group = typer.main.get_command(app)
    return getattr(group, "commands", {})
