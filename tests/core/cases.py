"""Plans of every form with results for their steps, drawn from a random source, and what the specification says of
them: an oracle that knows neither the schedule nor CEL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.core.outcome import Outcome, StepOutcome, StepReason
from tests.core.running import CANCELLED, FAILED, TIMED_OUT, gives, step


@dataclass
class Made:
    """A step as it was drawn."""

    id: str
    depends_on: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    """`when` has `s.ok` for each of these."""
    guards: list[str] = field(default_factory=list)
    """`when` has `has(s.v)` for each of these."""
    reversed_guards: list[str] = field(default_factory=list)
    """`when` has `!has(s.v)` for each of these."""
    values: list[str] = field(default_factory=list)
    """The arguments have `s.v` for each of these, guarded where it may be absent."""
    over: str | None = None
    """for_each over `s.rows`."""
    optional: bool = False

    @property
    def tolerated(self) -> set[str]:
        return {*self.guards, *self.reversed_guards}

    @property
    def needs(self) -> set[str]:
        over = {self.over} if self.over else set()
        return {*self.depends_on, *self.flags, *self.guards, *self.reversed_guards, *self.values} | over

    def source(self) -> JsonObject:
        conditions = [f"{name}.ok" for name in self.flags]
        conditions += [f"has({name}.v)" for name in self.guards]
        conditions += [f"!has({name}.v)" for name in self.reversed_guards]
        arguments: JsonObject = {
            name: f"${{has({name}.v) ? {name}.v : -1.0}}" if name in self.tolerated else f"${{{name}.v}}"
            for name in self.values
        }
        if self.over:
            arguments["row"] = "${item.n}"
        return step(
            self.id,
            depends_on=list(self.depends_on),
            when=" && ".join(conditions),
            for_each=f"{self.over}.rows" if self.over else None,
            arguments=arguments,
            optional=self.optional,
        )


@dataclass
class Case:
    """Steps in the order of the plan, and how each ends if it is called: an outcome, or one for each of its items."""

    steps: list[Made]
    answers: dict[str, Outcome]
    items: dict[str, list[Outcome]]

    def sources(self) -> list[JsonObject]:
        return [made.source() for made in self.steps]


def draw_case(random: Random, *, most_steps: int = 9) -> Case:
    names = [f"s{number}" for number in range(random.randint(1, most_steps))]
    made: list[Made] = []
    for name in names:
        made.append(_step(random, name, made))
    answers = {name: _outcome(random) for name in names}
    items = {name: [_outcome(random) for _ in range(4)] for name in names}
    random.shuffle(made)  # the order of writing is not the order of running
    return Case(made, answers, items)


def _step(random: Random, name: str, earlier: list[Made]) -> Made:
    repeated = {made.id for made in earlier if made.over}
    once = [made.id for made in earlier if made.id not in repeated]

    def some(names: list[str]) -> list[str]:
        return [each for each in names if random.random() < 1.2 / (len(names) + 1)]

    made = Made(name, optional=random.random() < 0.2)
    made.depends_on = some([each.id for each in earlier])
    made.guards, made.reversed_guards = some(once), some(once)
    # A step with for_each in its guards cannot be: its value is a list.
    made.flags, made.values = some(once), some(once)
    if once and random.random() < 0.25:
        candidates = [each for each in once if each not in made.tolerated]
        made.over = random.choice(candidates) if candidates else None
    return made


def _outcome(random: Random) -> Outcome:
    kind = random.random()
    if kind < 0.3:
        return random.choice([FAILED, TIMED_OUT, CANCELLED])
    rows: list[Json] = [{"n": n} if random.random() < 0.9 else {} for n in range(random.randint(0, 4))]
    result: JsonObject = {"ok": random.random() < 0.8, "rows": rows}
    if random.random() < 0.85:
        result["v"] = random.randint(-5, 5)
    return gives(result)


def expected(case: Case) -> dict[str, tuple[StepOutcome, StepReason | None]]:
    """How each step ends, by the words of the specification."""
    made = {each.id: each for each in case.steps}
    ended: dict[str, tuple[StepOutcome, StepReason | None]] = {}

    def end_of(name: str) -> tuple[StepOutcome, StepReason | None]:
        if name not in ended:
            for need in made[name].needs:
                end_of(need)
            ended[name] = _end(made[name], case, ended)
        return ended[name]

    return {name: end_of(name) for name in made}


def _end(
    made: Made, case: Case, ended: Mapping[str, tuple[StepOutcome, StepReason | None]]
) -> tuple[StepOutcome, StepReason | None]:
    absent = {need for need in made.needs if ended[need][0] is not StepOutcome.SUCCEEDED}
    lacking = absent - made.tolerated
    if lacking:
        skipped = {StepReason.CONDITION_FALSE, StepReason.UPSTREAM_SKIPPED}
        broken = any(ended[need][1] not in skipped for need in lacking)
        return StepOutcome.SKIPPED, StepReason.UPSTREAM_FAILED if broken else StepReason.UPSTREAM_SKIPPED
    bound = {need: {} if need in absent else case.answers[need].result or {} for need in made.needs}
    condition = _condition(made, bound)
    if condition is None:
        return StepOutcome.FAILED, StepReason.EXPRESSION_FAILED
    if not condition:
        return StepOutcome.SKIPPED, StepReason.CONDITION_FALSE
    unreadable = any("v" not in bound[name] for name in made.values if name not in made.tolerated)
    if made.over:
        return _end_of_items(made, case, bound[made.over]["rows"], unreadable=unreadable)
    if unreadable:
        return StepOutcome.FAILED, StepReason.EXPRESSION_FAILED
    answer = case.answers[made.id]
    return answer.kind, answer.reason


def _condition(made: Made, bound: Mapping[str, JsonObject]) -> bool | None:
    """True if all hold, False if one does not, None for an error; false and an error is false."""
    parts: list[Json] = [bound[name].get("ok") for name in made.flags]
    parts += ["v" in bound[name] for name in made.guards]
    parts += ["v" not in bound[name] for name in made.reversed_guards]
    if any(part is False for part in parts):
        return False
    return None if any(part is None for part in parts) else True


def _end_of_items(made: Made, case: Case, rows: Json, *, unreadable: bool) -> tuple[StepOutcome, StepReason | None]:
    assert isinstance(rows, list)
    good = [
        isinstance(row, dict) and "n" in row and not unreadable and case.items[made.id][index].succeeded
        for index, row in enumerate(rows)
    ]
    if all(good) or (made.optional and any(good)):
        return StepOutcome.SUCCEEDED, None
    return StepOutcome.FAILED, StepReason.ITEMS_FAILED
