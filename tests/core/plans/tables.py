"""Reads the tables of plans, which stand beside this file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import yaml

from agentmesh.errors import ViolationReason
from agentmesh.jsonvalues import Json, JsonObject

_LONG: Final = {
    "EXPRESSION_OF_2048_CHARACTERS": f"1 < 2 || '{'x' * 2031}' == ''",
    "EXPRESSION_OF_2049_CHARACTERS": f"1 < 2 || '{'x' * 2032}' == ''",
    "TEXT_OF_3000_CHARACTERS": "x" * 3000,
    "KEY_OF_100_KB": "k" * 100_000,
}


@dataclass(frozen=True)
class ValidPlan:
    """A plan of valid.yaml and what is to become of it."""

    name: str
    source: JsonObject
    mode: str
    needs: dict[str, list[str]]
    tolerates: dict[str, list[str]]


@dataclass(frozen=True)
class Expected:
    """A violation: its place, its reason, and words of its message."""

    path: str
    reason: ViolationReason
    said: str


@dataclass(frozen=True)
class InvalidPlan:
    """A plan of invalid.yaml and everything that is wrong with it, in order."""

    name: str
    source: Json
    violations: tuple[Expected, ...]


def valid_plans() -> list[ValidPlan]:
    return [
        ValidPlan(
            name=str(entry["name"]),
            source={"steps": entry["steps"]},
            mode=str(entry["mode"]),
            needs=cast("dict[str, list[str]]", entry.get("needs", {})),
            tolerates=cast("dict[str, list[str]]", entry.get("tolerates", {})),
        )
        for entry in _entries("valid.yaml")
    ]


def invalid_plans() -> list[InvalidPlan]:
    return [
        InvalidPlan(
            name=str(entry["name"]),
            source=entry["plan"] if "plan" in entry else {"steps": entry["steps"]},
            violations=tuple(_expected(line) for line in cast("list[str]", entry["violations"])),
        )
        for entry in _entries("invalid.yaml")
    ]


def _expected(line: str) -> Expected:
    """`path REASON words of the message`; the path of the whole plan is written `plan`."""
    path, reason, *said = line.split(" ", 2)
    return Expected("" if path == "plan" else path, ViolationReason(reason), said[0] if said else "")


def _entries(file: str) -> list[JsonObject]:
    text = Path(__file__).with_name(file).read_text(encoding="utf-8")
    return [cast("JsonObject", _in_full(entry)) for entry in cast("list[Json]", yaml.safe_load(text))]


def _in_full(value: Json) -> Json:
    """The value with what stands for long texts written out."""
    if isinstance(value, str):
        for placeholder, meaning in _LONG.items():
            value = value.replace(placeholder, meaning)
        return value
    if isinstance(value, list):
        return [_in_full(element) for element in value]
    if isinstance(value, dict):
        return {cast("str", _in_full(key)): _in_full(member) for key, member in value.items()}
    return value
