"""Reads a plan from a file or from standard input: JSON or YAML."""

from __future__ import annotations

from typing import Final

from agentmesh.cli.documents import read_document, where_of
from agentmesh.cli.exits import CommandFailed, ExitCode
from agentmesh.client.plans import MAX_PLAN_BYTES
from agentmesh.jsonvalues import JsonObject

_ADVICE: Final = 'a plan is {"steps": [{"id": "...", "skill": "...", "arguments": {}}]}, in JSON or YAML'


def read_plan(name: str) -> JsonObject:
    """Return the plan in a file, `-` for standard input; one with a `plan` in it, as `--json` writes it, gives that.

    Raises:
        CommandFailed: The file cannot be read, is too large, does not parse, or holds no object.
    """
    document = read_document(name, max_bytes=MAX_PLAN_BYTES, advice=_ADVICE)
    if isinstance(document, dict) and "steps" not in document and isinstance(document.get("plan"), dict):
        document = document["plan"]
    if not isinstance(document, dict):
        raise CommandFailed(f"{where_of(name)} holds no plan", advice=_ADVICE, code=ExitCode.USAGE)
    return document
