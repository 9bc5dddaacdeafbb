"""Turns a plan in the plan language into a `Plan`, or says everything that is wrong with it at once.

Static: nothing is called and nothing is evaluated. What depends on results is checked again when a step is ready
(`schedule`) and when it has answered (`results`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Final

from agentmesh.cards import Effect
from agentmesh.errors import Violation, ViolationReason
from agentmesh.jsonvalues import Json
from orchestrator_svc.core.catalog import Catalog, Skill, nearest
from orchestrator_svc.core.draft import StepDraft, read_draft
from orchestrator_svc.core.expressions import (
    RESERVED,
    Environment,
    Expression,
    ExpressionInvalid,
    Template,
    UnknownName,
    compile_template,
    unwrap,
)
from orchestrator_svc.core.plan import Plan, Step
from orchestrator_svc.core.references import Scope, argument_violations, reference_violations, type_violation

MAX_STEPS: Final = 32
MAX_EXPRESSION_CHARACTERS: Final = 2048

_STEP_ID: Final = re.compile(r"[a-z][a-z0-9_]{0,31}\Z")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a plan may have at most. None: no limit; the schedule itself has none."""

    max_steps: int | None = MAX_STEPS
    max_expression_characters: int = MAX_EXPRESSION_CHARACTERS


class PlanRejected(Exception):
    """The plan breaks the plan language; `violations` has everything that is wrong, in the order of the plan."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__(f"{len(violations)} violations, the first: {violations[0].path}: {violations[0].message}")
        self.violations = tuple(violations)


DEFAULT_LIMITS: Final = Limits()


def validate(source: Json, catalog: Catalog, limits: Limits = DEFAULT_LIMITS) -> Plan:
    """Compile a plan against a catalog.

    Args:
        source: The plan in the plan language: `{"steps": [...]}`.
        catalog: The skills that its steps may use.
        limits: Bounds on its size.

    Raises:
        PlanRejected: With every violation.
    """
    drafts, violations = read_draft(source)
    return _Validation(drafts, violations, catalog, limits).plan()


def effect_violations(plan: Plan, limit: Effect) -> tuple[Violation, ...]:
    """The steps whose skills change more than `limit` allows."""
    return tuple(
        Violation(
            f"steps[{index}].skill",
            ViolationReason.EFFECT_NOT_ALLOWED,
            f"`{step.skill.id}` is {step.skill.effect}, allowed is at most {limit} (max_effect)",
        )
        for index, step in enumerate(plan.steps)
        if not step.skill.effect.within(limit)
    )


@dataclass(frozen=True)
class _Compiled:
    """The expressions of one step; None where one does not compile or there is none."""

    skill: Skill | None
    arguments: Template | None
    when: Expression | None
    for_each: Expression | None

    def expressions(self) -> Iterator[tuple[str, Expression]]:
        """Every expression with its path within the step."""
        if self.when is not None:
            yield "when", self.when
        if self.for_each is not None:
            yield "for_each", self.for_each
        if self.arguments is not None:
            for embedded in self.arguments.embedded:
                yield f"arguments{shown(embedded.path)}", embedded.expression


class _Validation:
    def __init__(
        self, drafts: Sequence[StepDraft], violations: Sequence[Violation], catalog: Catalog, limits: Limits
    ) -> None:
        self._drafts = drafts
        self._violations = list(violations)
        self._catalog = catalog
        self._limits = limits
        self._ids = [draft.id for draft in drafts if _STEP_ID.match(draft.id) and draft.id not in RESERVED]
        self._once = Environment(self._ids)
        self._per_item = Environment(self._ids, item=True)

    def plan(self) -> Plan:
        self._check_count()
        self._check_ids()
        compiled = [self._compile(draft) for draft in self._drafts]
        scope = Scope(
            skills={draft.id: parts.skill for draft, parts in zip(self._drafts, compiled, strict=True)},
            lists=frozenset(draft.id for draft in self._drafts if draft.for_each is not None),
        )
        needs = [self._needs(draft, parts) for draft, parts in zip(self._drafts, compiled, strict=True)]
        for draft, parts in zip(self._drafts, compiled, strict=True):
            self._check_references(draft, parts, scope)
            self._check_arguments(draft, parts, scope)
        self._check_cycles(needs)
        if self._violations:
            raise PlanRejected(sorted(self._violations, key=_step_number))
        return Plan(
            tuple(
                _step(draft, parts, needed, scope)
                for draft, parts, needed in zip(self._drafts, compiled, needs, strict=True)
            )
        )

    # --- names -------------------------------------------------------------------------------------------------------

    def _check_count(self) -> None:
        most = self._limits.max_steps
        if most is not None and len(self._drafts) > most:
            self._refuse("steps", ViolationReason.TOO_MANY_STEPS, f"{len(self._drafts)} steps, at most {most}")

    def _check_ids(self) -> None:
        seen: set[str] = set()
        for draft in self._drafts:
            if not draft.id:
                continue
            if draft.id in seen:
                self._refuse(
                    f"{draft.path}.id", ViolationReason.STEP_ID_DUPLICATE, f"another step is called `{_cut(draft.id)}`"
                )
            elif draft.id in RESERVED:
                self._refuse(
                    f"{draft.path}.id", ViolationReason.STEP_ID_INVALID, f"`{draft.id}` means something in expressions"
                )
            elif not _STEP_ID.match(draft.id):
                self._refuse(
                    f"{draft.path}.id",
                    ViolationReason.STEP_ID_INVALID,
                    f"`{_cut(draft.id)}` does not match [a-z][a-z0-9_]{{0,31}}",
                )
            seen.add(draft.id)

    # --- expressions -------------------------------------------------------------------------------------------------

    def _compile(self, draft: StepDraft) -> _Compiled:
        when = self._expression(draft.when, f"{draft.path}.when", {"boolean"})
        for_each = None
        if isinstance(draft.for_each, str):
            for_each = self._expression(draft.for_each, f"{draft.path}.for_each", {"array"})
        elif draft.for_each is not None and _holds_expression(list(draft.for_each)):
            self._refuse(
                f"{draft.path}.for_each",
                ViolationReason.EXPRESSION_INVALID,
                "a literal list is taken as it is; write one expression instead, such as `[a.x, b.y]`",
            )
        return _Compiled(self._skill(draft), self._template(draft), when, for_each)

    def _skill(self, draft: StepDraft) -> Skill | None:
        skill = self._catalog.skills.get(draft.skill)
        if skill is None and draft.skill:
            close = self._catalog.nearest(draft.skill)
            hint = f"; did you mean `{close}`?" if close else ""
            self._refuse(
                f"{draft.path}.skill", ViolationReason.SKILL_UNKNOWN, f"no skill `{_cut(draft.skill)}` is known{hint}"
            )
        return skill

    def _expression(self, source: str | None, path: str, wanted: set[str]) -> Expression | None:
        if source is None or not self._short_enough(source, path):
            return None
        try:
            expression = self._once.compile(unwrap(source))
        except ExpressionInvalid as problem:
            self._refuse_expression(path, problem)
            return None
        mismatch = type_violation(expression, frozenset(wanted), path)
        if mismatch is not None:
            self._violations.append(mismatch)
        return expression

    def _template(self, draft: StepDraft) -> Template | None:
        environment = self._once if draft.for_each is None else self._per_item
        path = f"{draft.path}.arguments"
        short = [self._short_enough(text, path + shown(place)) for place, text in _strings(draft.arguments)]
        if not all(short):
            return None
        template, problems = compile_template(draft.arguments, environment)
        for problem in problems:
            self._refuse_expression(path + shown(problem.path), problem.error)
        return template

    def _short_enough(self, source: str, path: str) -> bool:
        most = self._limits.max_expression_characters
        if len(source) <= most or ("${" not in source and ".arguments" in path):
            return True
        self._refuse(
            path, ViolationReason.EXPRESSION_TOO_LONG, f"an expression of {len(source)} characters, at most {most}"
        )
        return False

    def _refuse_expression(self, path: str, problem: ExpressionInvalid) -> None:
        if not isinstance(problem, UnknownName):
            self._refuse(path, ViolationReason.EXPRESSION_INVALID, problem.message)
        elif problem.name in ("item", "index"):
            self._refuse(
                path,
                ViolationReason.ITEM_OUTSIDE_FOR_EACH,
                f"`{problem.name}` exists only in the arguments of a step with `for_each`",
            )
        else:
            self._refuse_step(path, problem.name)

    def _refuse_step(self, path: str, name: str) -> None:
        close = nearest(name, self._ids)
        hint = f"; did you mean `{close}`?" if close else ""
        self._refuse(path, ViolationReason.STEP_UNKNOWN, f"the plan has no step `{_cut(name)}`{hint}")

    # --- edges -------------------------------------------------------------------------------------------------------

    def _needs(self, draft: StepDraft, parts: _Compiled) -> tuple[str, ...]:
        mentioned = {step for _, expression in parts.expressions() for step in expression.steps}
        for place, name in enumerate(draft.depends_on):
            if name in self._ids:
                mentioned.add(name)
            else:
                self._refuse_step(f"{draft.path}.depends_on[{place}]", name)
        return tuple(other.id for other in self._drafts if other.id in mentioned)

    def _check_cycles(self, needs: Sequence[tuple[str, ...]]) -> None:
        graph: dict[str, set[str]] = {}
        index: dict[str, int] = {}
        for draft, needed in zip(self._drafts, needs, strict=True):
            graph.setdefault(draft.id, set()).update(needed)
            index.setdefault(draft.id, draft.index)
        while True:
            try:
                TopologicalSorter(graph).prepare()
            except CycleError as error:
                cycle: list[str] = error.args[1]
                members = cycle[:-1]
                first = min(members, key=index.__getitem__)
                start = members.index(first)
                # graphlib lists each step before the ones that need it; people read "needs".
                ordered = [*members[start:], *members[:start], first][::-1]
                self._refuse(f"steps[{index[first]}]", ViolationReason.CYCLE, " needs ".join(ordered))
                for member in members:
                    graph[member] = set()
            else:
                return

    # --- meaning -----------------------------------------------------------------------------------------------------

    def _check_references(self, draft: StepDraft, parts: _Compiled, scope: Scope) -> None:
        tolerated = parts.when.tolerates if parts.when is not None else frozenset()
        for place, expression in parts.expressions():
            path = f"{draft.path}.{place}"
            self._violations.extend(reference_violations(expression, path, scope))
            if place == "when":
                continue
            for step in sorted((tolerated & expression.steps) - expression.tolerates):
                self._refuse(
                    path,
                    ViolationReason.ABSENT_REFERENCE,
                    f"`{step}` may be absent here, because `when` tests has({step}....); guard it in this place too: "
                    f"has({step}.field) ? {step}.field : ...",
                )

    def _check_arguments(self, draft: StepDraft, parts: _Compiled, scope: Scope) -> None:
        if parts.skill is not None and parts.arguments is not None:
            self._violations.extend(
                argument_violations(parts.skill, draft.arguments, parts.arguments, f"{draft.path}.arguments", scope)
            )

    def _refuse(self, path: str, reason: ViolationReason, message: str) -> None:
        self._violations.append(Violation(path, reason, message))


def _step(draft: StepDraft, parts: _Compiled, needs: tuple[str, ...], scope: Scope) -> Step:
    if parts.skill is None or parts.arguments is None:
        raise AssertionError(f"{draft.path} has no violation and does not compile")
    tolerates = parts.when.tolerates if parts.when is not None else frozenset()
    literal = draft.for_each if isinstance(draft.for_each, tuple) else None
    return Step(
        id=draft.id,
        skill=parts.skill,
        arguments=parts.arguments,
        when=parts.when,
        for_each=literal if literal is not None else parts.for_each,
        optional=draft.optional,
        needs=needs,
        tolerates=(tolerates & frozenset(needs)) - scope.lists,
        source=draft.to_json(),
    )


def shown(path: Sequence[str | int]) -> str:
    """A path within arguments as people write it: `.filters[0].name`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{_cut(part)}" for part in path)


def _strings(value: Json, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        for position, element in enumerate(value):
            yield from _strings(element, (*path, position))
    elif isinstance(value, dict):
        for key, element in value.items():
            yield from _strings(element, (*path, key))


def _holds_expression(value: Json) -> bool:
    return any("${" in text for _, text in _strings(value))


def _step_number(violation: Violation) -> int:
    match = re.match(r"steps\[(\d+)\]", violation.path)
    return int(match[1]) if match else -1


def _cut(name: str) -> str:
    return name if len(name) <= 64 else name[:61] + "..."
