"""Reads how a question is put together: what is asked for, in which order, under which condition, and for each of what.

English grammar only, by patterns; what the words are about is not known here. Everything is a span of the text, so that
the values found in it keep their places.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from itertools import islice
from typing import Final, TypeAlias

from orchestrator_svc.adapters.offline import grammar
from orchestrator_svc.adapters.offline.mentions import Mention

Span: TypeAlias = "tuple[int, int]"


_MAX_SENTENCES: Final = 16
_MAX_PARTS: Final = 48
"""Into which grammar takes a question apart; what would be further parts is left in one piece."""
_MAX_CLAUSES: Final = 12
"""Of one part, and units of one clause; further ones are not read."""


class Link(Enum):
    """How a stage follows from the one before it."""

    ALONE = auto()
    """Not at all."""
    THEN = auto()
    """After it."""
    IF = auto()
    """After it, if it found something."""
    EACH = auto()
    """Once for each thing that it found."""


class Role(Enum):
    """What a stage is in the question."""

    REQUEST = auto()
    """Something that is asked for."""
    CONDITION = auto()
    """What stands after `if`: refers to what was asked before, or asks for something itself."""
    CONTRARY = auto()
    """`otherwise`: the opposite of the last condition."""
    SCOPE = auto()
    """What stands after `for each`: the same."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One request; its units are the things that it joins with `and`."""

    span: Span
    units: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """Clauses that can be answered at the same time."""

    link: Link
    role: Role
    clauses: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """A question, taken apart."""

    stages: tuple[Stage, ...]
    """In the order of time, whatever the order of the words."""
    contexts: tuple[Span, ...]
    """What everything after it is about: `For data_agent: ...`."""


def read(text: str, mentions: Sequence[Mention]) -> Reading:
    """Take a question apart; the mentions are not looked into."""
    reader = _Reader(text, mentions)
    return Reading(tuple(reader.stages()), tuple(reader.contexts))


