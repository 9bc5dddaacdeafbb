"""Reads the tool calls of a model as a plan in the plan language.

One call is a plan of one step, several are a plan without edges. `plan_execution` says more: with steps it is the plan
itself; without them ("bare") it says that the calls beside it are to run one after the other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NoReturn, cast

from agentmesh.cards import split_skill_id
from agentmesh.errors import ResultError, Violation, ViolationReason
from agentmesh.jsonvalues import Json, JsonObject, canonical, check_limits
from orchestrator_svc.core.catalog import Catalog
from orchestrator_svc.core.expressions import escape
from orchestrator_svc.core.step_ids import new_step_id
from orchestrator_svc.core.validate import PlanRejected, validate
from orchestrator_svc.core.wiring import Wired, wire
from orchestrator_svc.core.wording import cut, did_you_mean

PLAN_TOOL: Final = "plan_execution"
"""Name of the tool that takes a whole plan. No skill id equals it: those have a double underscore."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call as the model wrote it."""

    name: str
    arguments: str
    """JSON text, hopefully; empty means `{}`."""


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that was read."""

    index: int
    name: str
    arguments: JsonObject


def plan_from(calls: Sequence[ToolCall], catalog: Catalog) -> JsonObject:
    """Return the plan that the calls mean, in the plan language.

    Its steps are not validated, but for what only the calls show: a call that cannot be read, a tool that does not
    exist, a call beside a plan that is none of its steps, an argument that nothing fills.

    Raises:
        PlanRejected: With every violation of these kinds. Paths begin with `tool_calls[i]`, i counting all calls, or
            with `steps[i]` where the steps of a chain are meant.
    """
    read, violations = _read(calls, catalog)
    plans = [call for call in read if call.name == PLAN_TOOL and not _is_bare(call)]
    bare = [call for call in read if call.name == PLAN_TOOL and _is_bare(call)]
    plain = [call for call in read if call.name != PLAN_TOOL]
    if plans:
        violations += _siblings(plans, plain)
    elif bare and len(bare) == len(calls) and all(call.arguments.get("steps") is None for call in bare):
        violations.append(_alone(bare[0]))
    if violations:
        raise PlanRejected(violations)
    if plans:
        return {"steps": plans[0].arguments["steps"]}
    steps = _steps(plain)
    return {"steps": list(_chain(steps, catalog) if bare else steps)}


def _read(calls: Sequence[ToolCall], catalog: Catalog) -> tuple[list[_Call], list[Violation]]:
    read, violations = [], []
    for index, call in enumerate(calls):
        if call.name != PLAN_TOOL and call.name not in catalog.skills:
            violations.append(_unknown(index, call.name, catalog))
        try:
            read.append(_Call(index, call.name, _arguments(call)))
        except _Unreadable as problem:
            violations.append(
                Violation(
                    f"tool_calls[{index}].arguments",
                    ViolationReason.NOT_JSON,
                    f"the arguments of `{cut(call.name)}` are no JSON object: {problem}",
                )
            )
    return read, violations


def _is_bare(call: _Call) -> bool:
    """Whether a call of `plan_execution` brings no step. An empty list beside other calls is read as none given."""
    return call.arguments.get("steps") in (None, [])


def _arguments(call: ToolCall) -> JsonObject:
    if not call.arguments.strip():
        return {}
    try:
        value = cast("Json", json.loads(call.arguments, parse_constant=_refuse_constant))
        check_limits(value)
    except RecursionError:
        raise _Unreadable("nested too deep") from None
    except json.JSONDecodeError as error:
        raise _Unreadable(f"{error.msg} at character {error.pos + 1} of {len(call.arguments)}") from None
    except ValueError:
        raise _Unreadable("it has an integer of thousands of digits") from None
    except ResultError as error:
        raise _Unreadable(error.message) from None
    if not isinstance(value, dict):
        raise _Unreadable("it is another kind of value")
    return value


class _Unreadable(Exception):
    """The arguments of a call are no JSON object; the message says why."""


def _refuse_constant(name: str) -> NoReturn:
    raise _Unreadable(f"{name} is no JSON number")


def _unknown(index: int, name: str, catalog: Catalog) -> Violation:
    message = f"no skill `{cut(name)}` is offered{did_you_mean(name, (*catalog.skills, PLAN_TOOL))}"
    return Violation(f"tool_calls[{index}].name", ViolationReason.SKILL_UNKNOWN, message)


def _siblings(plans: Sequence[_Call], plain: Sequence[_Call]) -> list[Violation]:
    """The calls beside the first plan that it does not have as a step."""
    steps = plans[0].arguments["steps"]
    known = [_use(step) for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []
    strangers = [call for call in plans[1:] if canonical(call.arguments["steps"]) != canonical(steps)]
    for call in plain:
        # A model may repeat a step with its expressions, although expressions mean nothing in a plain call.
        literal: JsonObject = {"skill": call.name, "arguments": escape(call.arguments)}
        as_written: JsonObject = {"skill": call.name, "arguments": call.arguments}
        if _use(literal) not in known and _use(as_written) not in known:
            strangers.append(call)
    return [
        Violation(
            f"tool_calls[{call.index}]",
            ViolationReason.SIBLING_CALL,
            f"`{call.name}` is called beside a plan and equals none of its steps; put it into `steps`, or leave the "
            "plan out",
        )
        for call in sorted(strangers, key=lambda call: call.index)
    ]


def _use(step: JsonObject) -> bytes:
    """What makes a step and a call equal: skill and arguments."""
    return canonical([step.get("skill"), step.get("arguments", {})])


def _alone(call: _Call) -> Violation:
    return Violation(
        f"tool_calls[{call.index}].arguments.steps",
        ViolationReason.SHAPE,
        f"`{PLAN_TOOL}` was called without `steps` and without other calls, so there is nothing to put in order",
    )


def _steps(calls: Sequence[_Call]) -> list[JsonObject]:
    """A step a call. The arguments are literals: a user may ask about `${HOME}`."""
    taken: set[str] = set()
    steps: list[JsonObject] = []
    for call in calls:
        identifier = new_step_id(split_skill_id(call.name)[1], taken)
        taken.add(identifier)
        steps.append({"id": identifier, "skill": call.name, "arguments": escape(call.arguments)})
    return steps


def _chain(steps: Sequence[JsonObject], catalog: Catalog) -> tuple[JsonObject, ...]:
    """The steps one after the other, with missing required arguments taken from earlier results."""
    ordered = [{**step, "depends_on": [steps[place - 1]["id"]]} if place else step for place, step in enumerate(steps)]
    wired = wire(ordered, catalog)
    if wired.violations:
        raise PlanRejected(_with_the_rest(wired, catalog))
    # A value out of a list is there only if the list is not empty. Without the guard, "nothing was found" would be an
    # error of the next step.
    return tuple(
        {**step, "when": guard} if guard else step for step, guard in zip(wired.steps, wired.guards, strict=True)
    )


def _with_the_rest(wired: Wired, catalog: Catalog) -> list[Violation]:
    """The violations of the wiring, which say more than those of the validator for the same places, and all others."""
    said = {violation.path for violation in wired.violations}
    try:
        validate({"steps": list(wired.steps)}, catalog)
    except PlanRejected as rejected:
        return [*wired.violations, *(other for other in rejected.violations if other.path not in said)]
    return list(wired.violations)
