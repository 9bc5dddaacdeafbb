"""Gives the values of a question to the arguments of a skill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.adapters.offline.arguments import CERTAIN, LIKELY, Argument
from orchestrator_svc.adapters.offline.mentions import Kind, Mention
from orchestrator_svc.adapters.offline.words import stem, terms, words
from orchestrator_svc.core.catalog import Skill


@dataclass(frozen=True)
class Filling:
    """Arguments for one skill, and what was left over."""

    chosen: dict[str, Mention]
    """By argument; for a list, its first element."""
    more: dict[str, tuple[Mention, ...]]
    """Further values of an argument: elements of a list, or reasons to use the skill several times."""

    @property
    def used(self) -> frozenset[Mention]:
        return frozenset(self.chosen.values()) | {mention for rest in self.more.values() for mention in rest}


def fill_from(
    mentions: Sequence[Mention], arguments: Sequence[Argument], skill: Skill, others: frozenset[str] = frozenset()
) -> Filling:
    """Give each argument the mention that fits it best, the surest pairs first.

    Args:
        mentions: Values, in the order of the text.
        arguments: The arguments that may be filled.
        skill: Whose arguments they are.
        others: Words (stems) that stand for arguments of other skills: `order` in `order A-17` rules out a
            `tracking_number`, unless its schema says otherwise.
    """
    pairs = [
        (fit, -place, -position, argument, mention)
        for place, argument in enumerate(arguments)
        for position, mention in enumerate(mentions)
        if (fit := _fit(argument, mention, skill, others)) > 0
    ]
    chosen: dict[str, Mention] = {}
    more: dict[str, list[Mention]] = {}
    taken: set[Mention] = set()
    for fit, _, _, argument, mention in sorted(pairs, key=lambda pair: pair[:3], reverse=True):
        if mention in taken:
            continue
        if argument.name not in chosen:
            chosen[argument.name] = mention
            taken.add(mention)
        elif fit >= LIKELY and argument.is_text and _fit(argument, chosen[argument.name], skill, others) >= LIKELY:
            more.setdefault(argument.name, []).append(mention)
            taken.add(mention)
    ordered = {name: tuple(sorted(rest, key=lambda mention: mention.start)) for name, rest in more.items()}
    return Filling(chosen, ordered)


def literals(filling: Filling, arguments: Sequence[Argument], skill: Skill) -> JsonObject:
    """The arguments as values; those that the skill's schema refuses are left out.

    A span of time beyond the bounds of the schema becomes the longest or shortest that it takes: the last year is
    answered as far as the history goes. Answers say for which arguments they are.
    """
    found: JsonObject = {}
    for argument in arguments:
        mention = filling.chosen.get(argument.name)
        if mention is None:
            continue
        value: Json = argument.value(mention)
        if argument.is_list:
            value = [argument.value(each) for each in (mention, *filling.more.get(argument.name, ()))]
        if not _accepted(argument.name, value, skill) and mention.kind is Kind.DURATION:
            value = argument.nearest(value)
        if _accepted(argument.name, value, skill):
            found[argument.name] = value
    return found


def switches(text: str, arguments: Sequence[Argument]) -> JsonObject:
    """The true-or-false arguments that the text names: `express delivery`, `without details`."""
    found: JsonObject = {}
    said = words(text)
    stems = [stem(word) for word in said]
    for argument in arguments:
        if argument.types - {"null"} != {"boolean"}:
            continue
        names = [stem(word) for word in words(argument.name.replace("_", " ")) if word not in ("is", "with", "include")]
        places = [stems.index(name) for name in names if name in stems]
        if names and len(places) == len(names):
            before = said[max(0, min(places) - 2) : min(places)]
            found[argument.name] = not {"no", "not", "without", "non"} & set(before)
    return found


def _fit(argument: Argument, mention: Mention, skill: Skill, others: frozenset[str]) -> float:
    fit = argument.fit(mention)
    if mention.kind in (Kind.KNOWN, Kind.DURATION) or fit == 0:
        return fit + _preposition_bonus(argument, mention)
    label = stem(mention.before) if mention.before else ""
    own = argument.name_stems | set(terms(skill.name.replace("_", " ")))
    if label in argument.name_stems:
        return fit + 0.3
    if label in others and label not in own and fit < CERTAIN:
        return 0.0
    return fit


def _preposition_bonus(argument: Argument, mention: Mention) -> float:
    """`from_currency` and `to_currency` say themselves before which word their values stand."""
    first = argument.name.split("_", maxsplit=1)[0]
    said = {"into": "to", "in": "to"}.get(mention.before, mention.before)
    return 0.3 if first in ("from", "to") and said == first else 0.0


def _accepted(name: str, value: Json, skill: Skill) -> bool:
    """Whether the value is one that the argument takes: the schema may have bounds and patterns."""
    return not any(mismatch.path[:1] == (name,) for mismatch in skill.check_arguments.mismatches({name: value}))
