"""Mismatches between a JSON value and its schema, said as violations with a path."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from jsonschema_rs import ValidationError, ValidationErrorKind

from agentmesh import jsonvalues
from agentmesh.errors import Violation, ViolationReason

_MESSAGE_CHARACTERS: Final = 300
_PATH_CHARACTERS: Final = 200
_MOST_HINTS: Final = 20
"""Unknown names in one object for which one that is known is looked up."""


def violations_of(found: Iterable[ValidationError], root: str, known: Iterable[str] = ()) -> list[Violation]:
    """Say every mismatch, at most one type error a place.

    Args:
        found: What the validator found.
        root: First part of each path, e.g. `arguments`.
        known: Names of the top-level properties, for hints at misspellings.
    """
    names = list(known)
    said = [violation for error in found for violation in _said(error, root, names)]
    # A value of the wrong type breaks other rules too, e.g. an enum: the type says it all.
    mistyped = {violation.path for violation, keyword in said if keyword == "type"}
    kept = [violation for violation, keyword in said if keyword == "type" or violation.path not in mistyped]
    return list(dict.fromkeys(kept))


def path_text(root: str, parts: Sequence[str | int]) -> str:
    """Return `root.rows[3].at`; other keys are quoted, long paths cut."""
    text = root + jsonvalues.path_text(parts)
    return text if len(text) <= _PATH_CHARACTERS else f"{text[:_PATH_CHARACTERS]}..."


def nearest_hint(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean ...?` with the names most alike, or all names where there are few, or nothing."""
    names = sorted(known)
    close = difflib.get_close_matches(name[:100], names, n=3, cutoff=0.5)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; there is {', '.join(names)}" if 0 < len(names) <= 10 else ""


def shortened(message: str) -> str:
    """Return the message with at most 300 characters: it quotes the value, which may be long."""
    return message if len(message) <= _MESSAGE_CHARACTERS else f"{message[:_MESSAGE_CHARACTERS]}..."


def _said(error: ValidationError, root: str, known: Sequence[str]) -> Iterator[tuple[Violation, str]]:
    kind, place = error.kind, list(error.instance_path)
    match kind:
        case ValidationErrorKind.Required():
            path = path_text(root, [*place, kind.property])
            yield Violation(path, ViolationReason.ARGUMENT_MISSING, "required and not there"), kind.name
        case ValidationErrorKind.AdditionalProperties():
            for position, name in enumerate(kind.unexpected):
                hint = nearest_hint(name, known) if not place and position < _MOST_HINTS else ""
                path = path_text(root, [*place, name])
                yield Violation(path, ViolationReason.ARGUMENT_UNKNOWN, f"no such name{hint}"), kind.name
        case ValidationErrorKind.AnyOf() | ValidationErrorKind.OneOfNotValid():
            yield from _said_of_branches(error, kind.context, root)
        case _:
            message = shortened(error.message)
            yield Violation(path_text(root, place), ViolationReason.ARGUMENT_INVALID, message), kind.name


def _said_of_branches(
    error: ValidationError, branches: Sequence[Sequence[ValidationError]], root: str
) -> Iterator[tuple[Violation, str]]:
    """Of a union, only the branches of the value's type count; if that is one, its mismatches say more."""
    place = list(error.instance_path)
    fitting = [branch for branch in branches if not _is_of_other_type(branch, place)]
    if len(fitting) == 1:
        for inner in fitting[0]:
            yield from _said(inner, root, ())
        return
    messages = dict.fromkeys(inner.message for branch in fitting or branches for inner in branch)
    yield Violation(path_text(root, place), ViolationReason.ARGUMENT_INVALID, shortened("; ".join(messages))), "anyOf"


def _is_of_other_type(branch: Sequence[ValidationError], place: list[str | int]) -> bool:
    return any(isinstance(e.kind, ValidationErrorKind.Type) and list(e.instance_path) == place for e in branch)
