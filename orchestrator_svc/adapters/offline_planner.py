"""Plans without a language model: clauses, a word index over the cards, and schemas.

It reads English. It is less able than a model, and abstains where it is not sure: benchmarks/routing says how often it
is right. The understanding is in `adapters/offline`.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from typing import Final

import structlog

from agentmesh.deadline import Deadline
from agentmesh.jsonvalues import JsonObject
from agentmesh.telemetry.failures import told_violations
from orchestrator_svc.adapters.offline.composition import compose
from orchestrator_svc.adapters.offline.embeddings import Embedder
from orchestrator_svc.adapters.offline.follow_ups import again, is_follow_up
from orchestrator_svc.adapters.offline.skill_index import SkillIndex
from orchestrator_svc.adapters.offline.thresholds import WITH_EMBEDDINGS, WORDS_ONLY
from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.app.ports.planner import PlanSource, Question, Role, Routing
from orchestrator_svc.core.catalog import Catalog
from orchestrator_svc.core.validate import PlanRejected, validate

_log = structlog.get_logger(__name__)

NAME: Final = "offline"
"""What `planner` says of a plan that no model made."""
_MAX_INDEXES_KEPT: Final = 16
_CURLY_APOSTROPHE: Final = "\u2019"
_MAX_CHARACTERS_READ: Final = 2000
"""Of a question; what comes later is seldom asked for, and patterns are tried at every place."""


class OfflinePlanner:
    """Implements Planner. Deterministic: the same question and catalog give the same plan in every process.

    Args:
        embedder: Sentence embeddings, which help where words of a question are not on the cards; None: words alone.
    """

    def __init__(self, embedder: Embedder | None = None) -> None:
        self._embedder = embedder
        self._thresholds = WORDS_ONLY if embedder is None else WITH_EMBEDDINGS
        self._indexes: OrderedDict[str, SkillIndex] = OrderedDict()
        self._indexing = threading.Lock()

    @property
    def identity(self) -> None:
        return None

    async def route(self, question: Question, catalog: Catalog, ledger: Ledger, deadline: Deadline) -> Routing:
        """See Planner. Asks for no completion. A few milliseconds of work, done in a thread."""
        del ledger, deadline
        plan = await asyncio.to_thread(self.plan, question, catalog)
        return Routing(plan, PlanSource.OFFLINE, NAME)

    def plan(self, question: Question, catalog: Catalog) -> JsonObject:
        """The plan for a question, in the plan language; it validates. `{"steps": []}` where nothing surely fits.

        Of the history only the user's last question counts, and only where this one continues it: `and for Oslo?`.
        """
        plan: JsonObject = {"steps": [*self._steps(question, catalog)]}
        try:
            validate(plan, catalog)
        except PlanRejected as rejected:
            _log.warning("offline plan does not validate, abstaining", violations=told_violations(rejected.violations))
            return {"steps": []}
        return plan

    def _steps(self, question: Question, catalog: Catalog) -> list[JsonObject]:
        index = self._index(catalog)
        query = _read(question.query)
        steps = compose(query, catalog, index, self._thresholds)
        before = [turn.text for turn in question.history if turn.role is Role.USER]
        if steps or not before or not is_follow_up(query):
            return steps
        return again(compose(_read(before[-1]), catalog, index, self._thresholds), query, catalog, index)

    def _index(self, catalog: Catalog) -> SkillIndex:
        """The index of a catalog, from the last few that were used."""
        with self._indexing:
            index = self._indexes.get(catalog.fingerprint)
            if index is None:
                index = self._indexes[catalog.fingerprint] = SkillIndex(catalog, self._embedder)
            self._indexes.move_to_end(catalog.fingerprint)
            while len(self._indexes) > _MAX_INDEXES_KEPT:
                self._indexes.popitem(last=False)
            return index


def _read(text: str) -> str:
    return text[:_MAX_CHARACTERS_READ].replace(_CURLY_APOSTROPHE, "'")
