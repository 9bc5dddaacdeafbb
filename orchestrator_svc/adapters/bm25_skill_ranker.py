"""Ranks skills by BM25 over the words of their cards, through `bm25s`."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

import bm25s
import numpy as np

from orchestrator_svc.adapters.offline.words import terms, words
from orchestrator_svc.core.catalog import Catalog, Skill

_NAME_COUNTS: Final = 3
_TAG_COUNTS: Final = 2
"""A term in a name or a tag counts as if it stood there so often; elsewhere as often as it does."""
_MAX_INDEXES: Final = 8
"""Catalogs whose index is kept: the whole one, and what is left of it under the limits that callers set."""


class Bm25SkillRanker:
    """Implements SkillRanker: 0.05 to 0.2 ms a skill for an index, then 0.1 ms.

    The offline planner's own index knows more of a card, and takes ten times as long to make.
    """

    def __init__(self) -> None:
        self._indexes: OrderedDict[str, _Index] = OrderedDict()
        self._indexing = threading.Lock()

    def rank(self, query: str, catalog: Catalog) -> tuple[str, ...]:
        """Every skill id of the catalog, the best fit first; equal fits in the order of their ids."""
        if not len(catalog):
            return ()
        with self._indexing:  # those who ask at the same time want one index, not one each
            index = self._indexes.get(catalog.fingerprint)
            if index is None:
                index = self._indexes[catalog.fingerprint] = _Index(catalog)
                if len(self._indexes) > _MAX_INDEXES:
                    self._indexes.popitem(last=False)
            self._indexes.move_to_end(catalog.fingerprint)
        return index.rank(query)


class _Index:
    """The terms of every card of one catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._ids = tuple(catalog.skills)
        documents = [list(_terms_of(skill)) for skill in catalog.skills.values()]
        # Numbered here: bm25s numbers them in the order of a set, which no two processes share.
        known = dict.fromkeys(term for document in documents for term in document)
        self._numbers = {term: number for number, term in enumerate(known)}
        self._scores: bm25s.BM25 | None = None
        if self._numbers:
            self._scores = bm25s.BM25()  # type: ignore[no-untyped-call]  # it has no types
            numbered = [[self._numbers[term] for term in document] for document in documents]
            self._scores.index((numbered, self._numbers), create_empty_token=False, show_progress=False)

    def rank(self, query: str) -> tuple[str, ...]:
        once = " ".join(dict.fromkeys(words(query)))  # a query of 32 KiB has each word many times
        asked = dict.fromkeys(self._numbers[term] for term in terms(once) if term in self._numbers)
        if self._scores is None or not asked:
            return self._ids
        scores = self._scores.get_scores_from_ids(list(asked))
        # The sort is stable and the ids are sorted: equal scores stay in their order.
        return tuple(self._ids[place] for place in np.argsort(-scores, kind="stable"))


def _terms_of(skill: Skill) -> Iterator[str]:
    for _ in range(_NAME_COUNTS):
        yield from terms(skill.name.replace("_", " "))
    for _ in range(_TAG_COUNTS):
        yield from terms(" ".join(skill.tags).replace("_", " "))
    yield from terms(skill.description)
    yield from terms(f"{skill.agent.replace('_', ' ')} {skill.agent_description}")
    for example in skill.examples:
        yield from terms(example)
