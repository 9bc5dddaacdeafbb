"""Answers without a language model: what the agents gave, as readable text."""

from __future__ import annotations

from collections.abc import AsyncIterator

from agentmesh.deadline import Deadline
from orchestrator_svc.adapters.rendering.answer import paragraphs
from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.app.ports.synthesizer import Brief, Restart


class OfflineSynthesizer:
    """Implements Synthesizer. Equal briefs give equal text; asks for no completion, takes milliseconds, never fails."""

    async def write(
        self,
        brief: Brief,
        ledger: Ledger,  # noqa: ARG002  # of the port
        deadline: Deadline,  # noqa: ARG002  # of the port
    ) -> AsyncIterator[str | Restart]:
        """Write the answer, a heading or a paragraph at a time: about 16 kB at most, without control characters."""
        separator = ""
        for paragraph in paragraphs(brief):
            yield separator + paragraph
            separator = "\n\n"
