"""Reads the plan language: JSON in, steps of the right shape out, with a violation for everything of another shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from agentmesh.errors import Violation, ViolationReason
from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.core.catalog import nearest

_KEYS: Final = ("id", "skill", "arguments", "when", "for_each", "optional", "depends_on")


@dataclass(frozen=True)
class StepDraft:
    """A step whose parts have the right JSON types and are not understood yet."""

    index: int
    id: str
    skill: str
    arguments: JsonObject
    when: str | None
    for_each: str | tuple[Json, ...] | None
    optional: bool
    depends_on: tuple[str, ...]

    @property
    def path(self) -> str:
        return f"steps[{self.index}]"

    def to_json(self) -> JsonObject:
        """The step in the plan language, without what equals the default."""
        source: JsonObject = {"id": self.id, "skill": self.skill, "arguments": self.arguments}
        if self.when is not None:
            source["when"] = self.when
        if self.for_each is not None:
            source["for_each"] = self.for_each if isinstance(self.for_each, str) else list(self.for_each)
        if self.optional:
            source["optional"] = True
        if self.depends_on:
            source["depends_on"] = list(self.depends_on)
        return source


def read_draft(source: Json) -> tuple[tuple[StepDraft, ...], tuple[Violation, ...]]:
    """The steps of a plan and what is wrong with their shapes; a step of a wrong shape is read as far as it goes."""
    if not isinstance(source, dict):
        return (), (_shape("", f"a plan is an object with `steps`, not {_name(source)}"),)
    violations = [_unknown_key("", key, ("steps",)) for key in source if key != "steps"]
    steps = source.get("steps")
    if not isinstance(steps, list):
        said = "is missing" if steps is None else f"is {_name(steps)}"
        return (), (*violations, _shape("steps", f"`steps` must be a list of steps and {said}"))
    drafts = []
    for index, step in enumerate(steps):
        if isinstance(step, dict):
            reader = _StepReader(step, index, violations)
            drafts.append(reader.read())
        else:
            violations.append(_shape(f"steps[{index}]", f"a step is an object, not {_name(step)}"))
    return tuple(drafts), tuple(violations)


class _StepReader:
    """Reads one step; what has the wrong type is reported and replaced by its default."""

    def __init__(self, step: JsonObject, index: int, violations: list[Violation]) -> None:
        self._step = step
        self._path = f"steps[{index}]"
        self._index = index
        self._violations = violations

    def read(self) -> StepDraft:
        self._violations.extend(_unknown_key(self._path, key, _KEYS) for key in self._step if key not in _KEYS)
        return StepDraft(
            index=self._index,
            id=self._required_text("id"),
            skill=self._required_text("skill"),
            arguments=self._arguments(),
            when=self._when(),
            for_each=self._for_each(),
            optional=self._optional(),
            depends_on=self._depends_on(),
        )

    def _required_text(self, key: str) -> str:
        value = self._step.get(key)
        if isinstance(value, str) and value:
            return value
        said = "is missing" if value in (None, "") else f"is {_name(value)}"
        self._refuse(key, f"`{key}` must be a string and {said}")
        return ""

    def _arguments(self) -> JsonObject:
        value = self._step.get("arguments", {})
        if isinstance(value, dict):
            return value
        self._refuse("arguments", f"`arguments` must be an object, not {_name(value)}")
        return {}

    def _when(self) -> str | None:
        value = self._step.get("when")
        if value is None or (isinstance(value, str) and value.strip()):
            return value
        said = "an empty string" if isinstance(value, str) else _name(value)
        self._refuse("when", f"`when` must be an expression in a string, not {said}; leave it out to run always")
        return None

    def _for_each(self) -> str | tuple[Json, ...] | None:
        value = self._step.get("for_each")
        if value is None or (isinstance(value, str) and value.strip()):
            return value
        if isinstance(value, list):
            return tuple(value)
        said = "an empty string" if isinstance(value, str) else _name(value)
        self._refuse("for_each", f"`for_each` must be an expression in a string, or a list, not {said}")
        return None

    def _optional(self) -> bool:
        value = self._step.get("optional", False)
        if isinstance(value, bool):
            return value
        self._refuse("optional", f"`optional` must be true or false, not {_name(value)}")
        return False

    def _depends_on(self) -> tuple[str, ...]:
        value = self._step.get("depends_on", [])
        if isinstance(value, list) and all(isinstance(element, str) for element in value):
            return tuple(element for element in value if isinstance(element, str))
        self._refuse("depends_on", f"`depends_on` must be a list of step ids, not {_name(value)}")
        return ()

    def _refuse(self, key: str, message: str) -> None:
        self._violations.append(_shape(f"{self._path}.{key}", message))


def _shape(path: str, message: str) -> Violation:
    return Violation(path, ViolationReason.SHAPE, message)


def _unknown_key(path: str, key: str, known: tuple[str, ...]) -> Violation:
    close = nearest(key, known)
    hint = f"did you mean `{close}`?" if close else "known are " + ", ".join(f"`{name}`" for name in known)
    shown = key if len(key) <= 64 else key[:61] + "..."
    return _shape(f"{path}.{shown}" if path else shown, f"unknown key `{shown}`; {hint}")


def _name(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"
