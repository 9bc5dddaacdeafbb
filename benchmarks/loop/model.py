"""The scripted model: deterministic, the same for every arm, and it sees nothing but the conversation.

It looks for the question that it is asked and the results that it was given, and does what is left to do: as many tool
calls as the request allows in one turn, a plan where one is needed and offered, words where nothing is left.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from agentmesh.jsonvalues import Json, JsonObject
from benchmarks.loop.questions import Facts, Question, Results, Use, facts_of
from orchestrator_svc.core.tool_calls import PLAN_TOOL
from tests.fakes.llm_replies import Completion, Reply, calls, says
from tests.fakes.scripted_llm import LlmRequest

REFLECT: Final = (
    "Before you go on: does this result answer the question, is it plausible, and what is still missing? Reply with a "
    "short assessment."
)
"""What a reflecting loop adds after each result."""

BYTES_A_TOKEN: Final = 4
CALL_TOKENS: Final = 25
"""A tool call; a plan is counted by its bytes, because it is longer."""
REFLECTION_TOKENS: Final = 60
ANSWER_TOKENS: Final = 120

_STEP: Final = re.compile(r"step \w+ \((\w+)\): SUCCEEDED")
_RESULT: Final = "  result: "
_FACTS: Final = "Facts: "


class ScriptBroken(RuntimeError):
    """The model got a conversation that it was not written for."""


@dataclass(slots=True)
class Account:
    """What the model gave for one run."""

    completions: set[str] = field(default_factory=set)
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(slots=True)
class ScriptedModel:
    """A `script` of `ScriptedLlm`; keeps the account of every run, by the id that requests carry."""

    questions: Sequence[Question]
    accounts: dict[str, Account] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    """Why replies were not given; a run that meets one of these is worth nothing."""

    def __call__(self, request: LlmRequest) -> Reply:
        try:
            completion = self._completion(request)
        except ScriptBroken as problem:
            self.broken.append(str(problem))
            return says(f"the script is broken: {problem}", usage=(0, 0))
        assert completion.usage is not None
        account = self.accounts.setdefault(request.run, Account())
        account.completions.add(request.completion)
        account.requests += 1
        account.input_tokens += completion.usage[0]
        account.output_tokens += completion.usage[1]
        return completion

    def _completion(self, request: LlmRequest) -> Completion:
        prompt = -(-int(request.headers["content-length"]) // BYTES_A_TOKEN)
        if request.messages[-1]["content"] == REFLECT:
            return says("It is plausible. I go on with what is missing.", usage=(prompt, REFLECTION_TOKENS))
        results = dict(_results(request.messages))
        question = self._question(request.messages)
        uses = question.next_uses(results) if request.routes else ()
        if not uses:
            return says(_FACTS + json.dumps(facts_of(results)), usage=(prompt, ANSWER_TOKENS))
        if question.steps and PLAN_TOOL in _tools(request):
            plan: JsonObject = {"reason": "the second needs the first", "steps": list(question.steps)}
            return calls((PLAN_TOOL, plan), usage=(prompt, -(-len(json.dumps(plan)) // BYTES_A_TOKEN)))
        given = uses if request.body.get("parallel_tool_calls") else uses[:1]
        return calls(*_written(given, results), usage=(prompt, CALL_TOKENS * len(given)))

    def _question(self, messages: Sequence[JsonObject]) -> Question:
        texts = [text for message in messages if isinstance(text := message.get("content"), str)]
        for question in self.questions:
            if any(question.text in text for text in texts):
                return question
        raise ScriptBroken("no question of the benchmark is in the conversation")


def facts_in(answer: str) -> Facts:
    """What an answer of the model says.

    Raises:
        ScriptBroken: It is not one.
    """
    if not answer.startswith(_FACTS):
        raise ScriptBroken(f"the answer holds no facts: {answer[:200]!r}")
    return cast("Facts", json.loads(answer.removeprefix(_FACTS)))


def _written(uses: Sequence[Use], results: Results) -> list[tuple[str, Json]]:
    return [(use.skill, use.arguments(results)) for use in uses]


def _tools(request: LlmRequest) -> set[str]:
    tools = cast("list[dict[str, JsonObject]]", request.body["tools"])
    return {str(tool["function"]["name"]) for tool in tools}


def _results(messages: Sequence[JsonObject]) -> Iterator[tuple[str, JsonObject]]:
    """What the tools of a loop returned, or what the mesh says of its steps; by skill id."""
    names: dict[Json, str] = {}
    for message in messages:
        content = message.get("content")
        for call in cast("list[JsonObject]", message.get("tool_calls") or []):
            names[call["id"]] = str(cast("JsonObject", call["function"])["name"])
        if message["role"] == "tool":
            yield names[message["tool_call_id"]], _read(str(content))
        elif isinstance(content, str) and "<steps>" in content:
            yield from _steps(content.splitlines())


def _steps(lines: Sequence[str]) -> Iterator[tuple[str, JsonObject]]:
    skill = ""
    for line in lines:
        if step := _STEP.match(line):
            skill = step[1]
        elif line.startswith(_RESULT):
            yield skill, _read(line.removeprefix(_RESULT))


def _read(text: str) -> JsonObject:
    try:
        return cast("JsonObject", json.loads(text))
    except json.JSONDecodeError as error:
        raise ScriptBroken(f"a result of {len(text)} characters does not parse; was it cut?") from error
