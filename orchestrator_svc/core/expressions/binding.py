"""From JSON to what the engine is given: only the parts that an expression mentions, every number as a double.

The engine copies what it is given, a megabyte in about 10 ms; most expressions want one field of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from agentmesh.jsonvalues import Json
from orchestrator_svc.core.expressions.references import Path, Reference

Needs: TypeAlias = "dict[str | int, Needs] | None"
"""What is wanted of a value: the members by key or position, each with its own needs; None is all of it."""


def needs(references: Iterable[Reference]) -> Mapping[str, Needs]:
    """Return, for each name that is referred to, what is wanted of its value."""
    wanted: dict[str | int, Needs] = {}
    for reference in references:
        path: list[str | int] = [reference.step]
        path.extend(part for part in reference.path if part is not None)
        # has(s.f) asks whether the field is there, not what is in it.
        _want(wanted, path, {} if reference.guarded else None)
    return {name: need for name, need in wanted.items() if isinstance(name, str)}


def _want(wanted: dict[str | int, Needs], path: list[str | int], last: Needs) -> None:
    for part in path[:-1]:
        inner = wanted.setdefault(part, {})
        if inner is None:
            return
        wanted = inner
    if last is None or path[-1] not in wanted:
        wanted[path[-1]] = last


def bound(value: Json, need: Needs) -> Json:
    """Return what an expression with this need must see of a value; it cannot tell the rest is missing."""
    if need is None:
        return _doubled(value)
    if isinstance(value, dict) and all(isinstance(key, str) for key in need):
        return {key: bound(value[key], inner) for key, inner in need.items() if isinstance(key, str) and key in value}
    if isinstance(value, list) and all(isinstance(key, int) for key in need):
        # The others keep their places, so that positions and the length stay right.
        members: list[Json] = [None] * len(value)
        for index, inner in need.items():
            if isinstance(index, int) and 0 <= index < len(value):
                members[index] = bound(value[index], inner)
        return members
    return _doubled(value)  # the expression is wrong about the type; the engine shall say so


def located(value: Json, path: Path) -> tuple[Json] | None:
    """Return the part of a value that a path leads to, in a tuple of one; None when it leads nowhere."""
    for part in path:
        if isinstance(value, dict) and isinstance(part, str) and part in value:
            value = value[part]
            continue
        if not (isinstance(value, list) and isinstance(part, int) and 0 <= part < len(value)):
            return None
        value = value[part]
    return (value,)


def _doubled(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _doubled(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_doubled(element) for element in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value
