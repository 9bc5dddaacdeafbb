"""`agentmesh config`: the effective configuration, secrets masked."""

from __future__ import annotations

import os
import sys

from agentmesh.cli.exits import CommandFailed, ExitCode
from agentmesh.cli.output import Output, open_output
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.config import ConfigInvalid, LoadedConfig, Setting, Source, read_config, settings_of


def load_config() -> LoadedConfig:
    """Read the configuration of this process.

    Raises:
        CommandFailed: It cannot be used; the details have every problem.
    """
    try:
        return read_config(os.environ)
    except ConfigInvalid as invalid:
        count = "one thing" if len(invalid.problems) == 1 else f"{len(invalid.problems)} things"
        raise CommandFailed(
            f"the configuration cannot be used: {count} to correct",
            details=[str(problem) for problem in invalid.problems],
            code=ExitCode.USAGE,
        ) from None


def run_config(*, as_json: bool) -> None:
    loaded = load_config()
    settings = settings_of(loaded)
    output = open_output()
    if as_json:
        output.json({"settings": [_as_json(setting) for setting in settings], "warnings": [*loaded.warnings]})
        return
    for setting in settings:
        _show(output, setting)
    for warning in loaded.warnings:
        sys.stderr.write(f"warning: {warning}\n")


def _show(output: Output, setting: Setting) -> None:
    """The first line is what a file of variables would hold."""
    origin = setting.origin if setting.source is Source.FILE or setting.origin != setting.variable else ""
    source = f"{setting.source} {origin}".rstrip()
    colour = "dim" if setting.source is Source.DEFAULT else "green"
    output.line((setting.variable, "bold"), "=", setting.value, "  ", (f"# {source}", colour))
    output.line(("    " + setting.description, "dim"))


def _as_json(setting: Setting) -> JsonObject:
    return {
        "variable": setting.variable,
        "value": setting.value,
        "source": str(setting.source),
        "origin": setting.origin,
        "description": setting.description,
        "allowed": setting.allowed,
    }
