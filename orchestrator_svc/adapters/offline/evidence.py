"""How much a part of a question speaks for each skill, and which skills its parts ask for together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np

from orchestrator_svc.adapters.offline.clauses import Span
from orchestrator_svc.adapters.offline.mentions import Kind, Mention, without
from orchestrator_svc.adapters.offline.skill_index import Evidence, SkillIndex
from orchestrator_svc.adapters.offline.words import CHANGE_VERBS, NOUNS_AS_WELL, stem, terms, words
from orchestrator_svc.core.catalog import Skill

_CHOICES_A_UNIT: Final = 3
_MAX_UNITS_WEIGHED: Final = 6
"""3^6 combinations are 0.7 ms; of more units, each takes its best skill."""
_UNIQUE: Final = 0.6
"""Evidence of a value that is nearly sure to be for one skill."""
_IMPERATIVE: Final = re.compile(
    r"[\s,]*(?:(?:and|then|also|now|just|please|kindly|go ahead and|try to|let's|(?:can|could|would|will) you"
    r"|i(?:'d| would) like(?: you)? to|i want(?: you)? to|i need(?: you)? to|you (?:should|must|have to))[\s,]+)*"
    r"(?P<verb>[a-z]+)"
    r"(?P<object>\s+(?:the|an?|its|their|his|her|my|our|all|any|every|each|me|us|it|them|this|that|these|those)\b|\s{2,})?",
    re.IGNORECASE,
)
"""The first verb of an order, and whether an object that is clearly one follows; a value taken out leaves a gap."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What is learnt from questions with known answers."""

    enough: float
    """Evidence below this is none: the planner abstains. In units of `skill_index`."""
    another_skill: float
    """How much better, as a share of its best, a unit must fare with a skill of its own than with another unit's.

    Below 0 it may even fare worse: two things that are joined with `and` are seldom the same.
    """
    similar: float
    """Where the words say too little, a sentence of the card that is so near (cosine) counts as enough."""


@dataclass(frozen=True, slots=True)
class Group:
    """Units that one skill answers."""

    skill: int
    """Position in the catalog."""
    units: tuple[Span, ...]


class Judge:
    """Weighs the parts of one question."""

    def __init__(self, text: str, mentions: Sequence[Mention], index: SkillIndex, thresholds: Thresholds) -> None:
        self._index = index
        self._mentions = [mention for mention in mentions if mention.kind is not Kind.WORD]
        self._plain = without(text, self._mentions)
        self._thresholds = thresholds

    def enough(self, *spans: Span) -> float:
        """The least evidence that counts; if the spans hold values alone, only one that hardly any skill takes does."""
        return self._thresholds.enough if self._has_words(*spans) else max(self._thresholds.enough, _UNIQUE)

    def _least(self, unit: Span) -> float:
        """The evidence from which a unit asks for something by itself; less does where others ask for the same."""
        return self._thresholds.enough / 2 if self._has_words(unit) else _UNIQUE

    def _has_words(self, *spans: Span) -> bool:
        return any(self._index.knows(term) for span in spans for term in terms(self._plain[slice(*span)]))

    def evidence(self, *spans: Span, apart_from: frozenset[str] = frozenset()) -> Evidence:
        """What the spans together say for each skill, apart from some words (stems)."""
        text = " ".join(self._plain[start:end] for start, end in spans)
        familiar = [t for t in dict.fromkeys(terms(text)) if self._index.knows(t) and t not in apart_from]
        found = self._index.term_evidence(familiar)
        values = [m for m in self._mentions if any(start <= m.start and m.end <= end for start, end in spans)]
        # Among words that nobody knows, a value that somebody could take says little.
        share = len(familiar) / len(set(terms(text))) if terms(text) else 1.0
        for mention in values:
            found = found + self._index.value_evidence(mention) * share
        if found.max(initial=0.0) < self._thresholds.enough:
            found = np.maximum(found, self._by_similarity(text))
        verb = changing_verb(text)
        if verb is not None:
            found = np.where([names_verb(skill, verb) for skill in self._index.skills], found, 0.0)
        return found

    def groups(
        self, units: Sequence[Span], feasible: Evidence, apart_from: frozenset[str] = frozenset()
    ) -> list[Group]:
        """The skills that the units of a clause surely ask for, in the order of the units.

        Args:
            units: What the clause joins with `and`.
            feasible: A factor a skill: below 1 where it lacks arguments.
            apart_from: Stems that are no evidence here.
        """
        weighed = [(unit, self.evidence(unit, apart_from=apart_from) * feasible) for unit in units]
        strong = [(unit, scores) for unit, scores in weighed if scores.max() >= self._least(unit)]
        if not strong:
            strong = [(units[0], self.evidence(*units, apart_from=apart_from) * feasible)]
        chosen = self._chosen([scores for _, scores in strong])
        by_unit = dict(zip((unit for unit, _ in strong), chosen, strict=True))
        return [
            group
            for group in _grouped(units, by_unit)
            if (self.evidence(*group.units, apart_from=apart_from) * feasible)[group.skill] >= self.enough(*group.units)
        ]

    def _chosen(self, units: Sequence[Evidence]) -> tuple[int, ...]:
        """One skill a unit, so that few skills fit all of them well."""
        options = [
            tuple(int(place) for place in np.argsort(-scores, kind="stable")[:_CHOICES_A_UNIT]) for scores in units
        ]
        if len(units) > _MAX_UNITS_WEIGHED:
            return tuple(option[0] for option in options)
        return max(product(*options), key=lambda choice: self._harmony(choice, units))

    def _harmony(self, choice: Sequence[int], units: Sequence[Evidence]) -> float:
        fit = sum(
            float(scores[place] / scores.max()) for place, scores in zip(choice, units, strict=True) if scores.max() > 0
        )
        return fit - self._thresholds.another_skill * len(set(choice))

    def _by_similarity(self, text: str) -> Evidence:
        """What the nearest sentences of the cards say: `enough` at the cosine that counts as that."""
        cosines = self._index.similarity([" ".join(text.split())]) if terms(text) else None
        if cosines is None:
            return np.zeros(len(self._index.skills))
        found: Evidence = np.maximum(cosines[0], 0.0) * (self._thresholds.enough / self._thresholds.similar)
        return found


def changing_verb(text: str) -> str | None:
    """The verb with which a request for a change begins, such as `restart`; None for any other text."""
    match = _IMPERATIVE.match(text)
    verb = match["verb"].lower() if match else ""
    if match is None or verb not in CHANGE_VERBS or (verb in NOUNS_AS_WELL and not match["object"]):
        return None
    return verb


def names_verb(skill: Skill, verb: str) -> bool:
    """Whether the skill says of itself that it does this."""
    return stem(verb) in {stem(word) for word in words(f"{skill.name.replace('_', ' ')} {skill.description}")}


def _grouped(units: Sequence[Span], by_unit: dict[Span, int]) -> Iterator[Group]:
    """Units of the same skill together; one that asks for nothing itself goes with the one before it, or the first."""
    current = next(iter(by_unit.values()))
    found: dict[int, list[Span]] = {}
    for unit in units:
        current = by_unit.get(unit, current)
        found.setdefault(current, []).append(unit)
    for skill, members in found.items():
        yield Group(skill, tuple(members))
