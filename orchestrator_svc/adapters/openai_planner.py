"""ROUTE by a language model: one completion with one tool a skill; its tool calls are the plan."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from agentmesh.deadline import Deadline
from agentmesh.jsonvalues import JsonObject, digest
from orchestrator_svc.adapters.openai_client import OpenAiClient
from orchestrator_svc.adapters.openai_messages import conversation
from orchestrator_svc.adapters.prompts import ROUTE
from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.app.ports.planner import PlanSource, Question, Routing
from orchestrator_svc.core.catalog import Catalog
from orchestrator_svc.core.tool_calls import plan_from
from orchestrator_svc.core.tools import Tool, Toolbox


class OpenAiPlanner:
    """Implements `Planner`. Tools and system prompt are the same bytes for the same catalog."""

    def __init__(self, client: OpenAiClient) -> None:
        self._client = client
        self._toolbox = Toolbox()

    @cached_property
    def identity(self) -> str:
        """Provider, models, and what they are told."""
        [plan_tool] = self._toolbox.tools(Catalog.of(()))
        return digest([*self._client.asked, ROUTE.text, plan_tool.description, plan_tool.parameters])

    async def route(self, question: Question, catalog: Catalog, ledger: Ledger, deadline: Deadline) -> Routing:
        body = _body(question, self._toolbox.tools(catalog))
        reply = await self._client.complete(ROUTE, body, ledger, deadline)
        # What the model says beside its calls, or instead of one, is no plan: without a call no skill fits.
        return Routing(plan_from(reply.tool_calls, catalog), PlanSource.LLM, reply.model)


def _body(question: Question, tools: Sequence[Tool]) -> JsonObject:
    return {
        "messages": conversation(ROUTE.text, question.history, question.query),
        "tools": [_function(tool) for tool in tools],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "temperature": 0,
    }


def _function(tool: Tool) -> JsonObject:
    function: JsonObject = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}
