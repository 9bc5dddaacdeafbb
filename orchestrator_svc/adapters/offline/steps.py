"""Makes steps: gives a skill its arguments, from the question or from earlier steps, and its place in the order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orchestrator_svc.adapters.offline.arguments import LIKELY, Argument
from orchestrator_svc.adapters.offline.asked import Asked
from orchestrator_svc.adapters.offline.clauses import Link, Span
from orchestrator_svc.adapters.offline.conditions import Condition, read_condition
from orchestrator_svc.adapters.offline.drafting import (
    Draft,
    Earlier,
    items_for,
    pointed_at,
    refers_back,
    wired,
)
from orchestrator_svc.adapters.offline.filling import Filling, fill_from, literals, switches
from orchestrator_svc.adapters.offline.mentions import Kind, Mention
from orchestrator_svc.adapters.offline.skill_index import SkillIndex
from orchestrator_svc.core.catalog import Catalog
from orchestrator_svc.core.expressions import escape
from orchestrator_svc.core.step_ids import new_step_id
from orchestrator_svc.core.wiring import Source, all_hold, guards_of


@dataclass(frozen=True)
class Request:
    """What one skill is asked for, and how that follows from what was asked before."""

    skill: int
    """Position in the catalog."""
    spans: tuple[Span, ...]
    """Its own words."""
    link: Link
    anchor: tuple[Draft, ...]
    """The steps that it follows."""
    beside: tuple[Mention, ...] = ()
    """Values of the clause around it, and of what `its` stands for; taken if its own words have none."""
    condition: Span | None = None
    contrary: bool = False
    """It runs when the last condition does not hold."""
    scope: Span | None = None


class StepMaker:
    """The steps of one plan, as they come into being."""

    def __init__(self, asked: Asked, catalog: Catalog, index: SkillIndex) -> None:
        self.drafts: list[Draft] = []
        self._asked = asked
        self._catalog = catalog
        self._index = index
        self._words_of: dict[str, str] = {}  # by step id: how it was asked for
        self._condition: Condition | None = None  # the last one
        self._argument_words = frozenset(
            stem for arguments in index.arguments for argument in arguments for stem in argument.name_stems
        )

    def make(self, request: Request, *, aside: bool = False) -> list[Draft]:
        """The steps for a request: one, or one for each of several values; none if a required argument is missing.

        Args:
            request: What is asked for.
            aside: It stands in a condition, so that an earlier step of the same skill is meant where there is one.
        """
        skill, arguments = self._index.skills[request.skill], self._index.arguments[request.skill]
        said = self._asked.said(*request.spans)
        made: list[Draft] = []
        for filling in _each_value(self._filling(request, arguments), arguments):
            draft = Draft(new_step_id(skill.name, [each.id for each in self.drafts]), skill.id)
            values = literals(filling, arguments, skill) | switches(said, arguments)
            draft.arguments = {name: escape(value) for name, value in values.items()}
            if not self._completed(draft, request, arguments):
                continue
            known = self._already(draft, aside=aside)
            if known is None:
                self.drafts.append(draft)
                self._words_of[draft.id] = said
            made.append(known or draft)
        return made

    def apart(self, place: int, units: tuple[Span, ...]) -> list[tuple[Span, ...]]:
        """The units by themselves if each gives the same several arguments, as in `20 EUR to GBP and 30 USD to CHF`."""
        skill, arguments = self._index.skills[place], self._index.arguments[place]
        filled = {
            frozenset(fill_from(self._asked.within(unit), arguments, skill, self._argument_words).chosen)
            for unit in units
        }
        if len(units) > 1 and len(filled) == 1 and len(min(filled)) > 1:
            return [(unit,) for unit in units]
        return [units]

    def missing(self, place: int, mentions: Sequence[Mention], drafts: Sequence[Draft], said: str) -> bool:
        """Whether a required argument of a skill can come neither from the mentions nor from the steps."""
        skill, arguments = self._index.skills[place], self._index.arguments[place]
        required = [argument for argument in arguments if argument.required]
        if not required:
            return False
        filled = fill_from(mentions, arguments, skill, self._argument_words).chosen
        probe = Draft("", skill.id)
        texts = [said, *self._hints(drafts)]
        earlier = Earlier(tuple(drafts), self._catalog)
        return any(
            argument.name not in filled and wired(argument, probe, earlier, texts) is None for argument in required
        )

    def lacks(self, place: int, mentions: Sequence[Mention]) -> bool:
        """Whether a required argument of a skill is not among the mentions."""
        return self.missing(place, mentions, [], "")

    def takes_items(self, place: int, drafts: Sequence[Draft], said: str, scope: str) -> bool:
        """Whether an earlier step gives a list of whose elements the skill can take an argument."""
        texts = [f"each {scope}", said, *self._hints(drafts)]
        return items_for(_texts(self._index.arguments[place]), Earlier(tuple(drafts), self._catalog), texts) is not None

    # Values of the question.

    def _filling(self, request: Request, arguments: Sequence[Argument]) -> Filling:
        skill = self._index.skills[request.skill]
        own = self._asked.within(*request.spans, *([request.scope] if request.scope else []))
        filling = fill_from(own, arguments, skill, self._argument_words)
        beside = [mention for mention in request.beside if mention not in own]
        # What has a value of its own needs no other for what it can do without.
        closed = any(mention.kind is not Kind.DURATION for mention in filling.used)
        open_ones = [a for a in arguments if a.name not in filling.chosen and (a.required or not closed)]
        lent = fill_from(beside, open_ones, skill, self._argument_words)
        sure = {name: mention for name, mention in lent.chosen.items() if _fit(arguments, name, mention) >= LIKELY}
        more = {name: rest for name, rest in lent.more.items() if name in sure}
        return Filling(filling.chosen | sure, filling.more | more)

    def _fill_from_anywhere(self, draft: Draft, request: Request, arguments: Sequence[Argument]) -> None:
        """Last resorts for a required argument: the one fitting value of the whole question, or an unknown word."""
        skill = self._catalog.skills[draft.skill]
        for argument in arguments:
            if not argument.required or argument.name in draft.arguments:
                continue
            filling = fill_from(self._asked.mentions, [argument], skill, self._argument_words)
            sure = {name: each for name, each in filling.chosen.items() if argument.fit(each) >= LIKELY}
            if not sure or filling.more:
                guesses = self._asked.guesses_within(*request.spans)
                sure = fill_from(guesses[:1], [argument], skill, self._argument_words).chosen
            found = literals(Filling(sure, {}), [argument], skill)
            draft.arguments |= {name: escape(value) for name, value in found.items()}

    # Values of earlier steps.

    def _completed(self, draft: Draft, request: Request, arguments: Sequence[Argument]) -> bool:
        """Fill what is open from earlier steps, and say when the step runs. False if a required argument stays open."""
        others = tuple(each for each in self.drafts if each not in request.anchor)
        if request.link is Link.EACH and self.drafts:
            return self._over_items(draft, request, arguments, others) and not _lacks(draft, arguments)
        sources = self._sources(draft, request, arguments, others)
        draft.arguments |= {name: f"${{{source.expression}}}" for name, source in sources.items()}
        self._fill_from_anywhere(draft, request, arguments)
        return not _lacks(draft, arguments) and self._ordered(draft, request, list(sources.values()))

    def _sources(
        self, draft: Draft, request: Request, arguments: Sequence[Argument], others: Sequence[Draft]
    ) -> dict[str, Source]:
        texts = self._texts_of(request, others)
        near = Earlier(request.anchor, self._catalog)
        far = Earlier((*others, *request.anchor), self._catalog)
        follows = bool(request.anchor) and request.link is not Link.ALONE
        found: dict[str, Source] = {}
        for argument in arguments:
            if argument.name in draft.arguments:
                continue
            source = wired(argument, draft, near, texts) if argument.required else None
            if source is None and (follows or refers_back(texts[0])) and not found:
                source = pointed_at(argument, near if follows else far, texts)
            if source is None and argument.required:
                source = wired(argument, draft, far, texts)
            if source is not None:
                found[argument.name] = source
        return found

    def _over_items(
        self, draft: Draft, request: Request, arguments: Sequence[Argument], others: Sequence[Draft]
    ) -> bool:
        unfilled = [argument for argument in _texts(arguments) if argument.name not in draft.arguments]
        scope = "" if request.scope is None else self._asked.said(request.scope)
        said, condition, *hints = self._texts_of(request, others)
        texts = [f"each {scope}", said, *hints] if not condition else [condition, f"each {scope}", said, *hints]
        drafts = request.anchor or tuple(others)
        items = items_for(unfilled, Earlier(drafts, self._catalog), texts)
        if items is None:
            # The things may be named: `check each of data_agent and config_agent`.
            return request.scope is not None and bool(self._asked.within(request.scope))
        draft.for_each = items.source.expression
        draft.arguments |= items.arguments
        return True

    def _ordered(self, draft: Draft, request: Request, sources: Sequence[Source]) -> bool:
        """Say after which steps and on which condition the step runs. False if that contradicts what it takes."""
        guards = guards_of(sources)
        used = {source.step for source in sources}
        if request.link is Link.IF and request.anchor:
            found = self._condition_of(request)
            if found is not None:
                if found.finds_nothing and guards:
                    return False
                used.add(found.field.step)
                finds_something = f"size({found.field.expression}) > 0"
                guards = (found.expression, *(guard for guard in guards if guard != finds_something))
        draft.when = all_hold(guards)
        anchor = [each.id for each in request.anchor]
        if request.link is Link.THEN or (request.link is Link.IF and not used & set(anchor)):
            draft.depends_on = tuple(identifier for identifier in anchor if identifier not in used)
        return True

    def _condition_of(self, request: Request) -> Condition | None:
        if request.contrary:
            return None if self._condition is None else self._condition.opposite()
        said = "" if request.condition is None else self._asked.said(request.condition)
        self._condition = read_condition(said, self._hints(request.anchor), Earlier(request.anchor, self._catalog))
        return self._condition

    # Words.

    def _texts_of(self, request: Request, others: Sequence[Draft]) -> list[str]:
        """The words that tell which of several things is meant, the nearest first."""
        condition = "" if request.condition is None else self._asked.said(request.condition)
        return [self._asked.said(*request.spans), condition, *self._hints((*others, *request.anchor))]

    def _hints(self, drafts: Sequence[Draft]) -> list[str]:
        return [self._words_of.get(draft.id, "") for draft in reversed(drafts)]

    def _already(self, draft: Draft, *, aside: bool) -> Draft | None:
        same = (other for other in self.drafts if draft.same_call(other) or (aside and draft.asks_no_more_than(other)))
        return next(same, None)


def _each_value(filling: Filling, arguments: Sequence[Argument]) -> Iterator[Filling]:
    """One filling for each value of an argument that was given several and takes one."""
    lists = {argument.name for argument in arguments if argument.is_list}
    several = next((name for name in filling.more if name not in lists), None)
    if several is None:
        yield filling
        return
    rest = {name: more for name, more in filling.more.items() if name in lists}
    values = sorted([filling.chosen[several], *filling.more[several]], key=lambda mention: mention.start)
    for mention in values:
        yield Filling(filling.chosen | {several: mention}, rest)


def _texts(arguments: Sequence[Argument]) -> list[Argument]:
    """The arguments that may come out of a list, the required ones first."""
    return sorted((each for each in arguments if each.is_text), key=lambda argument: not argument.required)


def _lacks(draft: Draft, arguments: Sequence[Argument]) -> bool:
    return any(argument.required and argument.name not in draft.arguments for argument in arguments)


def _fit(arguments: Sequence[Argument], name: str, mention: Mention) -> float:
    return next(argument.fit(mention) for argument in arguments if argument.name == name)