class _Reader:
    def __init__(self, text: str, mentions: Sequence[Mention]) -> None:
        self._text = text
        for mention in mentions:
            self._text = self._text[: mention.start] + "#" * (mention.end - mention.start) + self._text[mention.end :]
        self.contexts: list[Span] = []
        self._parts = 0
        # The first that applies takes the text apart and hands the parts on.
        self._rules: tuple[Callable[[Span, Link], list[Stage] | None], ...] = (
            self._otherwise,
            self._then_first,
            self._if_first,
            self._order_first,
            self._each_first,
            self._about_first,
            self._then_cut,
            self._opener_cut,
            self._if_last,
            self._order_last,
            self._each_last,
        )

    def stages(self) -> list[Stage]:
        found: list[Stage] = []
        asked = False
        start = 0
        for end in [*islice(grammar.SENTENCE_END.finditer(self._text), _MAX_SENTENCES), None]:
            stop = end.start() if end is not None else len(self._text)
            span = self._trimmed((start, stop))
            if end is not None and end[0] == ":" and grammar.ABOUT_FIRST.match(self._text, *span):
                self.contexts.append(span)
            else:
                stages = self._parse(span, Link.ALONE)
                if stages and stages[0].link is Link.THEN and asked:  # `Any left? Then count them.`
                    stages[0] = replace(stages[0], link=Link.IF)
                found.extend(stages)
                asked = end is not None and end[0] == "?"
            start = end.end() if end is not None else stop
        return found

    def _parse(self, span: Span, link: Link) -> list[Stage]:
        span = self._trimmed(span)
        if span[0] == span[1]:
            return []
        self._parts += 1
        for rule in self._rules if self._parts <= _MAX_PARTS else ():
            stages = rule(span, link)
            if stages is not None:
                return stages
        return self._coordinated(span, link)

    # What comes first says how the rest follows.

    def _otherwise(self, span: Span, link: Link) -> list[Stage] | None:
        match = grammar.OTHERWISE.search(self._text, *span)
        if match is None or match.end() == span[1]:
            return None
        contrary = Stage(Link.ALONE, Role.CONTRARY, (self._clause(match.span("word")),))
        return [*self._parse((span[0], match.start()), link), contrary, *self._parse((match.end(), span[1]), Link.IF)]

    def _then_first(self, span: Span, link: Link) -> list[Stage] | None:
        del link
        match = grammar.THEN_FIRST.match(self._text, *span)
        return None if match is None else self._parse((match.end(), span[1]), Link.THEN)

    def _if_first(self, span: Span, link: Link) -> list[Stage] | None:
        parts = self._opened_by(grammar.IF_FIRST, span)
        if parts is None:
            return None
        (start, end), rest = parts
        # The word is part of the condition, because it turns it round.
        unless = grammar.UNLESS.search(self._text, span[0], start)
        head = (unless.start() if unless else start, end)
        return [self._aside(head, link, Role.CONDITION), *self._parse(rest, Link.IF)]

    def _order_first(self, span: Span, link: Link) -> list[Stage] | None:
        parts = self._opened_by(grammar.AFTER_FIRST, span)
        if parts is not None:
            return [*self._parse(parts[0], link), *self._parse(parts[1], Link.THEN)]
        parts = self._opened_by(grammar.BEFORE_FIRST, span)
        if parts is not None:
            return [*self._parse(parts[1], link), *self._parse(parts[0], Link.THEN)]
        return None

    def _each_first(self, span: Span, link: Link) -> list[Stage] | None:
        parts = self._opened_by(grammar.EACH_FIRST, span)
        if parts is None:
            return None
        head, rest = parts
        return [self._aside(head, link, Role.SCOPE), *self._parse(rest, Link.EACH)]

    def _about_first(self, span: Span, link: Link) -> list[Stage] | None:
        parts = self._opened_by(grammar.ABOUT_FIRST, span)
        if parts is None or "#" not in self._text[slice(*parts[0])]:
            return None
        self.contexts.append(parts[0])
        return self._parse(parts[1], link)

    def _opened_by(self, opener: re.Pattern[str], span: Span) -> tuple[Span, Span] | None:
        """The words after the opener up to the comma or verb that ends them, and the rest; None if there is no rest."""
        match = opener.match(self._text, *span)
        end = grammar.HEAD_END.search(self._text, match.end() + 1, span[1]) if match else None
        if match is None or end is None or end.end() >= span[1]:
            return None
        return (match.end(), end.start()), (end.end(), span[1])

    # What stands between two parts.

    def _then_cut(self, span: Span, link: Link) -> list[Stage] | None:
        match = grammar.THEN_CUT.search(self._text, *span)
        if match is None:
            return None
        return [*self._parse((span[0], match.start()), link), *self._parse((match.end(), span[1]), Link.THEN)]

    def _opener_cut(self, span: Span, link: Link) -> list[Stage] | None:
        match = grammar.OPENER_CUT.search(self._text, *span)
        if match is None:
            return None
        return [*self._parse((span[0], match.start()), link), *self._parse((match.end(), span[1]), Link.ALONE)]

    # What comes last says how the part before it follows.

    def _if_last(self, span: Span, link: Link) -> list[Stage] | None:
        match = grammar.IF_LAST.search(self._text, *span)
        if match is None or match.end() == span[1] or grammar.WHETHER.search(self._text, span[0], match.start()):
            return None
        unless = grammar.UNLESS.search(self._text, match.start(), match.end())
        start = unless.start() if unless else match.end()
        condition = self._aside((start, span[1]), link, Role.CONDITION)
        return [condition, *self._parse((span[0], match.start()), Link.IF)]

    def _order_last(self, span: Span, link: Link) -> list[Stage] | None:
        match = grammar.AFTER_LAST.search(self._text, *span)
        if match is not None and match.end() < span[1]:
            return [*self._parse((match.end(), span[1]), link), *self._parse((span[0], match.start()), Link.THEN)]
        match = grammar.BEFORE_LAST.search(self._text, *span)
        if match is not None and match.end() < span[1]:
            return [*self._parse((span[0], match.start()), link), *self._parse((match.end(), span[1]), Link.THEN)]
        return None

    def _each_last(self, span: Span, link: Link) -> list[Stage] | None:
        match = grammar.EACH_LAST.search(self._text, *span)
        if match is None or match.end() == span[1]:
            return None
        scope = self._aside((match.end(), span[1]), link, Role.SCOPE)
        return [scope, *self._parse((span[0], match.start()), Link.EACH)]

    # What is left: requests side by side.

    def _coordinated(self, span: Span, link: Link) -> list[Stage]:
        stages: list[Stage] = []
        together: list[Clause] = []
        for part in self._cut(grammar.CLAUSE_CUT, span)[:_MAX_CLAUSES]:
            each = grammar.EACH_INSIDE.search(self._text, *part)
            if each is None:
                together.append(self._clause(part))
                continue
            if together:
                stages.append(Stage(link, Role.REQUEST, tuple(together)))
                together, link = [], Link.ALONE
            if each.end() < part[1]:
                stages.append(self._aside((each.end(), part[1]), link, Role.SCOPE))
            stages.append(self._aside((part[0], each.end()), Link.EACH, Role.REQUEST))
            link = Link.ALONE
        if together:
            stages.append(Stage(link, Role.REQUEST, tuple(together)))
        return stages

    def _aside(self, span: Span, link: Link, role: Role) -> Stage:
        return Stage(link, role, (self._clause(self._trimmed(span)),))

    def _clause(self, span: Span) -> Clause:
        return Clause(span, tuple(self._cut(grammar.UNIT_CUT, span)[:_MAX_CLAUSES]))

    def _cut(self, separator: re.Pattern[str], span: Span) -> list[Span]:
        parts = []
        start = span[0]
        for match in separator.finditer(self._text, *span):
            if match.start() > start:
                parts.append((start, match.start()))
            start = match.end()
        if start < span[1]:
            parts.append((start, span[1]))
        return [trimmed for part in parts if (trimmed := self._trimmed(part))[0] < trimmed[1]]

    def _trimmed(self, span: Span) -> Span:
        start, end = span
        while (match := grammar.FILLER.match(self._text, start, end)) and match.end() > start:
            start = match.end()
        trailing = grammar.TRAILING.search(self._text, start, end)
        return start, trailing.start() if trailing else end
