"""Turns `if there are any`, `if nothing was found`, `if it is above 80 %` into an expression over an earlier result."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from orchestrator_svc.adapters.offline.drafting import Earlier
from orchestrator_svc.adapters.offline.naming import meant_by, name_stems
from orchestrator_svc.adapters.offline.words import stem, words
from orchestrator_svc.core.wiring import Source, all_fields

_NEGATION: Final = re.compile(r"\b(?:no|not|none|nothing|nobody|never|without|isn't|aren't|wasn't|doesn't|don't)\b")
_COMPARISON: Final = re.compile(
    r"\b(?:(?P<at_least>at least|no (?:less|fewer) than)|(?P<at_most>at most|no more than|up to)"
    r"|(?P<more>more than|over|above|greater than|higher than|exceeds?|exceeding|beyond|larger than)"
    r"|(?P<less>fewer than|less than|under|below|lower than|smaller than))\s+(?P<number>\d+(?:\.\d+)?)",
)
_OPERATORS: Final = {"at_least": ">=", "at_most": "<=", "more": ">", "less": "<"}
_OPPOSITES: Final = {">=": "<", "<": ">=", "<=": ">", ">": "<=", "==": "!="}
_NUMBERS: Final = frozenset({"integer", "number"})


@dataclass(frozen=True)
class Condition:
    """An expression for `when`, over one field."""

    field: Source
    comparison: str
    """What follows the field, or its size: `> 0`."""
    counts: bool
    """True if the field is a list, whose size is compared."""

    @property
    def expression(self) -> str:
        place = f"size({self.field.expression})" if self.counts else self.field.expression
        return f"{place} {self.comparison}"

    def opposite(self) -> Condition:
        """What holds when this does not."""
        operator, number = self.comparison.split(" ")
        if self.counts and self.comparison == "== 0":
            return replace(self, comparison="> 0")
        if self.counts and self.comparison == "> 0":
            return replace(self, comparison="== 0")
        return replace(self, comparison=f"{_OPPOSITES[operator]} {number}")

    @property
    def finds_nothing(self) -> bool:
        """Whether it holds when the list is empty, which then has no first element."""
        return self.comparison == "== 0" or self.comparison.startswith("<")


def read_condition(said: str, hints: Sequence[str], earlier: Earlier) -> Condition | None:
    """What the words after `if`, or from `unless` on, say of earlier results; None if nothing in them can tell.

    Args:
        said: The words after `if`.
        hints: The words by which the earlier steps were asked for: `check for anomalies` says of what `any` speaks.
        earlier: The steps that the condition is about.
    """
    text = said.lower()
    if text.startswith("unless"):
        found = read_condition(text.removeprefix("unless"), hints, earlier)
        return None if found is None else found.opposite()
    lists = _outside_lists(earlier, frozenset({"array"}))
    comparison = _COMPARISON.search(text)
    if comparison is None:
        chosen = meant_by([text, *hints], lists, earlier.skills)
        return Condition(chosen, "== 0" if _NEGATION.search(text) else "> 0", counts=True) if chosen else None
    operator = next(sign for name, sign in _OPERATORS.items() if comparison[name])
    number = float(comparison["number"])
    stems = {stem(word) for word in words(text)}
    field = _named_alone(_outside_lists(earlier, _NUMBERS), stems)
    if field is not None:
        return Condition(field, f"{operator} {number}", counts=False)
    counted = _named_alone(lists, stems)
    return Condition(counted, f"{operator} {number:.0f}", counts=True) if counted and number.is_integer() else None


def _outside_lists(earlier: Earlier, types: frozenset[str]) -> list[Source]:
    return [
        source
        for draft in earlier.drafts
        for source in all_fields(draft.to_json(), types, earlier.catalog)
        if source.path and not source.in_list
    ]


def _named_alone(sources: Sequence[Source], stems: set[str]) -> Source | None:
    """The field of which the words say most of the name; None if none or several do: a number must be named."""
    scores = [len(name_stems(source) & stems) for source in sources]
    best = max(scores, default=0)
    return sources[scores.index(best)] if best > 0 and scores.count(best) == 1 else None
