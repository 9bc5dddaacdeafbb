"""Turns a plan in the plan language into a `Plan`, or says everything that is wrong with it at once.

Static: nothing is called and nothing is evaluated. What depends on results is checked again when a step is ready
(`schedule`) and when it has answered (`results`).

Reading order: draft (shapes) -> compile (one step) -> references, arguments (what flows between steps) -> cycles.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from agentmesh.cards import Effect
from agentmesh.errors import Violation, ViolationReason
from agentmesh.jsonvalues import Json
from orchestrator_svc.core.arguments import argument_violations
from orchestrator_svc.core.catalog import Catalog
from orchestrator_svc.core.compile import CompiledStep, StepCompiler
from orchestrator_svc.core.cycles import cycles
from orchestrator_svc.core.draft import KEYS, StepDraft, read_draft
from orchestrator_svc.core.expressions import RESERVED
from orchestrator_svc.core.plan import Plan, Step
from orchestrator_svc.core.references import Known, element_of, field_violations, result_of, type_violation
from orchestrator_svc.core.step_ids import MAX_STEP_ID_CHARACTERS, STEP_ID
from orchestrator_svc.core.wording import cut, did_you_mean

MAX_STEPS: Final = 32
MAX_EXPRESSION_CHARACTERS: Final = 2048

_FAR_TOO_MANY: Final = 10
"""Of a plan with this many times `max_steps`, only their number is reported: the limit bounds the work as well."""

_MENTIONABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")
"""What an expression can mention, though the id be bad: so that one mistake is not reported at every mention."""


@dataclass(frozen=True, slots=True)
class PlanLimits:
    """What a plan may have at most; the schedule itself has no limit."""

    max_steps: int = MAX_STEPS
    max_expression_characters: int = MAX_EXPRESSION_CHARACTERS


class PlanRejected(Exception):
    """The plan breaks the plan language; `violations` has everything that is wrong, in the order of the plan."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__(f"{len(violations)} violations, the first: {violations[0].path}: {violations[0].message}")
        self.violations = tuple(violations)


DEFAULT_PLAN_LIMITS: Final = PlanLimits()


def validate(source: Json, catalog: Catalog, limits: PlanLimits = DEFAULT_PLAN_LIMITS) -> Plan:
    """Compile a plan against a catalog.

    Args:
        source: The plan in the plan language: `{"steps": [...]}`. It is copied.
        catalog: The skills that its steps may use.
        limits: Bounds on its size.

    Raises:
        PlanRejected: With every violation.
    """
    violations = list(_too_many(source, limits.max_steps))
    drafts, misshapen = read_draft(source)
    violations += misshapen
    violations += _id_violations(drafts)
    ids = [draft.id for draft in drafts if _MENTIONABLE.match(draft.id) and draft.id not in RESERVED]
    compiler = StepCompiler(catalog, ids, limits.max_expression_characters)
    steps: list[CompiledStep] = []
    for draft in drafts:
        step, not_compiling = compiler.compile(draft)
        steps.append(step)
        violations += not_compiling
    violations += _meaning_violations(steps)
    positions = {draft.id: draft.index for draft in reversed(drafts)}  # of two steps of one name, the first
    needs = [_needs(step, positions) for step in steps]
    violations += _unknown_needs(drafts, positions)
    violations += _cycle_violations(drafts, needs, positions)
    if violations:
        raise PlanRejected(sorted(violations, key=_position))
    return Plan(tuple(_step(step, needed) for step, needed in zip(steps, needs, strict=True)))


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


def _too_many(source: Json, most: int) -> Iterator[Violation]:
    steps = source.get("steps") if isinstance(source, dict) else None
    if not isinstance(steps, list) or len(steps) <= most:
        return
    message = f"{len(steps)} steps, at most {most} are allowed; a step with for_each does the same for each element"
    violation = Violation("steps", ViolationReason.TOO_MANY_STEPS, message)
    if len(steps) > most * _FAR_TOO_MANY:
        raise PlanRejected([violation])
    yield violation


def _id_violations(drafts: Sequence[StepDraft]) -> Iterator[Violation]:
    seen: set[str] = set()
    for draft in drafts:
        if draft.id in seen:
            message = f"another step is called `{cut(draft.id)}`"
            yield Violation(f"{draft.path}.id", ViolationReason.STEP_ID_DUPLICATE, message)
        elif draft.id in RESERVED:
            message = f"`{draft.id}` means something in expressions; write for example `{draft.id}_1`"
            yield Violation(f"{draft.path}.id", ViolationReason.STEP_ID_INVALID, message)
        elif draft.id and not STEP_ID.match(draft.id):
            message = (
                f"`{cut(draft.id)}` must be a-z, 0-9 and _, begin with a letter, and have at most "
                f"{MAX_STEP_ID_CHARACTERS} characters"
            )
            yield Violation(f"{draft.path}.id", ViolationReason.STEP_ID_INVALID, message)
        if draft.id:
            seen.add(draft.id)


