"""Requests with another one inside: `track the parcel of order A-17`, `the authors of the books that are late`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from orchestrator_svc.adapters.offline.asked import Asked
from orchestrator_svc.adapters.offline.clauses import Clause, Span

_PREPOSITION: Final = re.compile(r"\s+(?:of|for|from|in|on|with|at|by|where)\s+", re.IGNORECASE)
_RELATIVE: Final = re.compile(r"(?P<noun>\w+)\s+(?:that|which|who|with|where|having|whose)\b", re.IGNORECASE)
_WORD_BEFORE: Final = re.compile(r"(?:[A-Za-z]+\s+)?\Z")
_POSSESSIVE: Final = re.compile(r"'s?\s+")


@dataclass(frozen=True, slots=True)
class Split:
    """A way to read a clause as a request about the result of another."""

    goal: tuple[Span, ...]
    """What is asked for."""
    source: Span
    """The words that say of what: they may be a request themselves."""
    described: bool
    """Whether the source is described, as in `books that are late`, and not only named by a value."""
    many: bool
    """Whether the description is of several things."""


def splits(asked: Asked, clause: Clause) -> Iterator[Split]:
    """The ways to read a clause so; none for one that joins several things."""
    start, end = clause.span
    if len(clause.units) != 1:
        return
    for match in _PREPOSITION.finditer(asked.text, start, end):
        tail = (match.end(), end)
        relative = _RELATIVE.search(asked.text, *tail)
        noun = relative["noun"] if relative else ""
        yield Split(((start, match.start()),), tail, bool(noun), noun.endswith("s") and not noun.endswith("ss"))
    for mention in asked.within(clause.span):
        possessive = _POSSESSIVE.match(asked.text, mention.end, end)
        before = _WORD_BEFORE.search(asked.text, start, mention.start)
        if possessive and before and possessive.end() < end:
            owner = (before.start(), mention.end)
            yield Split(((start, owner[0]), (possessive.end(), end)), owner, described=False, many=False)
