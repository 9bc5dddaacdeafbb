"""Reads documents that people write, from a file or from standard input: JSON or YAML."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

from agentmesh.cli.exits import CommandFailed, ExitCode
from agentmesh.jsonvalues import Json

STDIN: Final = "-"
MAX_YAML_BYTES: Final = 256 * 1024
"""A second or three for the loader in Python; the one in C crashes on deeply nested text."""


def read_document(name: str, *, max_bytes: int, advice: str) -> Json:
    """Return what is in a file, `-` for standard input.

    Args:
        name: Of the file.
        max_bytes: A larger one is refused.
        advice: What such a document looks like.

    Raises:
        CommandFailed: The file cannot be read, is too large, or does not parse.
    """
    where = where_of(name)
    return _parsed(_content(name, where, max_bytes), where, advice)


def where_of(name: str) -> str:
    """What texts call it."""
    return "standard input" if name == STDIN else name


def _content(name: str, where: str, max_bytes: int) -> bytes:
    try:
        if name == STDIN:
            content = sys.stdin.buffer.read(max_bytes + 1)
        else:
            with Path(name).open("rb") as file:
                content = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CommandFailed(f"{where} cannot be read: {reason}", code=ExitCode.USAGE) from None
    if len(content) > max_bytes:
        raise CommandFailed(f"{where} has more than {max_bytes} bytes", code=ExitCode.USAGE)
    return content


def _parsed(content: bytes, where: str, advice: str) -> Json:
    """JSON first: it is the faster one, and its errors are not those of YAML."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise CommandFailed(f"{where} is no UTF-8 text, at byte {error.start}", code=ExitCode.USAGE) from None
    try:
        document: Json = json.loads(text)
    except (ValueError, RecursionError) as not_json:  # ValueError also for integers of thousands of digits
        if isinstance(not_json, RecursionError) or text.lstrip().startswith("{"):
            raise _unparsed(where, not_json, advice) from None
        return _parsed_yaml(text, where, advice)
    return document


def _parsed_yaml(text: str, where: str, advice: str) -> Json:
    if len(text) > MAX_YAML_BYTES:
        raise CommandFailed(f"{where} is too large for YAML, write more than 256 KiB as JSON", code=ExitCode.USAGE)
    import yaml  # noqa: PLC0415 - 20 ms that JSON need not wait

    try:
        document: Json = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: a date such as 2024-99-99
        raise _unparsed(where, error, advice) from None
    return document


def _unparsed(where: str, error: Exception, advice: str) -> CommandFailed:
    problem = getattr(error, "problem", None)
    mark = getattr(error, "problem_mark", None)
    text = "too deeply nested" if isinstance(error, RecursionError) else str(problem or error).partition("\n")[0]
    place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
    return CommandFailed(f"{where} does not parse: {text}{place}", advice=advice, code=ExitCode.USAGE)
