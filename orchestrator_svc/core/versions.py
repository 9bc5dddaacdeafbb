"""Order of versions, by Semantic Versioning 2.0.0, section 11."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

_VERSION: Final = re.compile(r"([0-9]+)\.([0-9]+)\.([0-9]+)(?:-([0-9A-Za-z.-]*))?(?:\+.*)?", re.ASCII)

Precedence: TypeAlias = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]
"""Compares as the versions do; only for comparing."""


def precedence(version: str) -> Precedence:
    """Return the place of a version in the order: `max(versions, key=precedence)` is the latest.

    A pre-release comes before its release; what follows a `+` counts for nothing.

    Raises:
        ValueError: It is no version such as `1.4.0`, `1.4.0-rc.1` or `1.4.0+build.7`.
    """
    found = _VERSION.fullmatch(version)
    if found is None:
        raise ValueError(f"{version[:80]!r} is no version such as 1.4.0")
    major, minor, patch, pre_release = found.groups()
    identifiers = (pre_release or "").split(".")
    return int(major), int(minor), int(patch), pre_release is None, tuple(map(_place, identifiers))


def _place(identifier: str) -> tuple[bool, int, str]:
    """Numbers by their value, before all words; words by their ASCII codes."""
    return (False, int(identifier), "") if identifier.isdecimal() else (True, 0, identifier)
