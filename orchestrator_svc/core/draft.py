"""Reads the plan language: JSON in, steps of the right shape out, with a violation for everything of another shape.

A key of a step that is null, and a `when` or `for_each` that is empty, are left out: models that must name every key
write so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, cast

from agentmesh.errors import ResultError, Violation, ViolationReason
from agentmesh.jsonvalues import Json, JsonObject, check_limits, integral, kind_of
from orchestrator_svc.core.wording import cut, nearest

KEYS: Final = ("id", "skill", "arguments", "when", "for_each", "optional", "depends_on")
"""Of a step."""

_MOST_HINTS: Final = 20
"""Unknown keys in one object of which the nearest known one is looked up."""


@dataclass(frozen=True)
class StepDraft:
    """A step whose parts have the right JSON types and are not understood yet."""

    index: int
    id: str
    """Empty if it has none."""
    skill: str
    """Empty if it has none."""
    arguments: JsonObject | None
    """A copy; None if what is written there cannot be arguments."""
    when: str | None
    for_each: str | tuple[Json, ...] | None
    optional: bool
    depends_on: tuple[str, ...]
    """By place; empty where there is no id."""

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
        return (), (_shape("", f"a plan is an object with `steps`, not {kind_of(source)}"),)
    violations = list(_unknown_keys("", source, ("steps",)))
    steps = source.get("steps")
    if not isinstance(steps, list):
        said = "is missing" if "steps" not in source else f"is {kind_of(steps)}"
        return (), (*violations, _shape("steps", f"`steps` must be a list of steps and {said}"))
    drafts = []
    for index, step in enumerate(steps):
        if isinstance(step, dict):
            drafts.append(_StepReader(step, index, violations, most_needs=len(steps)).read())
        else:
            violations.append(_shape(f"steps[{index}]", f"a step is an object, not {kind_of(step)}"))
    return tuple(drafts), tuple(violations)


class _StepReader:
    """Reads one step; what has the wrong shape is reported and replaced by what causes no further violation."""

    def __init__(self, step: JsonObject, index: int, violations: list[Violation], *, most_needs: int) -> None:
        self._step = step
        self._path = f"steps[{index}]"
        self._index = index
        self._violations = violations
        self._most_needs = most_needs

    def read(self) -> StepDraft:
        self._violations.extend(_unknown_keys(self._path, self._step, KEYS))
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
        said = "is missing" if value in (None, "") else f"is {kind_of(value)}"
        self._refuse(key, f"`{key}` must be a string and {said}")
        return ""

    def _arguments(self) -> JsonObject | None:
        value = self._step.get("arguments")
        if value is None:
            return {}
        if isinstance(value, dict):
            return cast("JsonObject | None", self._sendable("arguments", value))
        self._refuse("arguments", f"`arguments` must be an object, not {kind_of(value)}")
        return None

    def _when(self) -> str | None:
        value = self._step.get("when")
        if value is None or isinstance(value, str):
            return value or None
        self._refuse(
            "when", f"`when` must be an expression in a string, not {kind_of(value)}; leave it out to run always"
        )
        return None

    def _for_each(self) -> str | tuple[Json, ...] | None:
        value = self._step.get("for_each")
        if value is None or isinstance(value, str):
            return value or None
        if isinstance(value, list):
            return tuple(cast("list[Json] | None", self._sendable("for_each", value)) or ())
        self._refuse("for_each", f"`for_each` must be an expression in a string, or a list, not {kind_of(value)}")
        return ()

    def _optional(self) -> bool:
        value = self._step.get("optional")
        if value is None or isinstance(value, bool):
            return value or False
        self._refuse("optional", f"`optional` must be true or false, not {kind_of(value)}")
        return False

    def _depends_on(self) -> tuple[str, ...]:
        value = self._step.get("depends_on")
        if value is None:
            return ()
        if not isinstance(value, list):
            self._refuse("depends_on", f"`depends_on` must be a list of step ids, not {kind_of(value)}")
            return ()
        if len(value) > self._most_needs:
            message = f"`depends_on` names {len(value)} steps, the plan has {self._most_needs}; name each once"
            self._refuse("depends_on", message)
            return ()
        for place, element in enumerate(value):
            if not isinstance(element, str) or not element:
                said = "an empty string" if element == "" else kind_of(element)
                self._refuse(f"depends_on[{place}]", f"this must be the id of a step, not {said}")
        return tuple(element if isinstance(element, str) else "" for element in value)

    def _sendable(self, key: str, value: Json) -> Json:
        """A copy of the value, or None if no call could carry it."""
        try:
            check_limits(value)
        except ResultError as error:
            self._violations.append(
                Violation(f"{self._path}.{key}", ViolationReason.ARGUMENT_INVALID, f"cannot be sent: {error.message}")
            )
            return None
        return integral(value)

    def _refuse(self, key: str, message: str) -> None:
        self._violations.append(_shape(f"{self._path}.{key}", message))


def _shape(path: str, message: str) -> Violation:
    return Violation(path, ViolationReason.SHAPE, message)


def _unknown_keys(path: str, found: JsonObject, known: tuple[str, ...]) -> Iterator[Violation]:
    listed = ", ".join(f"`{name}`" for name in known)
    for position, key in enumerate([key for key in found if key not in known]):
        close = nearest(key, known) if position < _MOST_HINTS else None
        hint = f"did you mean `{close}`?" if close else f"known are {listed}"
        yield _shape(f"{path}.{cut(key)}".removeprefix("."), f"unknown key `{cut(key)}`; {hint}")
