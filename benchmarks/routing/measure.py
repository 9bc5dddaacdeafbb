"""Puts questions to a planner and counts what it routes right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from agentmesh.jsonvalues import JsonObject
from benchmarks.routing.questions import RoutingQuestion, load_catalog
from benchmarks.routing.scoring import KINDS, Verdict, judge
from orchestrator_svc.adapters.offline.composition import compose
from orchestrator_svc.adapters.offline.embeddings import Embedder
from orchestrator_svc.adapters.offline.evidence import Thresholds
from orchestrator_svc.adapters.offline.skill_index import SkillIndex
from orchestrator_svc.core.catalog import Catalog


@dataclass
class Tally:
    """How many questions of one class were routed right."""

    asked: int = 0
    exact: int = 0
    arguments: int = 0

    @property
    def share(self) -> float:
        return self.exact / self.asked if self.asked else 0.0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.asked + other.asked, self.exact + other.exact, self.arguments + other.arguments)


@dataclass
class Measurement:
    """What one planner made of the questions."""

    tallies: dict[str, Tally] = field(default_factory=lambda: {kind: Tally() for kind in KINDS})
    wrong: list[tuple[RoutingQuestion, Verdict]] = field(default_factory=list)

    @property
    def overall(self) -> Tally:
        return sum(self.tallies.values(), Tally())

    def add(self, question: RoutingQuestion, verdict: Verdict) -> None:
        self.tallies[question.kind] += Tally(1, int(verdict.exact), int(verdict.exact and verdict.arguments))
        if not (verdict.exact and verdict.arguments):
            self.wrong.append((question, verdict))


class Router:
    """The offline planner with thresholds of choice; indexes each catalog once."""

    def __init__(self, embedder: Embedder | None) -> None:
        self._embedder = embedder
        self._indexes: dict[str, tuple[Catalog, SkillIndex]] = {}

    def plan(self, question: RoutingQuestion, thresholds: Thresholds) -> JsonObject:
        """The plan for a question, in the plan language."""
        if question.catalog not in self._indexes:
            catalog = load_catalog(question.catalog)
            self._indexes[question.catalog] = catalog, SkillIndex(catalog, self._embedder)
        catalog, index = self._indexes[question.catalog]
        return {"steps": [*compose(question.text, catalog, index, thresholds)]}

    def measure(self, questions: Iterable[RoutingQuestion], thresholds: Thresholds) -> Measurement:
        found = Measurement()
        for question in questions:
            found.add(question, judge(question, self.plan(question, thresholds), load_catalog(question.catalog)))
        return found


def odd(questions: Sequence[RoutingQuestion]) -> list[RoutingQuestion]:
    """The questions that set thresholds."""
    return [question for question in questions if not question.measures]


def even(questions: Sequence[RoutingQuestion]) -> list[RoutingQuestion]:
    """The questions that measure."""
    return [question for question in questions if question.measures]
