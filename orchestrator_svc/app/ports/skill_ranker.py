"""Which skills of a large catalog are worth showing to a planner; made without a language model."""

from __future__ import annotations

from typing import Protocol

from orchestrator_svc.core.catalog import Catalog


class SkillRanker(Protocol):
    """Orders skills by how well their words fit a question. Called in threads, several at the same time."""

    def rank(self, query: str, catalog: Catalog) -> tuple[str, ...]:
        """Every skill id of the catalog, the best fit first; equal fits in the order of their ids."""
        ...
