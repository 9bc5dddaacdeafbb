"""Agentic loops as everybody writes them: the model decides, a tool is called, the model looks, and so on.

Real ones: real requests to a Chat Completions server, real calls of the agents, the whole conversation sent each time.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Final, cast

from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion, ChatCompletionMessage, ChatCompletionMessageFunctionToolCall

from agentmesh.jsonvalues import JsonObject
from benchmarks.loop.agents import Agents
from benchmarks.loop.model import REFLECT
from orchestrator_svc.adapters.openai_requests import COMPLETION_HEADER

MAX_TURNS: Final = 12
SYSTEM: Final = (
    "You are an assistant for operators. Use the tools to find out what the user asks, then answer from their results. "
    "Say only what the results say, keep numbers and names as they are, and be short."
)


class LoopBroken(RuntimeError):
    """The loop did not end with an answer."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a loop goes about it."""

    name: str
    parallel: bool
    """Whether the model may call several tools in one turn; the loop then runs them at the same time."""
    reflects: bool
    """Whether the model is asked what it thinks of each result, before it goes on."""


@dataclass(slots=True)
class LoopRun:
    """One question on its way through a loop."""

    id: str
    messages: list[JsonObject]
    answer: str = ""
    llm_calls: int = 0
    agent_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    tools: list[JsonObject] = field(default_factory=list)


class Loop:
    """Asks the model, calls the agents.

    Args:
        style: How.
        client: Sends to the model.
        agents: The tools.
        model: Its name.
        result_cap_bytes: Most of one result that the model gets.
    """

    def __init__(self, style: Style, client: AsyncOpenAI, agents: Agents, model: str, result_cap_bytes: int) -> None:
        self._style = style
        self._client = client
        self._agents = agents
        self._model = model
        self._cap = result_cap_bytes

    async def run(self, run_id: str, question: str) -> LoopRun:
        """Go round until there is an answer.

        Raises:
            LoopBroken: There is none after 12 turns.
            MeshError: An agent failed.
        """
        run = LoopRun(
            run_id,
            [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}],
            tools=self._agents.tools,
        )
        for _ in range(MAX_TURNS):
            message = await self._decide(run)
            if not message.tool_calls:
                run.answer = message.content or ""
                return run
            run.messages.append(cast("JsonObject", message.model_dump(exclude_none=True)))
            calls = [call for call in message.tool_calls if isinstance(call, ChatCompletionMessageFunctionToolCall)]
            run.messages += await asyncio.gather(*(self._call(run, call) for call in calls))
            if self._style.reflects:
                await self._reflect(run)
        raise LoopBroken(f"no answer after {MAX_TURNS} turns")

    async def _decide(self, run: LoopRun) -> ChatCompletionMessage:
        body: JsonObject = {
            "tools": list(run.tools),
            "tool_choice": "auto",
            "parallel_tool_calls": self._style.parallel,
        }
        return await self._complete(run, body)

    async def _reflect(self, run: LoopRun) -> None:
        run.messages.append({"role": "user", "content": REFLECT})
        message = await self._complete(run, {})
        run.messages.append({"role": "assistant", "content": message.content})

    async def _call(self, run: LoopRun, call: ChatCompletionMessageFunctionToolCall) -> JsonObject:
        run.agent_calls += 1
        result = await self._agents.call(call.function.name, json.loads(call.function.arguments))
        text = json.dumps(result, ensure_ascii=False, separators=(",", ":"))
        return {"role": "tool", "tool_call_id": call.id, "content": text.encode()[: self._cap].decode(errors="ignore")}

    async def _complete(self, run: LoopRun, body: JsonObject) -> ChatCompletionMessage:
        run.llm_calls += 1
        completion = await self._client.post(
            "/chat/completions",
            cast_to=ChatCompletion,
            body={"model": self._model, "temperature": 0, "messages": run.messages, **body},
            options={"headers": {COMPLETION_HEADER: f"{run.id}:{run.llm_calls}"}},
        )
        assert completion.usage is not None
        run.input_tokens += completion.usage.prompt_tokens
        run.output_tokens += completion.usage.completion_tokens
        return completion.choices[0].message
