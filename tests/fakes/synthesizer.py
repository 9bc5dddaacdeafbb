"""Synthesizers that write, or fail to write, what they were told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from agentmesh.deadline import Deadline
from agentmesh.errors import MeshError
from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.app.ports.synthesizer import Brief, Restart


@dataclass
class FixedSynthesizer:
    """Implements `Synthesizer`: gives its pieces, then fails if it has an error."""

    pieces: Sequence[str | Restart]
    error: MeshError | None = None
    completions: int = 1
    """Claimed for each answer; 0 for a renderer."""
    briefs: list[Brief] = field(default_factory=list)

    async def write(self, brief: Brief, ledger: Ledger, deadline: Deadline) -> AsyncIterator[str | Restart]:
        for _ in range(self.completions):
            ledger.claim_completion()
        self.briefs.append(brief)
        for piece in self.pieces:
            yield piece
        if self.error is not None:
            raise self.error
