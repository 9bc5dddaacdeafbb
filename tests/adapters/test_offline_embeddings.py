"""Sentence embeddings: they need no network, and count where words say too little."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pytest

from orchestrator_svc.adapters.offline.embeddings import Embedder, Vectors, WordllamaEmbedder, installed
from orchestrator_svc.adapters.offline_planner import OfflinePlanner
from orchestrator_svc.app.ports.planner import Question
from tests.adapters.offline_catalog import LIBRARY

EMBEDDERS: tuple[type[Embedder], ...] = (WordllamaEmbedder,) if installed() else ()
"""There is no wheel of it for every machine."""


class Thesaurus:
    """Knows two topics by some of their words; everything else is unlike anything."""

    _TOPICS = (("hours", "open", "shut"), ("overdue", "late"))

    def embed(self, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), len(self._TOPICS)), dtype=np.float32)
        for row, text in enumerate(texts):
            for column, topic in enumerate(self._TOPICS):
                vectors[row, column] = any(word in text.lower() for word in topic)
        lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1.0)
        return np.asarray(vectors / lengths, dtype=np.float32)


def skills(planner: OfflinePlanner, query: str) -> list[str]:
    steps = planner.plan(Question(query), LIBRARY)["steps"]
    assert isinstance(steps, list)
    return [str(step["skill"]).split("__")[1] for step in steps if isinstance(step, dict)]


def test_a_sentence_that_means_the_same_is_enough_where_words_say_nothing() -> None:
    assert skills(OfflinePlanner(), "When do you shut?") == []
    assert skills(OfflinePlanner(Thesaurus()), "When do you shut?") == ["opening_hours"]


def test_where_words_say_enough_they_decide() -> None:
    assert skills(OfflinePlanner(Thesaurus()), "Biography of the late author AU-9") == ["get_author"]


def test_what_is_like_nothing_stays_unanswered() -> None:
    assert skills(OfflinePlanner(Thesaurus()), "Sing me a song") == []


@pytest.mark.parametrize("embedder", EMBEDDERS)
def test_the_model_comes_from_the_wheel_and_leaves_logging_alone(embedder: type[Embedder]) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    rain, umbrella, loan = embedder().embed(["will it rain", "rain and wind tomorrow", "an overdue loan"])
    assert (root.handlers, root.level) == before
    assert np.isclose(rain @ rain, 1.0)
    assert rain @ umbrella > rain @ loan


@pytest.mark.parametrize("embedder", EMBEDDERS)
def test_texts_without_words_have_vectors_too(embedder: type[Embedder]) -> None:
    vectors = embedder().embed(["", "\x00", "天気"])
    assert np.isfinite(vectors).all()
