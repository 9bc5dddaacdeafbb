"""A caller's plan becomes a message. What it means is judged by the orchestrator alone."""

from __future__ import annotations

from typing import Final

from google.protobuf import struct_pb2

from agentmesh import errors
from agentmesh.errors import Violation, ViolationReason
from agentmesh.jsonvalues import Json, JsonObject, check_limits, kind_of
from agentmesh.transport.structs import to_struct, to_value
from agentmesh.v1 import plan_pb2

MAX_PLAN_BYTES: Final = 2 * 1024 * 1024
"""As JSON; servers take 4 MiB a request, and a Struct is larger than its JSON."""
_MAX_DEPTH: Final = 28
"""An argument may be nested 24 deep, and `steps`, the step and `arguments` are around it."""
_KEYS: Final = ("id", "skill", "arguments", "when", "for_each", "optional", "depends_on")


def plan_message(plan: Json) -> plan_pb2.Plan:
    """Return the message of a plan in the plan language.

    Raises:
        errors.PlanInvalid: With one violation for everything that has a shape which the message cannot carry.
    """
    try:
        check_limits(plan, max_bytes=MAX_PLAN_BYTES, max_depth=_MAX_DEPTH)
    except errors.ResultError as error:
        raise _refused([Violation("", ViolationReason.NOT_JSON, error.message)]) from None
    if not isinstance(plan, dict):
        raise _refused([_shape("", f"a plan is an object with `steps`, not {kind_of(plan)}")])
    violations = [_unknown_key("", key, ("steps",)) for key in plan if key != "steps"]
    steps = plan.get("steps")
    if not isinstance(steps, list):
        said = "is missing" if steps is None else f"is {kind_of(steps)}"
        raise _refused([*violations, _shape("steps", f"`steps` must be a list of steps and {said}")])
    message = plan_pb2.Plan()
    for index, step in enumerate(steps):
        if isinstance(step, dict):
            _StepWriter(step, f"steps[{index}]", violations).write(message.steps.add())
        else:
            violations.append(_shape(f"steps[{index}]", f"a step is an object, not {kind_of(step)}"))
    if violations:
        raise _refused(violations)
    return message


class _StepWriter:
    """Writes one step; what has the wrong type is reported and left out."""

    def __init__(self, step: JsonObject, path: str, violations: list[Violation]) -> None:
        self._step = step
        self._path = path
        self._violations = violations

    def write(self, message: plan_pb2.PlanStep) -> None:
        self._violations.extend(_unknown_key(self._path, key, _KEYS) for key in self._step if key not in _KEYS)
        message.id = self._text("id")
        message.skill = self._text("skill")
        message.when = self._text("when")
        message.arguments.CopyFrom(self._arguments())
        for_each = self._step.get("for_each")
        if isinstance(for_each, str | list):
            message.for_each.CopyFrom(to_value(for_each))
        elif for_each is not None:
            self._refuse("for_each", for_each, "an expression in a string, or a list")
        message.optional = self._flag("optional")
        message.depends_on.extend(self._texts("depends_on"))

    def _text(self, key: str) -> str:
        value = self._step.get(key)
        if value is None or isinstance(value, str):
            return value or ""
        self._refuse(key, value, "a string")
        return ""

    def _arguments(self) -> struct_pb2.Struct:
        value = self._step.get("arguments")
        if value is None:
            return struct_pb2.Struct()
        if not isinstance(value, dict):
            self._refuse("arguments", value, "an object")
            return struct_pb2.Struct()
        try:
            return to_struct(value)
        except errors.ResultError as error:  # too deep
            self._violations.append(Violation(f"{self._path}.arguments", ViolationReason.NOT_JSON, error.message))
            return struct_pb2.Struct()

    def _flag(self, key: str) -> bool:
        value = self._step.get(key, False)
        if isinstance(value, bool):
            return value
        self._refuse(key, value, "true or false")
        return False

    def _texts(self, key: str) -> list[str]:
        value = self._step.get(key)
        if value is None:
            return []
        if isinstance(value, list) and all(isinstance(element, str) for element in value):
            return [str(element) for element in value]
        self._refuse(key, value, "a list of step ids")
        return []

    def _refuse(self, key: str, value: Json, wanted: str) -> None:
        self._violations.append(_shape(f"{self._path}.{key}", f"`{key}` must be {wanted}, not {kind_of(value)}"))


def _refused(violations: list[Violation]) -> errors.PlanInvalid:
    count = "one thing is" if len(violations) == 1 else f"{len(violations)} things are"
    return errors.PlanInvalid(f"{count} wrong with the shape of the plan", violations=violations)


def _unknown_key(path: str, key: str, known: tuple[str, ...]) -> Violation:
    shown = key if len(key) <= 64 else key[:61] + "..."
    names = ", ".join(f"`{name}`" for name in known)
    return _shape(f"{path}.{shown}" if path else shown, f"unknown key `{shown}`; known are {names}")


def _shape(path: str, message: str) -> Violation:
    return Violation(path, ViolationReason.SHAPE, message)
