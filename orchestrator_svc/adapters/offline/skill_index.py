"""A word index over the skills of one catalog: how much each term, value or sentence speaks for each skill.

Evidence is counted in units of one word that a single skill of the catalog has, as BM25 weighs it; so it means the same
in small and in large catalogs.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.adapters.offline.arguments import LIKELY, Argument, arguments_of
from orchestrator_svc.adapters.offline.embeddings import Embedder, Vectors
from orchestrator_svc.adapters.offline.mentions import Kind, Mention, find_mentions, without
from orchestrator_svc.adapters.offline.words import ASKING_WORDS, stem, terms, words
from orchestrator_svc.core.catalog import Catalog, Skill
from orchestrator_svc.core.schemas import alternatives

Evidence = npt.NDArray[np.float64]
"""One number a skill, in the order of the catalog."""

_NAME_WEIGHT: Final = 5.0
_TAG_WEIGHT: Final = 4.0
_DESCRIPTION_WEIGHT: Final = 3.0
_EXAMPLE_WEIGHT: Final = 2.0
_AGENT_WEIGHT: Final = 1.0
_SCHEMA_WEIGHT: Final = 0.5
"""What a term counts that stands in this part of a card, however often it stands there."""
_ABBREVIATION_CHARACTERS: Final = 5
_ABBREVIATION_WEIGHT: Final = 0.8
"""`config` means `configuration`: a term of at least so many characters that begins another counts so much of it."""
_DURATION_WEIGHT: Final = 0.3
"""That a skill takes times at all says little about what it is for."""

_SATURATION: Final = 2.0
"""BM25's k1: how soon a further occurrence of a term stops adding; late, because occurrences stand for weights here."""
_LENGTH_SHARE: Final = 0.3
"""BM25's b: how much a long card is held against its terms."""
_ASKING_STEMS: Final = frozenset(map(stem, ASKING_WORDS))
_ASKING_WEIGHT: Final = 0.3
"""Every other question begins with `check` or `list`, whatever skills are called."""
_MAX_TERMS_KEPT: Final = 4096
_FIELD_DEPTH: Final = 4
_MAX_SCHEMAS_A_LEVEL: Final = 200


class SkillIndex:
    """Immutable; building it takes about 0.2 ms a skill, and 0.1 ms more with embeddings."""

    def __init__(self, catalog: Catalog, embedder: Embedder | None = None) -> None:
        self.skills = tuple(catalog.skills.values())
        self.arguments = tuple(arguments_of(skill) for skill in self.skills)
        self.known_values = frozenset(
            value for arguments in self.arguments for argument in arguments for value in argument.known_values
        )
        self._weights = _bm25(
            [_document(skill, found) for skill, found in zip(self.skills, self.arguments, strict=True)]
        )
        self._by_term: dict[str, Evidence] = {}
        self._sentences = None if embedder is None else _Sentences(self.skills, embedder)

    def mentions(self, text: str) -> list[Mention]:
        """The values in the text, with those that the catalog knows."""
        return find_mentions(text, self.known_values)

    def knows(self, term: str) -> bool:
        """Whether the stem means something to any skill."""
        return bool(self._weight(term).any())

    def term_evidence(self, stems: Sequence[str]) -> Evidence:
        """How much stems speak for each skill, together."""
        return sum(
            (self._weight(term) * (_ASKING_WEIGHT if term in _ASKING_STEMS else 1.0) for term in stems),
            np.zeros(len(self.skills)),
        )

    def _weight(self, term: str) -> Evidence:
        found = self._by_term.get(term)
        if found is None:
            found = self._looked_up(term)
            if len(self._by_term) < _MAX_TERMS_KEPT:
                self._by_term[term] = found
        return found

    def value_evidence(self, mention: Mention) -> Evidence:
        """How much a value speaks for the skills that it suits: a lot if they are few and it is surely theirs."""
        fits = np.array([max((argument.fit(mention) for argument in each), default=0.0) for each in self.arguments])
        weight = _DURATION_WEIGHT if mention.kind is Kind.DURATION else 1.0
        found = np.zeros(len(self.skills))
        for place, fit in enumerate(fits):
            if fit >= LIKELY:
                found[place] = weight * fit * _rarity(float(np.count_nonzero(fits >= fit)), len(self.skills))
        return found

    def similarity(self, texts: Sequence[str]) -> npt.NDArray[np.float64] | None:
        """Cosine of each text (row) with the nearest sentence of each skill's card; None without embeddings."""
        return None if self._sentences is None else self._sentences.similarity(texts)

    def _looked_up(self, term: str) -> Evidence:
        if term in self._weights:
            return self._weights[term]
        kin = [
            weight for known, weight in self._weights.items() if _abbreviates(term, known) or _abbreviates(known, term)
        ]
        best: Evidence = np.max(kin, axis=0, initial=0.0) * _ABBREVIATION_WEIGHT if kin else np.zeros(len(self.skills))
        return best


