"""Composes a plan: goes through a question stage by stage, and makes steps of what it is sure enough of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.adapters.offline.asked import Asked
from orchestrator_svc.adapters.offline.clauses import Clause, Link, Role, Span, Stage
from orchestrator_svc.adapters.offline.drafting import (
    Draft,
    Earlier,
    gives_list,
    names_list,
    referring_stems,
    refers_back,
)
from orchestrator_svc.adapters.offline.evidence import Judge, Thresholds
from orchestrator_svc.adapters.offline.mentions import Kind, Mention
from orchestrator_svc.adapters.offline.skill_index import Evidence, SkillIndex
from orchestrator_svc.adapters.offline.steps import Request, StepMaker
from orchestrator_svc.core.catalog import Catalog

_LACKING: Final = 0.35
"""What remains of the evidence for a skill whose required arguments nothing can fill."""
_PREPOSITION: Final = re.compile(r"\s+(?:of|for|from|in|on|with|at|by)\s+", re.IGNORECASE)


def compose(text: str, catalog: Catalog, index: SkillIndex, thresholds: Thresholds) -> list[JsonObject]:
    """The steps that answer a question, in the plan language; none if it asks for nothing that the catalog has."""
    composer = _Composer(Asked.of(text, index), catalog, index, thresholds)
    return [draft.to_json() for draft in composer.run()]


class _Composer:
    def __init__(self, asked: Asked, catalog: Catalog, index: SkillIndex, thresholds: Thresholds) -> None:
        self._asked = asked
        self._catalog = catalog
        self._index = index
        self._judge = Judge(asked.text, asked.mentions, index, thresholds)
        self._maker = StepMaker(asked, catalog, index)
        self._referents: tuple[Mention, ...] = ()  # what `its` stands for

    def run(self) -> list[Draft]:
        anchor: tuple[Draft, ...] = ()
        condition: Span | None = None
        scope: Span | None = None
        for stage in self._asked.reading.stages:
            if stage.role is Role.REQUEST:
                made = [
                    d for clause in stage.clauses for d in self._answer(clause, stage.link, anchor, condition, scope)
                ]
                condition = scope = None
            else:
                made = self._aside(stage, anchor)
                condition, scope = (
                    (stage.clauses[0].span, scope)
                    if stage.role is Role.CONDITION
                    else (condition, stage.clauses[0].span)
                )
            anchor = tuple(dict.fromkeys(made)) or anchor
        return self._maker.drafts

    def _answer(
        self, clause: Clause, link: Link, anchor: tuple[Draft, ...], condition: Span | None, scope: Span | None
    ) -> list[Draft]:
        """The steps for one clause."""
        beside = [*self._asked.within(clause.span), *self._asked.within(*self._asked.reading.contexts)]
        made = self._chained(clause, link, anchor)
        if not made:
            possible = self._feasible(clause.span, link, anchor, scope) * self._judge.permitted(clause.span)
            # `that component` says what the request is given, not what it is.
            pointing = referring_stems(self._asked.said(clause.span), Earlier(anchor, self._catalog))
            for group in self._judge.groups(clause.units, possible, pointing):
                for spans in self._maker.apart(group.skill, group.units):
                    lent = [*beside, *self._referents] if refers_back(self._asked.said(*spans)) else beside
                    request = Request(group.skill, spans, link, anchor, tuple(dict.fromkeys(lent)), condition, scope)
                    made.extend(self._maker.make(request))
        values = tuple(each for each in self._asked.within(clause.span) if each.kind is not Kind.DURATION)
        self._referents = values or self._referents
        return made

    def _aside(self, stage: Stage, anchor: tuple[Draft, ...]) -> list[Draft]:
        """The steps that the words after `if` or `for each` ask for; none if they speak of earlier ones."""
        span = stage.clauses[0].span
        said = self._asked.said(span)
        if span[0] == span[1] or (stage.role is Role.SCOPE and names_list(said, anchor, self._catalog)):
            return []
        feasible = self._feasible(span, stage.link, anchor, None)
        if stage.role is Role.SCOPE:
            feasible = feasible * [gives_list(skill.id, self._catalog) for skill in self._index.skills]
        best = self._judge.best(span, possible=feasible * self._judge.permitted(span))
        if best is None:
            return []
        return self._maker.make(Request(best, (span,), stage.link, anchor), aside=True)

    def _chained(self, clause: Clause, link: Link, anchor: tuple[Draft, ...]) -> list[Draft]:
        """`track the parcel of order A-17`: what stands before `of` needs what the rest gives."""
        start, end = clause.span
        if len(clause.units) != 1 or link is Link.EACH:
            return []
        permitted = self._judge.permitted(clause.span)
        for match in _PREPOSITION.finditer(self._asked.text, start, end):
            head, tail = (start, match.start()), (match.end(), end)
            goal, source = self._judge.best(head, possible=permitted), self._judge.best(tail, possible=permitted)
            if goal is None or source is None or goal == source or not self._needs(goal, source, head, tail, anchor):
                continue
            first = self._maker.make(Request(source, (tail,), link, anchor))
            if len(first) == 1:
                return [*first, *self._maker.make(Request(goal, (head,), Link.ALONE, tuple(first)))]
        return []

    def _needs(self, goal: int, source: int, head: Span, tail: Span, anchor: Sequence[Draft]) -> bool:
        """Whether one skill lacks an argument that only the result of the other gives, which itself lacks none."""
        said, values = self._asked.said(head), self._asked.within(tail)
        probe = Draft("", self._index.skills[source].id)
        return (
            bool(values)
            and self._maker.missing(goal, self._asked.mentions, anchor, said)
            and not self._maker.missing(goal, self._asked.mentions, [probe], said)
            and not self._maker.missing(source, values, anchor, self._asked.said(tail))
        )

    def _feasible(self, span: Span, link: Link, anchor: Sequence[Draft], scope: Span | None) -> Evidence:
        """A factor a skill: 1, or less where a required argument can come from nowhere."""
        said = self._asked.said(span)
        drafts = [*(each for each in self._maker.drafts if each not in anchor), *anchor]
        every = range(len(self._index.skills))
        if link is Link.EACH and drafts:
            named = "" if scope is None else self._asked.said(scope)
            possible = [self._maker.takes_items(place, drafts, said, named) for place in every]
            if any(possible):
                return np.where(possible, 1.0, _LACKING)
        mentions = [*self._asked.mentions, *self._asked.guesses_within(span)]
        return np.where([self._maker.missing(place, mentions, drafts, said) for place in every], _LACKING, 1.0)
