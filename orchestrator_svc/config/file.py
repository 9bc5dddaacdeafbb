"""Reads the configuration file: YAML (JSON is YAML as well) or TOML, by its suffix."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import yaml

_MAX_BYTES: Final = 256 * 1024
"""More is not a configuration but the wrong file."""
_YAML: Final = (".yaml", ".yml", ".json")


class FileInvalid(ValueError):
    """The file cannot be read; the text names it and says why."""


def read_file(path: str, fields: tuple[str, ...]) -> tuple[dict[str, object], tuple[str, ...]]:
    """Return the values by field, and the keys that are no field.

    A section joins its name to its keys: `max_attempts` in `llm` is the field `llm_max_attempts`. A key whose value is
    null (YAML) counts as absent.

    Raises:
        FileInvalid: The file is missing, too large, of another kind, does not parse, is no mapping, or sets a field
            twice.
    """
    document = _parsed(Path(path))
    if document is None:
        return {}, ()
    if not isinstance(document, dict):
        raise FileInvalid(f"names {path}, which holds no mapping of settings")
    values: dict[str, object] = {}
    unknown: list[str] = []
    for key, value in _flat(document, frozenset(fields)):
        if key not in fields:
            unknown.append(key)
        elif key in values:
            raise FileInvalid(f"names {path}, which sets {key} twice")
        else:
            values[key] = value
    return values, tuple(unknown)


def _parsed(path: Path) -> object:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise FileInvalid(f"names {path}, which cannot be read: {reason}") from None
    if len(content) > _MAX_BYTES:
        raise FileInvalid(f"names {path}, which has more than {_MAX_BYTES} bytes")
    try:
        if path.suffix == ".toml":
            return tomllib.loads(content.decode())
        if path.suffix in _YAML:
            return yaml.safe_load(content)
    except (tomllib.TOMLDecodeError, yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        first_line = str(error).partition("\n")[0]
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise FileInvalid(f"names {path}, which does not parse: {first_line}{where}") from None
    raise FileInvalid(f"names {path}; the name must end in .toml, {', '.join(_YAML)}")


def _flat(section: Mapping[object, object], fields: frozenset[str], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in section.items():
        name = f"{prefix}{key}"
        if name not in fields and isinstance(value, dict):
            yield from _flat(value, fields, f"{name}_")
        elif value is not None:
            yield name, value