class _Sentences:
    """The sentences of every card as vectors."""

    def __init__(self, skills: Sequence[Skill], embedder: Embedder) -> None:
        self._embedder = embedder
        sentences = [(owner, text) for owner, skill in enumerate(skills) for text in _sentences(skill)]
        self._owners = np.array([owner for owner, _ in sentences])
        self._vectors: Vectors = embedder.embed([text for _, text in sentences])
        self._count = len(skills)

    def similarity(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        cosines = self._embedder.embed(list(texts)) @ self._vectors.T
        best = np.full((len(texts), self._count), -1.0)
        for row, values in enumerate(cosines):
            np.maximum.at(best[row], self._owners, values)
        return best


def _sentences(skill: Skill) -> list[str]:
    name = " ".join(words(f"{skill.agent} {skill.name}".replace("_", " ")))
    return [text for text in (name, skill.description, *skill.examples) if text]


def _document(skill: Skill, arguments: Sequence[Argument]) -> Mapping[str, float]:
    """The terms of a card with their weights: for each part in which a term stands, the weight of that part."""
    known = [value for argument in arguments for value in argument.known_values]
    values = [value for argument in arguments for value in argument.enum if isinstance(value, str)]
    described = " ".join(argument.description for argument in arguments)
    parts = [
        (skill.name.replace("_", " "), _NAME_WEIGHT),
        (" ".join(skill.tags), _TAG_WEIGHT),
        (skill.description, _DESCRIPTION_WEIGHT),
        (" ".join(_plain(example, known) for example in skill.examples), _EXAMPLE_WEIGHT),
        (" ".join(values), _EXAMPLE_WEIGHT),
        (f"{skill.agent.replace('_', ' ')} {skill.agent_description}", _AGENT_WEIGHT),
        (" ".join(argument.name.replace("_", " ") for argument in arguments), _SCHEMA_WEIGHT),
        (_plain(described, known), _SCHEMA_WEIGHT),
        (" ".join(_field_names(skill.output_schema)).replace("_", " "), _SCHEMA_WEIGHT),
    ]
    weights: dict[str, float] = defaultdict(float)
    for text, weight in parts:
        for term in dict.fromkeys(terms(text)):
            weights[term] += weight
    return weights


def _plain(text: str, known: Sequence[str]) -> str:
    return without(text, [mention for mention in find_mentions(text, known) if mention.kind is not Kind.WORD])


def _field_names(root: JsonObject) -> list[str]:
    found: dict[str, None] = {}
    level: list[object] = [root]
    for _ in range(_FIELD_DEPTH):
        inner: list[object] = []
        for schema in level:
            for option in alternatives(schema, root) if isinstance(schema, dict) else ():
                properties = option.get("properties")
                if isinstance(properties, dict):
                    found.update(dict.fromkeys(properties))
                    inner.extend(properties.values())
                inner.append(option.get("items"))
        level = inner[:_MAX_SCHEMAS_A_LEVEL]
    return list(found)


def _bm25(documents: Sequence[Mapping[str, float]]) -> dict[str, Evidence]:
    """The weight of every term for every document: BM25 over weighted fields, in units of a term that only one has."""
    lengths = np.array([sum(document.values()) for document in documents])
    norms = _SATURATION * (1 - _LENGTH_SHARE + _LENGTH_SHARE * lengths / max(float(lengths.mean()), 1.0))
    weights: dict[str, Evidence] = {}
    for term in dict.fromkeys(term for document in documents for term in document):
        counts = np.array([document.get(term, 0.0) for document in documents])
        saturated = counts / (counts + norms)
        # A card that has the term only in passing holds it less than the one that is about it.
        holders = float(saturated.sum() / saturated.max())
        weights[term] = saturated * _rarity(holders, len(documents))
    return weights


def _rarity(holders: float, documents: int) -> float:
    """The inverse document frequency of something that so many documents have, as a share of what one alone has."""
    return _idf(max(holders, 1.0), documents) / _idf(1, documents)


def _idf(holders: float, documents: int) -> float:
    return math.log(1 + (documents - holders + 0.5) / (holders + 0.5))


def _abbreviates(short: str, long: str) -> bool:
    return len(short) >= _ABBREVIATION_CHARACTERS and long.startswith(short)
