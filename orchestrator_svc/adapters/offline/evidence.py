"""How much a part of a question speaks for each skill, and which skills its parts ask for together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np

from orchestrator_svc.adapters.offline.clauses import Span
from orchestrator_svc.adapters.offline.imperatives import permitted
from orchestrator_svc.adapters.offline.mentions import Kind, Mention, without
from orchestrator_svc.adapters.offline.skill_index import Evidence, SkillIndex
from orchestrator_svc.adapters.offline.words import terms

_CHOICES_A_UNIT: Final = 3
_MAX_UNITS_WEIGHED: Final = 6
"""3^6 combinations are 0.7 ms; of more units, each takes its best skill."""
_FOR_ONE: Final = 0.6
_FOR_ONE_FACTOR: Final = 1.5
"""Evidence of a value that is nearly sure to be for one skill, and how much more it must be than for any other."""


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

    def best(self, *spans: Span, possible: Evidence | None = None) -> int | None:
        """The skill that the spans surely ask for; None if there is none."""
        scores = self.evidence(*spans) if possible is None else self.evidence(*spans) * possible
        place = int(np.argmax(scores))
        return place if self._is_sure(scores, place, *spans) else None

    def _is_sure(self, scores: Evidence, place: int, *spans: Span) -> bool:
        """Whether the evidence for a skill is enough. Values alone are, if hardly any other skill takes them."""
        if self._has_words(*spans):
            return bool(scores[place] >= self._thresholds.enough)
        others = np.delete(scores, place).max(initial=0.0)
        return bool(scores[place] >= _FOR_ONE and scores[place] >= _FOR_ONE_FACTOR * others)

    def _has_words(self, *spans: Span) -> bool:
        """Whether the spans say something besides values."""
        text = " ".join(self._plain[start:end] for start, end in spans)
        if any(self._index.knows(term) for term in terms(text)):
            return True
        return bool(self._by_similarity(text).max(initial=0.0) >= self._thresholds.enough)

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
        return found

    def permitted(self, clause: Span) -> Evidence:
        """A factor a skill: 0 where the clause orders something that the skill does not do."""
        return permitted(self._plain[slice(*clause)], self._index.skills)

    def groups(
        self, units: Sequence[Span], possible: Evidence, apart_from: frozenset[str] = frozenset()
    ) -> list[Group]:
        """The skills that the units of a clause surely ask for, in the order of the units.

        Args:
            units: What the clause joins with `and`.
            possible: A factor a skill: below 1 where it lacks arguments, 0 where it may not be meant.
            apart_from: Stems that are no evidence here.
        """
        if not units:
            return []
        weighed = [(unit, self._weighed([unit], possible, apart_from)) for unit in units]
        asking = [(unit, scores) for unit, scores in weighed if self._has_words(unit) and scores.max() >= self._least]
        asking += [(unit, scores) for unit, scores in weighed if self._is_value_for_another(unit, scores, asking)]
        if not asking:
            asking = [(units[0], self._weighed(units, possible, apart_from))]
        chosen = self._chosen([scores for _, scores in asking])
        by_unit = dict(zip((unit for unit, _ in asking), chosen, strict=True))
        return [
            group
            for group in _grouped(units, by_unit)
            if self._is_sure(self._weighed(group.units, possible, apart_from), group.skill, *group.units)
        ]

    def _weighed(self, units: Sequence[Span], possible: Evidence, apart_from: frozenset[str]) -> Evidence:
        """The evidence for what is possible; none where what is not possible is meant rather."""
        scores = self.evidence(*units, apart_from=apart_from)
        impossible = np.where(possible == 0, scores, 0.0).max(initial=0.0)
        return np.where(scores >= impossible, scores * possible, 0.0)

    @property
    def _least(self) -> float:
        """The evidence from which a unit asks for something by itself; a skill's units need `enough` together."""
        return self._thresholds.enough / 2

    def _is_value_for_another(self, unit: Span, scores: Evidence, asking: Sequence[tuple[Span, Evidence]]) -> bool:
        """Whether the unit is a value that none of the skills asked for takes, and nearly surely one other does."""
        if self._has_words(unit) or not self._is_sure(scores, int(np.argmax(scores)), unit):
            return False
        return not any(scores[int(np.argmax(others))] > 0 for _, others in asking)

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


def _grouped(units: Sequence[Span], by_unit: dict[Span, int]) -> Iterator[Group]:
    """Units of the same skill together; one that asks for nothing itself goes with the one before it, or the first."""
    current = next(iter(by_unit.values()))
    found: dict[int, list[Span]] = {}
    for unit in units:
        current = by_unit.get(unit, current)
        found.setdefault(current, []).append(unit)
    for skill, members in found.items():
        yield Group(skill, tuple(members))
