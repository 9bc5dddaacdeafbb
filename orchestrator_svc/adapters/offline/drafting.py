"""Steps while they are being put together, and how they reach back to earlier ones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.adapters.offline.arguments import Argument
from orchestrator_svc.adapters.offline.naming import meant_by
from orchestrator_svc.adapters.offline.words import stem, words
from orchestrator_svc.core.catalog import Catalog, Skill
from orchestrator_svc.core.wiring import Source, all_fields, sources_of

_TEXT: Final = frozenset({"string"})
_LIST: Final = frozenset({"array"})
_DETERMINER: Final = r"\b(?:that|this|those|these|the|its|their|his|her|each|every|whose|same|\w+'s)\s+(?:\w+\s+){0,2}"
_PRONOUN: Final = re.compile(
    r"\b(?:its|it|their|them|they|there|his|her|he|she|same|this one|that one)\b", re.IGNORECASE
)

_KEY_PARTS: Final = ("id", "name", "number", "key", "code")
_KEY: Final = re.compile(rf"_(?:{'|'.join(_KEY_PARTS)})\Z")


@dataclass(eq=False)
class Draft:
    """One step; grows into the plan language."""

    id: str
    skill: str
    arguments: JsonObject = field(default_factory=dict)
    when: str | None = None
    for_each: str | None = None
    depends_on: tuple[str, ...] = ()

    def to_json(self) -> JsonObject:
        step: JsonObject = {"id": self.id, "skill": self.skill, "arguments": self.arguments}
        if self.when is not None:
            step["when"] = self.when
        if self.for_each is not None:
            step["for_each"] = self.for_each
        if self.depends_on:
            step["depends_on"] = list(self.depends_on)
        return step

    def same_call(self, other: Draft) -> bool:
        return (self.skill, self.arguments, self.when, self.for_each) == (
            other.skill,
            other.arguments,
            other.when,
            other.for_each,
        )

    def asks_no_more_than(self, other: Draft) -> bool:
        """Whether the other step answers this one as well: the same skill, and no argument that differs."""
        return self.skill == other.skill and all(
            name in other.arguments and other.arguments[name] == value for name, value in self.arguments.items()
        )


@dataclass(frozen=True)
class Earlier:
    """The steps that a step may take something from, the latest last."""

    drafts: tuple[Draft, ...]
    catalog: Catalog

    @property
    def skills(self) -> dict[str, Skill]:
        return {draft.id: self.catalog.skills[draft.skill] for draft in self.drafts}


@dataclass(frozen=True)
class Items:
    """A list in an earlier result, and how a step takes its arguments from one element."""

    source: Source
    arguments: JsonObject


def refers_back(text: str) -> bool:
    """Whether the text has a pronoun that stands for something said before."""
    return _PRONOUN.search(text) is not None


def wired(argument: Argument, draft: Draft, earlier: Earlier, texts: Sequence[str]) -> Source | None:
    """The field of the same name and type that the argument is taken from; of several, the one that the texts mean."""
    step = draft.to_json()
    everywhere = sources_of(argument.name, step, [each.to_json() for each in earlier.drafts], earlier.catalog)
    if len(everywhere) < 2:
        return everywhere[0] if everywhere else None
    for other in reversed(earlier.drafts):
        found = sources_of(argument.name, step, [other.to_json()], earlier.catalog)
        if found:
            return meant_by(texts, found, earlier.skills)
    return None


def pointed_at(argument: Argument, earlier: Earlier, texts: Sequence[str]) -> Source | None:
    """The field that a phrase such as `that component` names, for an argument that may be called otherwise."""
    if not argument.is_text or argument.enum or argument.is_date:
        return None
    for other in reversed(earlier.drafts):
        named = [
            source
            for source in all_fields(other.to_json(), _TEXT, earlier.catalog)
            if source.path and isinstance(source.path[-1], str) and _is_named(source.path[-1], texts[0])
        ]
        found = meant_by(texts, [source for source in named if not source.in_list] or named, earlier.skills)
        if found is not None:
            return found
    return None


def referring_stems(text: str, earlier: Earlier) -> frozenset[str]:
    """The stems of the words that name fields of earlier results, as `component` in `that component` does.

    Not for a field that is only the key of a thing: `its supplier` asks for more than a `supplier_id`.
    """
    names = {
        source.path[-1]
        for draft in earlier.drafts
        for source in all_fields(draft.to_json(), _TEXT, earlier.catalog)
        if source.path and isinstance(source.path[-1], str) and not _KEY.search(source.path[-1])
    }
    return frozenset(stem(word) for name in names if _is_named(name, text) for word in words(name.replace("_", " ")))


def items_for(arguments: Sequence[Argument], earlier: Earlier, texts: Sequence[str]) -> Items | None:
    """The list that `for each` goes over, with what each of its elements gives to the arguments.

    Args:
        arguments: Those that are not filled otherwise, the required ones first.
        earlier: The steps that may give the list, the latest last.
        texts: The words that say which list is meant, the ones after `each` first.
    """
    for other in reversed(earlier.drafts):
        options = [
            Items(source, taken)
            for source in _lists_of(other, earlier.catalog)
            if (taken := _from_element(arguments, source, other, earlier, texts)) is not None
        ]
        chosen = meant_by(texts, [option.source for option in options], earlier.skills)
        if options:
            return next((option for option in options if option.source == chosen), options[0])
    return None


def names_list(scope: str, earlier: Sequence[Draft], catalog: Catalog) -> bool:
    """Whether an earlier result has a list of that name."""
    return any(_is_called(source, scope) for other in earlier for source in _lists_of(other, catalog))


def gives_list(skill: str, catalog: Catalog) -> bool:
    """Whether the results of a skill have a list in them."""
    return any(True for _ in _lists_of(Draft("probe", skill), catalog))


def _lists_of(draft: Draft, catalog: Catalog) -> Iterator[Source]:
    if draft.for_each is not None:
        yield Source(draft.id, ())
        return
    for source in all_fields(draft.to_json(), _LIST, catalog):
        if source.path and not source.in_list:
            yield source


def _from_element(
    arguments: Sequence[Argument], source: Source, draft: Draft, earlier: Earlier, texts: Sequence[str]
) -> JsonObject | None:
    """What the elements of a list give to the arguments; None if a required one stays empty, or nothing is given."""
    taken: JsonObject = {}
    said = " ".join(texts[:3])
    for argument in arguments:
        value = None
        if argument.required or _is_named(argument.name, said) or _is_called(source, argument.name):
            value = _member(argument, source, draft, earlier.catalog)
        if value is None and not taken and not argument.enum and not argument.is_date:
            value = _named_member(source, draft, said, earlier.catalog)
        if value is not None:
            taken[argument.name] = value
        elif argument.required:
            return None
    return taken or None


def _member(argument: Argument, source: Source, draft: Draft, catalog: Catalog) -> Json:
    """The part of an element that is the argument: of its name; or, where the list is called so, its key or itself."""
    here = (*source.path, 0)
    inside = {found.path for found in all_fields(draft.to_json(), argument.types, catalog)}
    if (*here, argument.name) in inside:
        return _item((argument.name,))
    if not _is_called(source, argument.name):
        return None
    if here in inside:
        return _item(())
    keys = [(*here, name) for name in ("id", f"{argument.name}_id", "name", f"{argument.name}_name")]
    return next((_item(path[-1:]) for path in keys if path in inside), None)


def _named_member(source: Source, draft: Draft, said: str, catalog: Catalog) -> Json:
    """The one text in an element of which the words speak: `that component`."""
    here = (*source.path, 0)
    named = [
        field.path[-1]
        for field in all_fields(draft.to_json(), _TEXT, catalog)
        if field.path[:-1] == here and isinstance(field.path[-1], str) and _is_named(field.path[-1], said)
    ]
    return _item(named) if len(named) == 1 else None


def _item(path: Sequence[str | int]) -> str:
    return f"${{{Source('item', tuple(path)).expression}}}"


def _is_called(source: Source, text: str) -> bool:
    """Whether the text names the list: `anomaly` for `anomalies`."""
    name = source.path[-1] if source.path else ""
    wanted = [stem(word) for word in words(str(name).replace("_", " "))]
    return bool(wanted) and wanted[-1] in {stem(word) for word in words(text.replace("_", " "))}


def _is_named(name: str, text: str) -> bool:
    """Whether the text speaks of a certain one: `that component`, `the customer's city`."""
    parts = [re.escape(part) for part in re.split(r"[_\s]+", name.lower()) if part and part not in _KEY_PARTS]
    return bool(parts) and re.search(_DETERMINER + r"\s".join(parts) + r"s?\b", text.lower()) is not None
