"""Asks every question through every arm, in turns, and sums up."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.loop.arms import Arm, Mismatch, Observation
from benchmarks.loop.questions import Facts, Question


@dataclass(frozen=True, slots=True)
class Row:
    """One question through one arm, over all rounds."""

    question: Question
    arm: str
    llm_calls: int
    agent_calls: int
    seconds: tuple[float, ...]
    """Of each round."""
    input_tokens: int
    """Median: the metrics of the moment have more or fewer digits."""
    output_tokens: int
    cost_usd: float
    """Median."""
    facts: Facts

    @property
    def median_seconds(self) -> float:
        return statistics.median(self.seconds)


async def compare(
    questions: Sequence[Question], arms: Sequence[Arm], rounds: int, progress: Callable[[str], None]
) -> list[Row]:
    """Measure; each round asks every question through every arm, beginning with another arm each time.

    Raises:
        Mismatch: Arms give different facts for a question, or one arm needs different calls from round to round.
    """
    seen: dict[tuple[str, str], list[Observation]] = {}
    for number in range(rounds):
        progress(f"round {number + 1} of {rounds}")
        first = number % len(arms)
        for question in questions:
            for arm in (*arms[first:], *arms[:first]):
                seen.setdefault((question.text, arm.name), []).append(await arm.ask(question))
    rows = [_row(question, arm.name, seen[question.text, arm.name]) for question in questions for arm in arms]
    for question in questions:
        _same_facts([row for row in rows if row.question is question])
    return rows


def _row(question: Question, arm: str, seen: Sequence[Observation]) -> Row:
    counts = {(one.llm_calls, one.agent_calls) for one in seen}
    if len(counts) > 1:
        raise Mismatch(f"{question.text!r} through {arm!r} took different calls: {sorted(counts)}")
    llm_calls, agent_calls = counts.pop()
    return Row(
        question=question,
        arm=arm,
        llm_calls=llm_calls,
        agent_calls=agent_calls,
        seconds=tuple(one.seconds for one in seen),
        input_tokens=round(statistics.median(one.input_tokens for one in seen)),
        output_tokens=round(statistics.median(one.output_tokens for one in seen)),
        cost_usd=statistics.median(one.cost_usd for one in seen),
        facts=seen[-1].facts,
    )


def _same_facts(rows: Sequence[Row]) -> None:
    for row in rows:
        if row.facts != rows[0].facts:
            raise Mismatch(
                f"{row.question.text!r}: {rows[0].arm!r} found {rows[0].facts}, {row.arm!r} found {row.facts}"
            )
