"""Compiles one step of a plan: its skill and its expressions, and everything that keeps them from compiling."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, cast

from agentmesh.errors import Violation, ViolationReason
from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.core.arguments import Arguments
from orchestrator_svc.core.catalog import Catalog, Skill
from orchestrator_svc.core.draft import StepDraft
from orchestrator_svc.core.expressions import (
    Environment,
    Expression,
    ExpressionInvalid,
    ExpressionTooLong,
    Template,
    UnknownName,
    compile_template,
    unwrap,
)
from orchestrator_svc.core.wording import cut, did_you_mean, place

MAX_EXPRESSIONS: Final = 128
"""In the arguments of one step: each takes about 0.1 ms to compile, on the thread that serves everybody."""

_BEGIN: Final = re.compile(r"(?<!\$)\$\{")


@dataclass(frozen=True)
class CompiledStep:
    """A step as far as it could be understood; None for what could not, or is not there."""

    draft: StepDraft
    skill: Skill | None
    arguments: Arguments | None
    when: Expression | None
    for_each: Expression | None

    @property
    def tolerates(self) -> frozenset[str]:
        """The steps without which it can do."""
        return self.when.tolerates if self.when is not None else frozenset()

    def expressions(self) -> Iterator[tuple[str, Expression]]:
        """Every expression, with its path in the plan."""
        path = self.draft.path
        for embedded in self.arguments.template.embedded if self.arguments is not None else ():
            yield f"{path}.arguments{place(embedded.path)}", embedded.expression
        if self.when is not None:
            yield f"{path}.when", self.when
        if self.for_each is not None:
            yield f"{path}.for_each", self.for_each


class StepCompiler:
    """Compiles the steps of one plan.

    Args:
        catalog: The skills that they may use.
        ids: What expressions may mention.
        max_characters: The longest expression.
    """

    def __init__(self, catalog: Catalog, ids: Sequence[str], max_characters: int) -> None:
        self._catalog = catalog
        self._once = Environment(ids, max_characters=max_characters)
        self._per_item = Environment(ids, item=True, max_characters=max_characters)
        self._violations: list[Violation] = []

    def compile(self, draft: StepDraft) -> tuple[CompiledStep, tuple[Violation, ...]]:
        """The step, and what of it does not compile."""
        self._violations = []
        compiled = CompiledStep(
            draft=draft,
            skill=self._skill(draft),
            arguments=self._arguments(draft),
            when=self._expression(draft.when, f"{draft.path}.when"),
            for_each=self._for_each(draft),
        )
        return compiled, tuple(self._violations)

    def _skill(self, draft: StepDraft) -> Skill | None:
        skill = self._catalog.skills.get(draft.skill)
        if skill is None and draft.skill:
            message = f"no skill `{cut(draft.skill)}` is known{did_you_mean(draft.skill, self._catalog.skills)}"
            self._refuse(f"{draft.path}.skill", ViolationReason.SKILL_UNKNOWN, message)
        return skill

    def _arguments(self, draft: StepDraft) -> Arguments | None:
        written, path = draft.arguments, f"{draft.path}.arguments"
        if written is None:
            return None
        count = sum(len(_BEGIN.findall(text)) for text in _strings(written))
        if count > MAX_EXPRESSIONS:
            self._refuse(
                path, ViolationReason.SHAPE, f"{count} expressions in one step, at most {MAX_EXPRESSIONS}: split it"
            )
            return None
        environment = self._once if draft.for_each is None else self._per_item
        template, problems = compile_template(written, environment)
        for problem in problems:
            self._refuse_expression(path + place(problem.path), problem.error)
        broken = frozenset(problem.path for problem in problems)
        return Arguments(written, template or _rest(written, broken, environment), broken)

    def _for_each(self, draft: StepDraft) -> Expression | None:
        path = f"{draft.path}.for_each"
        if draft.for_each is None or isinstance(draft.for_each, str):
            return self._expression(draft.for_each, path)
        if any("${" in text for text in _strings(list(draft.for_each))):
            message = "a literal list is taken as it is; write one expression instead, such as `[a.x, b.y]`"
            self._refuse(path, ViolationReason.EXPRESSION_INVALID, message)
        return None

    def _expression(self, source: str | None, path: str) -> Expression | None:
        if source is None:
            return None
        try:
            return self._once.compile(unwrap(source))
        except ExpressionInvalid as problem:
            self._refuse_expression(path, problem)
            return None

    def _refuse_expression(self, path: str, problem: ExpressionInvalid) -> None:
        match problem:
            case UnknownName():
                for name, message in problem.messages.items():
                    outside = name in ("item", "index")
                    reason = ViolationReason.ITEM_OUTSIDE_FOR_EACH if outside else ViolationReason.STEP_UNKNOWN
                    self._refuse(path, reason, message)
            case ExpressionTooLong():
                self._refuse(path, ViolationReason.EXPRESSION_TOO_LONG, problem.message)
            case _:
                self._refuse(path, ViolationReason.EXPRESSION_INVALID, problem.message)

    def _refuse(self, path: str, reason: ViolationReason, message: str) -> None:
        self._violations.append(Violation(path, reason, message))


def _rest(written: JsonObject, broken: frozenset[tuple[str | int, ...]], environment: Environment) -> Template:
    """The template of the arguments without the strings that do not compile."""

    def without(value: Json, path: tuple[str | int, ...]) -> Json:
        if isinstance(value, dict):
            return {key: without(member, (*path, key)) for key, member in value.items()}
        if isinstance(value, list):
            return [without(element, (*path, index)) for index, element in enumerate(value)]
        return None if path in broken else value

    template, problems = compile_template(cast("JsonObject", without(written, ())), environment)
    assert template is not None, problems
    return template


def _strings(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for element in value:
            yield from _strings(element)
    elif isinstance(value, dict):
        for member in value.values():
            yield from _strings(member)
