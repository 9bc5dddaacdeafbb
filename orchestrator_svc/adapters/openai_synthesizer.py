"""SYNTHESIZE by a language model: one streamed completion over the question and what became of the steps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from agentmesh.deadline import Deadline
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.adapters.brief_text import brief_text
from orchestrator_svc.adapters.llm_settings import LlmSettings
from orchestrator_svc.adapters.openai_client import OpenAiClient
from orchestrator_svc.adapters.openai_messages import conversation
from orchestrator_svc.adapters.prompts import WRITE
from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.app.ports.synthesizer import Brief, Restart


class OpenAiSynthesizer:
    """Implements `Synthesizer`.

    Args:
        client: Asks the models.
        settings: The caps on results.
    """

    def __init__(self, client: OpenAiClient, settings: LlmSettings) -> None:
        self._client = client
        self._settings = settings

    async def write(self, brief: Brief, ledger: Ledger, deadline: Deadline) -> AsyncIterator[str | Restart]:
        async with aclosing(self._client.stream(WRITE, self._body(brief), ledger, deadline)) as pieces:
            async for piece in pieces:
                yield piece

    def _body(self, brief: Brief) -> JsonObject:
        data = brief_text(
            brief, result_cap=self._settings.result_cap_bytes, results_cap=self._settings.results_cap_bytes
        )
        return {
            "messages": conversation(WRITE.text, brief.question.history, data),
            "temperature": 0.7,
            "stream_options": {"include_usage": True},
        }
