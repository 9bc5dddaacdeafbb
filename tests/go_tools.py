"""Programs that `make tools` builds, where it has: tests that need one have something else to take in its place."""

from __future__ import annotations

import os
from pathlib import Path

_TABLE = Path(__file__).parents[1] / "tools" / "go_tools.txt"


def pinned_version(name: str) -> str:
    rows = (line.split() for line in _TABLE.read_text().splitlines())
    return next(row[2] for row in rows if row and row[0] == name)


def find_go_tool(name: str) -> Path | None:
    """Where it is, as `tools/go_tools.sh path` says; None if it has not been built."""
    caches = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    program = Path(caches) / "agentmesh" / "tools" / pinned_version(name) / name
    return program if os.access(program, os.X_OK) else None
