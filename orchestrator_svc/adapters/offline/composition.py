"""Composes a plan: goes through a question stage by stage, and makes steps of what it is sure enough of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.adapters.offline.asked import Asked
from orchestrator_svc.adapters.offline.chains import Split, splits
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


def compose(text: str, catalog: Catalog, index: SkillIndex, thresholds: Thresholds) -> list[JsonObject]:
    """The steps that answer a question, in the plan language; none if it asks for nothing that the catalog has."""
    composer = _Composer(Asked.of(text, index), catalog, index, thresholds)
    return [draft.to_json() for draft in composer.run()]


@dataclass(frozen=True)
class _Place:
    """Where in the question a clause stands."""

    anchor: tuple[Draft, ...] = ()
    """The steps that it follows, if it follows any."""
    condition: Span | None = None
    contrary: bool = False
    scope: Span | None = None

    def request(self, skill: int, spans: tuple[Span, ...], link: Link, beside: tuple[Mention, ...] = ()) -> Request:
        return Request(skill, spans, link, self.anchor, beside, self.condition, self.contrary, self.scope)


class _Composer:
    def __init__(self, asked: Asked, catalog: Catalog, index: SkillIndex, thresholds: Thresholds) -> None:
        self._asked = asked
        self._catalog = catalog
        self._index = index
        self._judge = Judge(asked.text, asked.mentions, index, thresholds)
        self._maker = StepMaker(asked, catalog, index)
        self._referents: tuple[Mention, ...] = ()  # what `its` stands for

    def run(self) -> list[Draft]:
        place = _Place()
        before_condition: tuple[Draft, ...] = ()
        for stage in self._asked.reading.stages:
            span = stage.clauses[0].span if stage.clauses else None
            match stage.role:
                case Role.REQUEST:
                    if stage.link is Link.IF and not place.contrary:
                        before_condition = place.anchor
                    made = [draft for clause in stage.clauses for draft in self._answer(clause, stage.link, place)]
                    place = _Place(tuple(dict.fromkeys(made)) or place.anchor)
                case Role.CONTRARY:
                    place = _Place(before_condition, contrary=True)
                case Role.CONDITION:
                    place = replace(place, anchor=self._aside(stage, place.anchor) or place.anchor, condition=span)
                case Role.SCOPE:
                    place = replace(place, anchor=self._aside(stage, place.anchor) or place.anchor, scope=span)
        return self._maker.drafts

    def _answer(self, clause: Clause, link: Link, place: _Place) -> list[Draft]:
        """The steps for one clause."""
        beside = [*self._asked.within(clause.span), *self._asked.within(*self._asked.reading.contexts)]
        made = self._chained(clause, link, place)
        if not made:
            possible = self._feasible(clause.span, link, place) * self._judge.permitted(clause.span)
            # `that component` says what the request is given, not what it is.
            pointing = referring_stems(self._asked.said(clause.span), Earlier(place.anchor, self._catalog))
            for group in self._judge.groups(clause.units, possible, pointing):
                for spans in self._maker.apart(group.skill, group.units):
                    lent = [*beside, *self._referents] if refers_back(self._asked.said(*spans)) else beside
                    made.extend(self._maker.make(place.request(group.skill, spans, link, tuple(dict.fromkeys(lent)))))
        values = tuple(each for each in self._asked.within(clause.span) if each.kind is not Kind.DURATION)
        self._referents = values or self._referents
        return made

    def _aside(self, stage: Stage, anchor: tuple[Draft, ...]) -> tuple[Draft, ...]:
        """The steps that the words after `if` or `for each` ask for; none if they speak of earlier ones."""
        span = stage.clauses[0].span
        said = self._asked.said(span)
        if span[0] == span[1] or (stage.role is Role.SCOPE and names_list(said, anchor, self._catalog)):
            return ()
        possible = self._feasible(span, stage.link, _Place(anchor)) * self._judge.permitted(span)
        if stage.role is Role.SCOPE:
            possible = possible * [gives_list(skill.id, self._catalog) for skill in self._index.skills]
        best = self._judge.best(span, possible=possible)
        return () if best is None else tuple(self._maker.make(Request(best, (span,), stage.link, anchor), aside=True))

    def _chained(self, clause: Clause, link: Link, place: _Place) -> list[Draft]:
        """The steps for a clause that asks for something of the result of another request inside it."""
        if link is Link.EACH:
            return []
        permitted = self._judge.permitted(clause.span)
        for split in splits(self._asked, clause):
            goal = self._judge.best(*split.goal, possible=permitted)
            source = self._judge.best(split.source, possible=permitted)
            if (
                goal is None
                or source is None
                or goal == source
                or not self._leads_to(source, goal, split, place.anchor)
            ):
                continue
            first = self._maker.make(place.request(source, (split.source,), link))
            if len(first) == 1:
                then = Link.EACH if split.many else Link.ALONE
                scope = split.source if split.many else None
                return [*first, *self._maker.make(Request(goal, split.goal, then, tuple(first), scope=scope))]
        return []

    def _leads_to(self, source: int, goal: int, split: Split, anchor: Sequence[Draft]) -> bool:
        """Whether a skill lacks an argument that only the result of the other gives, which itself lacks none."""
        values, named = self._asked.within(split.source), self._asked.said(split.source)
        if not (values or split.described) or self._maker.missing(source, values, anchor, named):
            return False
        said = self._asked.said(*split.goal)
        probe = Draft("", self._index.skills[source].id)
        if split.many:
            taken = self._maker.lacks(goal, self._asked.mentions) or not values
            return taken and self._maker.takes_items(goal, [probe], said, named)
        return self._maker.missing(goal, self._asked.mentions, anchor, said) and not self._maker.missing(
            goal, self._asked.mentions, [probe], said
        )

    def _feasible(self, span: Span, link: Link, place: _Place) -> Evidence:
        """A factor a skill: 1, or less where a required argument can come from nowhere."""
        said = self._asked.said(span)
        drafts = [*(each for each in self._maker.drafts if each not in place.anchor), *place.anchor]
        every = range(len(self._index.skills))
        if link is Link.EACH and drafts:
            named = "" if place.scope is None else self._asked.said(place.scope)
            possible = [self._maker.takes_items(skill, drafts, said, named) for skill in every]
            if any(possible):
                return np.where(possible, 1.0, _LACKING)
        mentions = [*self._asked.mentions, *self._asked.guesses_within(span)]
        return np.where([self._maker.missing(skill, mentions, drafts, said) for skill in every], _LACKING, 1.0)
