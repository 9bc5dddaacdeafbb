"""Reads a plan from a file or from standard input: JSON or YAML."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

from agentmesh.cli.exits import CommandFailed, ExitCode
from agentmesh.client.plans import MAX_PLAN_BYTES
from agentmesh.jsonvalues import Json, JsonObject

STDIN: Final = "-"
MAX_YAML_BYTES: Final = 256 * 1024
"""A second or three for the loader in Python; the one in C crashes on deeply nested text."""
_ADVICE: Final = 'a plan is {"steps": [{"id": "...", "skill": "...", "arguments": {}}]}, in JSON or YAML'


def read_plan(name: str) -> JsonObject:
    """Return the plan in a file, `-` for standard input; one with a `plan` in it, as `--json` writes it, gives that.

    Raises:
        CommandFailed: The file cannot be read, is too large, does not parse, or holds no object.
    """
    where = "standard input" if name == STDIN else name
    document = _parsed(_content(name, where), where)
    if isinstance(document, dict) and "steps" not in document and isinstance(document.get("plan"), dict):
        document = document["plan"]
    if not isinstance(document, dict):
        raise CommandFailed(f"{where} holds no plan", advice=_ADVICE, code=ExitCode.USAGE)
    return document


def _content(name: str, where: str) -> bytes:
    try:
        if name == STDIN:
            content = sys.stdin.buffer.read(MAX_PLAN_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                content = file.read(MAX_PLAN_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CommandFailed(f"{where} cannot be read: {reason}", code=ExitCode.USAGE) from None
    if len(content) > MAX_PLAN_BYTES:
        raise CommandFailed(f"{where} has more than {MAX_PLAN_BYTES} bytes", code=ExitCode.USAGE)
    return content


def _parsed(content: bytes, where: str) -> Json:
    """JSON first: it is the faster one, and its errors are not those of YAML."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise CommandFailed(f"{where} is no UTF-8 text, at byte {error.start}", code=ExitCode.USAGE) from None
    try:
        document: Json = json.loads(text)
    except (ValueError, RecursionError) as not_json:  # ValueError also for integers of thousands of digits
        if isinstance(not_json, RecursionError) or text.lstrip().startswith("{"):
            raise _unparsed(where, not_json) from None
        return _parsed_yaml(text, where)
    return document


def _parsed_yaml(text: str, where: str) -> Json:
    if len(text) > MAX_YAML_BYTES:
        raise CommandFailed(f"{where} is too large for YAML, write more than 256 KiB as JSON", code=ExitCode.USAGE)
    import yaml  # noqa: PLC0415 - 20 ms that JSON need not wait

    try:
        document: Json = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: a date such as 2024-99-99
        raise _unparsed(where, error) from None
    return document


def _unparsed(where: str, error: Exception) -> CommandFailed:
    problem = getattr(error, "problem", None)
    mark = getattr(error, "problem_mark", None)
    text = "too deeply nested" if isinstance(error, RecursionError) else str(problem or error).partition("\n")[0]
    place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
    return CommandFailed(f"{where} does not parse: {text}{place}", advice=_ADVICE, code=ExitCode.USAGE)
