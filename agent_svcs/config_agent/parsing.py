"""From the bytes of a YAML, TOML or JSON file to JSON, or to one sentence about what is wrong and in which line."""

from __future__ import annotations

import base64
import datetime
import json
import math
import re
import tomllib
from collections.abc import Hashable
from typing import Any, Final

import yaml

from agent_svcs.config_agent.directory import Format
from agentmesh.jsonvalues import MAX_INTEGER, Json, JsonObject

MAX_DEPTH: Final = 20
MAX_CHARACTERS: Final = 4 * 128 * 1024
"""Of the values together: aliases of YAML can make a small file enormous."""


class Malformed(ValueError):
    """The file cannot be read as what it is called; `line` counts from 1 where it is known."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


def parse(data: bytes, kind: Format, *, max_depth: int = MAX_DEPTH) -> JsonObject:
    """The configuration in a file; an empty YAML file is an empty configuration.

    What JSON between languages cannot carry becomes text: dates as ISO 8601, binary as base64, infinity, not-a-number,
    integers beyond 2^53. Raises Malformed.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed("is not UTF-8", 1 + data.count(b"\n", 0, error.start)) from None
    try:
        value = _PARSERS[kind](text)
        return _Converter(max_depth).root(value)
    except RecursionError:
        raise Malformed("is nested too deeply to be read") from None


def _parse_yaml(text: str) -> object:
    try:
        value = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise Malformed(said or "is no YAML", mark.line + 1 if mark else None) from None
    except yaml.reader.ReaderError as error:
        line = 1 + text.count("\n", 0, error.position)
        raise Malformed(f"contains the character #x{int(error.character):04x}", line) from None
    except (ValueError, OverflowError) as error:  # a date or number that does not exist
        raise Malformed(f"contains a value that does not exist: {error}") from None
    return {} if value is None else value


class _Loader(yaml.SafeLoader):
    """Refuses a key that occurs twice, which YAML forbids and the library lets pass."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002
        # `!!map text` gets here too, and is refused by the library. It also replaces `<<` by what is merged.
        keys = [key for key, _ in node.value if key.tag != _MERGE] if node.id == "mapping" else []
        result = super().construct_mapping(node, deep=deep)
        seen: set[Hashable] = set()
        for key in keys:
            value = self.construct_object(key, deep=True)  # hashable, or the library had refused it
            if value in seen:  # 1 and true too are equal in Python
                raise yaml.constructor.ConstructorError(problem="a key occurs twice", problem_mark=key.start_mark)
            seen.add(value)
        return result


_MERGE: Final = "tag:yaml.org,2002:merge"


def _parse_toml(text: str) -> object:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.fullmatch(r"(.*?)(?: \(at (?:line (\d+), column \d+|end of document)\))?", str(error), re.DOTALL)
        assert place is not None, "every part of the pattern is optional"
        line = int(place[2]) if place[2] else None
        raise Malformed(place[1], line) from None


def _parse_json(text: str) -> object:
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        result = dict(pairs)
        if len(result) < len(pairs):
            raise Malformed("a key occurs twice in one object")
        return result

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise Malformed(error.msg, error.lineno) from None
    except Malformed:
        raise
    except ValueError:
        raise Malformed("contains a number with too many digits") from None


_PARSERS: Final = {"yaml": _parse_yaml, "toml": _parse_toml, "json": _parse_json}


class _Converter:
    """To JSON that any language can read, within the limits."""

    def __init__(self, max_depth: int) -> None:
        self._max_depth = max_depth
        self._left = MAX_CHARACTERS

    def root(self, value: object) -> JsonObject:
        """A whole file."""
        if not isinstance(value, dict):
            raise Malformed(f"holds {_name_of(value)} and no mapping of names to values")
        return self._mapping(value, 1)

    def _any(self, value: object, depth: int) -> Json:
        self._count(1)
        if isinstance(value, dict | list | tuple | set) and depth > self._max_depth:
            raise Malformed(f"is nested deeper than {self._max_depth}")
        if isinstance(value, dict):
            return self._mapping(value, depth)
        if isinstance(value, list | tuple | set):
            return [self._any(one, depth + 1) for one in value]
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            return self._number(value)
        return self._text(value)

    def _mapping(self, value: dict[Any, Any], depth: int) -> JsonObject:
        result: JsonObject = {}
        for key, member in value.items():
            name = self._text(key)
            if name in result:
                raise Malformed("has two keys that are the same as text")
            result[name] = self._any(member, depth + 1)
        return result

    def _number(self, value: int | float) -> Json:
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if abs(value) <= MAX_INTEGER:
            return value
        return self._text(hex(value) if value.bit_length() > 4096 else value)

    def _text(self, value: object) -> str:
        if isinstance(value, bytes):
            text = base64.b64encode(value).decode("ascii")
        elif isinstance(value, datetime.date | datetime.time):
            text = value.isoformat()
        elif value is None or isinstance(value, bool):
            text = json.dumps(value)
        else:
            text = str(value)
        self._count(len(text))
        # Halves of surrogate pairs, which "\ud83d" can leave alone, cannot be sent.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _count(self, characters: int) -> None:
        self._left -= characters
        if self._left < 0:
            raise Malformed(f"grows beyond {MAX_CHARACTERS} characters when its aliases are written out")


def _name_of(value: object) -> str:
    return "a list" if isinstance(value, list) else "a single value"
