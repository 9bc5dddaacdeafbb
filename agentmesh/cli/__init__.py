"""The `agentmesh` command. Importing this imports nothing else: `--help` must not wait for gRPC."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code, of `agentmesh.cli.exits`."""
    try:
        from agentmesh.cli.run import run  # noqa: PLC0415 - Ctrl-C while this takes its time is no traceback, either
    except KeyboardInterrupt:
        return 130

    return run(arguments)
