"""A mesh that handles a secret in every place, through every end that a request can have.

The model, the agent and the requests are told what to do by the name of a case; the secret is in all that they say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from agentmesh import errors
from agentmesh.agent import Agent, progress
from agentmesh.errors import Violation, ViolationReason
from agentmesh.jsonvalues import Json, JsonObject
from tests.fakes.llm_replies import Completion, Fails, Reply, Streams, calls, says
from tests.fakes.scripted_llm import LlmRequest

SECRET: Final = "marker-4c1e7d"
KEY: Final = "marker_4c1e7d"
"""The same where only a name may be."""
AGENT: Final = "vault_agent"

ORCHESTRATOR: Final = "agentmesh.v1.Orchestrator"
REGISTRY: Final = "agentmesh.v1.Registry"


def vault_agent() -> Agent:  # noqa: C901 - one function a skill
    """Its skills end as their names say; the secret is in what they are told, and in what they say."""
    agent = Agent(AGENT, version="1.0.0", description="Keeps what it is told.")

    @agent.skill(effect="READ_ONLY")
    async def keep(text: str, options: dict[str, int] | None = None) -> dict[str, str]:
        """Give it back."""
        return {"text": text, SECRET: text}

    @agent.skill(effect="READ_ONLY", reports_progress=True)
    async def work(text: str) -> dict[str, str]:
        """Say what it works on."""
        await progress(0.5, text)
        return {"text": text}

    @agent.skill(effect="READ_ONLY")
    async def refuse(text: str) -> dict[str, str]:
        """Fail on purpose."""
        raise errors.SkillFailed(f"not with {text}", metadata={"with": text})

    @agent.skill(effect="READ_ONLY")
    async def complain(text: str) -> dict[str, str]:
        """Find the arguments wrong."""
        wrong = [
            Violation(f"arguments.{text}", ViolationReason.RULE, text),
            Violation(text, ViolationReason.RULE, text),
        ]
        raise errors.ArgumentsInvalid(text, violations=wrong)

    @agent.skill(effect="READ_ONLY")
    async def depend(text: str) -> dict[str, str]:
        """Let the error of something else pass."""
        raise errors.Unreachable(f"{text} is unavailable")

    @agent.skill(effect="READ_ONLY")
    async def crash(text: str) -> dict[str, str]:
        """Have a bug, behind another one."""
        nothing: dict[str, dict[str, str]] = {}
        try:
            return nothing[text]
        except KeyError as error:
            error.add_note(text)
            raise ExceptionGroup(text, [ValueError(text)]) from error

    @agent.skill(effect="READ_ONLY")
    def crash_in_thread(text: str) -> dict[str, str]:
        """Have a bug where it blocks."""
        raise OSError(2, text, text)

    @agent.skill(effect="READ_ONLY")
    async def misstate(text: str) -> dict[str, Any]:
        """Return what is no JSON."""
        return {text: {text: float("nan")}}

    @agent.skill(effect="READ_ONLY")
    async def mistype(text: str) -> int:
        """Return another type than it says."""
        return text  # type: ignore[return-value]

    @agent.skill(effect="READ_ONLY")
    async def overflow(text: str) -> dict[str, str]:
        """Return too much."""
        return {text: text * 200_000}

    @agent.skill(effect="READ_ONLY", timeout_seconds=0.1)
    async def dawdle(text: str) -> dict[str, str]:
        """Take too long."""
        await asyncio.Event().wait()
        return {"text": text}

    @agent.skill(effect="READ_ONLY")
    async def hang(text: str) -> dict[str, str]:
        """Never end."""
        await asyncio.Event().wait()
        return {"text": text}

    return agent


_ANSWER: Final = says(f"It is {SECRET}.")


@dataclass(frozen=True)
class Case:
    """What the model says, and what comes of it."""

    ends: str
    """The outcome or the reason that the caller gets."""
    route: Reply
    write: Reply = _ANSWER


def _uses(skill: str, arguments: Json = None) -> Completion:
    return calls((f"{AGENT}__{skill}", {"text": SECRET} if arguments is None else arguments))


def _plans(*steps: Json) -> Completion:
    return calls(("plan_execution", {"reason": SECRET, "steps": list(steps)}))


def step(skill: str, step_id: str = "one", arguments: Json = None, **rest: Json) -> JsonObject:
    """A step as a plan has it, with the secret as its argument."""
    told: Json = {"text": SECRET} if arguments is None else arguments
    return {"id": step_id, "skill": f"{AGENT}__{skill}", "arguments": told, **rest}


HANGS: Final = "hangs"
"""The case of a question that has no end of its own."""

ASKED: Final[Mapping[str, Case]] = {
    "answered": Case("COMPLETE", _uses("keep")),
    "with progress": Case("COMPLETE", _uses("work")),
    "nobody": Case("NO_AGENT", says(SECRET)),
    "partial": Case("PARTIAL", calls((f"{AGENT}__keep", {"text": SECRET}), (f"{AGENT}__refuse", {"text": SECRET}))),
    "refused": Case("ALL_STEPS_FAILED", _uses("refuse")),
    "arguments refused": Case("ALL_STEPS_FAILED", _uses("complain")),
    "something behind": Case("ALL_STEPS_FAILED", _uses("depend")),
    "bug": Case("ALL_STEPS_FAILED", _uses("crash")),
    "bug in a thread": Case("ALL_STEPS_FAILED", _uses("crash_in_thread")),
    "result is no JSON": Case("ALL_STEPS_FAILED", _uses("misstate")),
    "result does not fit": Case("ALL_STEPS_FAILED", _uses("mistype")),
    "result too large": Case("ALL_STEPS_FAILED", _uses("overflow")),
    "too slow": Case("ALL_STEPS_FAILED", _uses("dawdle")),
    "condition": Case(
        "COMPLETE",
        _plans(step("keep"), step("keep", "two", {"text": "${one.text}"}, when=f"one.text == '{SECRET}'")),
    ),
    "condition false": Case("COMPLETE", _plans(step("keep"), step("keep", "two", when=f"one.text != '{SECRET}'"))),
    "expression fails": Case(
        "PARTIAL", _plans(step("keep"), step("keep", "two", {"text": f"${{double('{SECRET}' + one.text)}} x"}))
    ),
    "repeat": Case("COMPLETE", _plans(step("keep", arguments={"text": "${item}"}, for_each=[SECRET, SECRET]))),
    "unknown argument": Case("PLAN_INVALID", _uses("keep", {"text": SECRET, KEY: 1, SECRET: 1})),
    "ill-typed argument": Case("PLAN_INVALID", _uses("keep", {"text": {KEY: SECRET}, "options": {SECRET: SECRET}})),
    "arguments are no JSON": Case("PLAN_INVALID", _uses("keep", SECRET)),
    "unknown skill": Case("PLAN_INVALID", calls((KEY, {}))),
    "invalid expression": Case("PLAN_INVALID", _plans(step("keep", when=f"{KEY} + ('{SECRET}'"))),
    "provider fails": Case("LLM_UNAVAILABLE", Fails(500, SECRET, code=SECRET)),
    "provider refuses": Case("LLM_REFUSED", Fails(401, SECRET, code=SECRET)),
    "model declines": Case("LLM_REFUSED", Completion(refusal=SECRET)),
    "writing fails": Case("COMPLETE", _uses("keep"), Fails(500, SECRET)),
    "writing breaks off": Case("COMPLETE", _uses("keep"), Streams((SECRET,), error=SECRET)),
}
"""By the name that the question begins with."""


def script(request: LlmRequest) -> Reply:
    """What the model says."""
    text = str(request.messages)
    if f"({HANGS})" in text:
        return _uses("hang")
    (case,) = [case for name, case in ASKED.items() if f"({name})" in text]
    return case.route if request.routes else case.write


def question(name: str) -> JsonObject:
    """A request of a case, as JSON."""
    return {
        "query": f"({name}) {SECRET}?",
        "history": [{"role": "ROLE_USER", "text": SECRET}, {"role": "ROLE_ASSISTANT", "text": SECRET}],
        "requestId": f"{name} {SECRET}",
        "includeResults": True,
    }


@dataclass(frozen=True)
class Refused:
    """A request that is refused, as JSON, and why."""

    method: str
    body: JsonObject
    reason: str


def _execute(*steps: Json, query: str = SECRET) -> JsonObject:
    return {"plan": {"steps": list(steps)}, "query": query, "answerFormat": "ANSWER_FORMAT_RAW"}


REFUSED: Final = (
    Refused(f"{ORCHESTRATOR}/Ask", {"query": SECRET * 4000}, "REQUEST_INVALID"),
    Refused(f"{ORCHESTRATOR}/Ask", {"query": SECRET, "history": [{"text": SECRET}]}, "REQUEST_INVALID"),
    Refused(f"{ORCHESTRATOR}/Ask", {"query": SECRET, "allowedSkills": [f"{KEY}__x"]}, "UNKNOWN_SKILL"),
    Refused(f"{ORCHESTRATOR}/Ask", {**question("answered"), "query": f"(again) {SECRET}"}, "REQUEST_ID_REUSED"),
    Refused(f"{ORCHESTRATOR}/ExecutePlan", _execute(step("keep", arguments={KEY: 1, SECRET: 1})), "PLAN_INVALID"),
    Refused(f"{ORCHESTRATOR}/ExecutePlan", _execute(step("keep", arguments={"text": 1})), "PLAN_INVALID"),
    Refused(f"{ORCHESTRATOR}/ExecutePlan", _execute(step(KEY)), "PLAN_INVALID"),
    Refused(f"{ORCHESTRATOR}/ExecutePlan", _execute(step("keep", SECRET)), "PLAN_INVALID"),
    Refused(f"{ORCHESTRATOR}/ExecutePlan", _execute(step("keep", when=f"{KEY} ++ '{SECRET}'")), "PLAN_INVALID"),
    Refused(f"{ORCHESTRATOR}/ExecutePlan", _execute(step("keep", depends_on=[KEY])), "PLAN_INVALID"),
    Refused(f"{ORCHESTRATOR}/ExecutePlan", _execute(step("refuse")), "ALL_STEPS_FAILED"),
    Refused(f"{ORCHESTRATOR}/GetRun", {"runId": SECRET}, "REQUEST_INVALID"),
    Refused(f"{ORCHESTRATOR}/ListRuns", {"pageToken": SECRET}, "REQUEST_INVALID"),
    Refused(f"{REGISTRY}/Heartbeat", {"leaseId": SECRET}, "REQUEST_INVALID"),
    Refused(f"{REGISTRY}/Register", {"address": "127.0.0.1:1", "card": {"name": SECRET}}, "REQUEST_INVALID"),
)


if __name__ == "__main__":
    vault_agent().serve()