def _meaning_violations(steps: Sequence[CompiledStep]) -> Iterator[Violation]:
    """What does not fit between the steps: fields, types, arguments, absence."""
    count = Counter(step.draft.id for step in steps)
    scope = {
        step.draft.id: result_of(step.skill, repeated=step.draft.for_each is not None)
        for step in steps
        if step.skill is not None and count[step.draft.id] == 1  # of two steps of one name, which is meant is not known
    }
    lists = frozenset(step.draft.id for step in steps if step.draft.for_each is not None)
    for step in steps:
        yield from _type_violations(step, scope)
        yield from _absence_violations(step, step.tolerates - lists)
        element = element_of(step.for_each, scope)
        inside = scope if element is None else {**scope, "item": element}
        for path, expression in step.expressions():
            yield from field_violations(expression, path, inside)
        if step.skill is not None and step.arguments is not None:
            yield from argument_violations(step.skill, step.arguments, f"{step.draft.path}.arguments", inside)


def _type_violations(step: CompiledStep, scope: Mapping[str, Known]) -> Iterator[Violation]:
    for key, expression, wanted in (("when", step.when, "boolean"), ("for_each", step.for_each, "array")):
        if expression is not None:
            violation = type_violation(expression, frozenset({wanted}), f"{step.draft.path}.{key}", scope)
            if violation is not None:
                yield violation


def _absence_violations(step: CompiledStep, tolerated: frozenset[str]) -> Iterator[Violation]:
    """Expressions that read what may be absent without asking for it."""
    for path, expression in step.expressions():
        for name in sorted((tolerated & expression.steps) - expression.tolerates):
            message = (
                f"`{name}` may be absent here, because `when` tests has({name}.<field>): write has({name}.<field>) ? "
                f"{name}.<field> : <something else>, or leave has() out of `when` if this step needs `{name}`"
            )
            yield Violation(path, ViolationReason.ABSENT_REFERENCE, message)


def _needs(step: CompiledStep, positions: Mapping[str, int]) -> tuple[str, ...]:
    mentioned = frozenset(step.draft.depends_on).union(*(expression.steps for _, expression in step.expressions()))
    return tuple(sorted(mentioned & positions.keys(), key=positions.__getitem__))


def _unknown_needs(drafts: Sequence[StepDraft], positions: Mapping[str, int]) -> Iterator[Violation]:
    for draft in drafts:
        for place, name in enumerate(draft.depends_on):
            if name and name not in positions:
                message = f"the plan has no step `{cut(name)}`{did_you_mean(name, filter(None, positions))}"
                yield Violation(f"{draft.path}.depends_on[{place}]", ViolationReason.STEP_UNKNOWN, message)


def _cycle_violations(
    drafts: Sequence[StepDraft], needs: Sequence[tuple[str, ...]], positions: Mapping[str, int]
) -> Iterator[Violation]:
    graph = {
        draft.id: needed for draft, needed in zip(drafts, needs, strict=True) if positions[draft.id] == draft.index
    }
    for cycle in cycles(graph):
        message = " needs ".join(f"`{cut(name)}`" for name in cycle) + ": this can never start"
        yield Violation(f"steps[{positions[cycle[0]]}]", ViolationReason.CYCLE, message)


def _step(step: CompiledStep, needs: tuple[str, ...]) -> Step:
    if step.skill is None or step.arguments is None:
        raise AssertionError(f"{step.draft.path} has no violation and does not compile")
    literal = step.draft.for_each if isinstance(step.draft.for_each, tuple) else None
    return Step(
        id=step.draft.id,
        skill=step.skill,
        arguments=step.arguments.template,
        when=step.when,
        for_each=literal if literal is not None else step.for_each,
        optional=step.draft.optional,
        needs=needs,
        tolerates=step.tolerates,
        source=step.draft.to_json(),
    )


def _position(violation: Violation) -> tuple[int, int]:
    """Where in the plan it is: the step, and the key in it."""
    match = re.match(r"steps\[(\d+)\](?:\.(\w+))?", violation.path)
    if match is None:
        return -1, 0
    return int(match[1]), KEYS.index(match[2]) if match[2] in KEYS else -1
