"""The `agentmesh` command. Importing this imports nothing else: `--help` must not wait for gRPC."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code, of `agentmesh.cli.exits`."""
    from agentmesh.cli.run import run  # noqa: PLC0415 - so that a traceback of Ctrl-C cannot come from an import

    return run(arguments)
