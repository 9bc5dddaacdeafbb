"""What a skill's schema says about the values that each of its arguments takes, and how well a mention fits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Final

from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.adapters.offline.mentions import SECONDS, Kind, Mention, find_mentions, same_word
from orchestrator_svc.adapters.offline.words import FUNCTION_WORDS, stem, terms, words
from orchestrator_svc.core.catalog import Skill
from orchestrator_svc.core.schemas import alternatives, step_into, types_of

_EXAMPLE: Final = re.compile(r"`([^`\s][^`\n]{0,60})`|(?<!\w)'([^'\s][^'\n]{0,60})'(?!\w)|\"([^\"\s][^\"\n]{0,60})\"")
_PARENTHESIS: Final = re.compile(r"\s*\([^)]*\)")
_SEPARATOR: Final = re.compile(r",\s*(?:(?:or|and)\s+)?|\s+(?:or|and)\s+")
_ENUMERATION: Final = re.compile(rf"[\w.-]+(?:(?:{_SEPARATOR.pattern})[\w.-]+)*")
_ANNOUNCED: Final = re.compile(
    r"(?:\be\.g\.,?|\bsuch as|\bfor example,?|\bfor instance,?|\bone of:?)\s+\Z", re.IGNORECASE
)
_IDENTIFIER: Final = re.compile(r"(?=.*[A-Za-z])[\w.-]*[\d_][\w.-]*\Z")
_NO_EXAMPLES: Final = frozenset({"null", "none", "true", "false"})
_ISO_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ][\d:.]+(?:Z|[+-]\d{2}:?\d{2})?)?\Z")

CERTAIN: Final = 1.0
"""The schema names this very value, or values that begin like it."""
LIKELY: Final = 0.6
"""Of the same shape as the values that the schema names."""
POSSIBLE: Final = 0.3
"""Nothing is known that speaks for or against it."""


@dataclass(frozen=True)
class Argument:
    """One argument of a skill."""

    name: str
    types: frozenset[str]
    item_types: frozenset[str]
    """For a list: the types of its elements."""
    required: bool
    default: Json
    description: str
    enum: tuple[Json, ...]
    examples: tuple[str, ...]
    """Values of free text that the schema or the skill's example questions name."""
    is_date: bool
    minimum: float | None
    maximum: float | None
    """Bounds of a number, as far as the schema says `minimum` and `maximum`."""

    @cached_property
    def name_stems(self) -> frozenset[str]:
        """The words of its name, but for grammar: of `to_currency`, `currency`."""
        return frozenset(stem(word) for word in words(self.name.replace("_", " ")) if word not in FUNCTION_WORDS)

    @cached_property
    def seconds(self) -> int | None:
        """What one unit of it is in seconds, if it counts time: 60 for `window_minutes`."""
        for word in [*words(self.name.replace("_", " ")), *words(self.description)]:
            if word.removesuffix("s") in SECONDS:
                return SECONDS[word.removesuffix("s")]
        return None

    @cached_property
    def is_number(self) -> bool:
        return bool((self.types | self.item_types) & {"integer", "number"}) and not self.is_text

    @cached_property
    def is_text(self) -> bool:
        return "string" in self.types | self.item_types

    @cached_property
    def is_list(self) -> bool:
        return "array" in self.types

    @cached_property
    def known_values(self) -> tuple[str, ...]:
        """The texts that can be recognised wherever they stand."""
        values = [value for value in self.enum if isinstance(value, str)]
        return tuple(dict.fromkeys([*values, *self.examples]))

    def fit(self, mention: Mention) -> float:
        """How well the mention suits this argument: 0 not at all, up to 1."""
        if self.enum:
            return CERTAIN if self._of_enum(mention) is not None else 0.0
        if self.is_number:
            return self._fit_number(mention)
        if self.is_text:
            return self._fit_text(mention)
        return 0.0

    def value(self, mention: Mention) -> Json:
        """The mention as a value of this argument; only for one that fits."""
        if self.enum:
            return self._of_enum(mention)
        if not self.is_number:
            return mention.text
        number = mention.number
        if mention.kind is Kind.DURATION and self.seconds:
            number = mention.number / self.seconds
        return round(number) if "integer" in self.types | self.item_types or number.is_integer() else number

    def nearest(self, value: Json) -> Json:
        """The number within the bounds that is nearest to the value."""
        if not isinstance(value, int | float):
            return value
        low = value if self.minimum is None else max(value, self.minimum)
        return low if self.maximum is None else min(low, self.maximum)

    def _of_enum(self, mention: Mention) -> Json:
        for value in self.enum:
            if isinstance(value, str) and _same_text(mention.text, value):
                return value
            if mention.kind is Kind.NUMBER and isinstance(value, (int, float)) and value == mention.number:
                return value
        return None

    def _fit_number(self, mention: Mention) -> float:
        if mention.kind is Kind.DURATION:
            return CERTAIN if self.seconds else 0.0
        if mention.kind is not Kind.NUMBER or self.seconds:
            return 0.0
        stems = self.name_stems | set(terms(self.description))
        if mention.unit and (mention.unit in self.name.split("_") or stem(mention.unit) in stems):
            return CERTAIN
        return LIKELY if stem(mention.before) in stems else POSSIBLE

    def _fit_text(self, mention: Mention) -> float:
        if self.is_date:
            return LIKELY if _ISO_DATE.match(mention.text) else 0.0
        if any(_same_text(mention.text, example) for example in self.examples):
            return CERTAIN
        match mention.kind:
            case Kind.QUOTED:
                return LIKELY
            case Kind.IDENTIFIER | Kind.NAME | Kind.WORD:
                return self._fit_shape(mention)
            case Kind.NUMBER:
                fits = any(example.isdigit() for example in self.examples) or stem(mention.before) in self.name_stems
                return LIKELY if fits and not mention.unit else 0.0
            case _:
                return 0.0

    def _fit_shape(self, mention: Mention) -> float:
        if not self.examples:
            return POSSIBLE
        shapes = {_shape(example, prefix=True) for example in self.examples}
        if mention.kind is Kind.IDENTIFIER and _shape(mention.text, prefix=True) in shapes and _has_digit(mention.text):
            return CERTAIN
        if _shape(mention.text) in {_shape(example) for example in self.examples}:
            return POSSIBLE if mention.kind is Kind.WORD else LIKELY
        plain = all(not _has_digit(example) for example in self.examples)
        if mention.kind is Kind.NAME:
            return 0.0 if all(example.islower() or _has_digit(example) for example in self.examples) else POSSIBLE
        return POSSIBLE if plain else 0.0


def arguments_of(skill: Skill) -> tuple[Argument, ...]:
    """The arguments of a skill, in the order of its schema."""
    root = skill.parameters
    names = dict.fromkeys(name for option in alternatives(root, root) for name in _properties(option))
    required = root.get("required")
    needed = {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()
    read = [_argument(name, skill, required=name in needed) for name in names]
    # The example questions of a skill show values of the one text that it cannot do without.
    texts = [argument for argument in read if argument.required and argument.is_text and not argument.enum]
    if len(texts) != 1:
        return tuple(read)
    shown = [
        mention.text
        for question in skill.examples
        for mention in find_mentions(question, texts[0].examples)
        if mention.kind in (Kind.QUOTED, Kind.IDENTIFIER)
    ]
    return tuple(_with_examples(argument, shown) if argument is texts[0] else argument for argument in read)


def _argument(name: str, skill: Skill, *, required: bool) -> Argument:
    root = skill.parameters
    schema = _schema_of(name, root)
    options = list(alternatives(schema, root))
    outer = schema if isinstance(schema, dict) else {}
    items = [step_into(option, 0) for option in options if "items" in option or "prefixItems" in option]
    element_options = [inner for item in items for inner in alternatives(item, root)]
    description = next((str(part["description"]) for part in (outer, *options) if part.get("description")), "")
    default = next((part["default"] for part in (outer, *options) if "default" in part), None)
    return Argument(
        name=name,
        types=types_of(schema, root),
        item_types=frozenset[str]().union(*(types_of(item, root) for item in items)),
        required=required,
        default=default,
        description=description,
        enum=tuple(value for option in (*options, *element_options) for value in _enum(option)),
        examples=_examples(name, description, [outer, *options, *element_options]),
        minimum=_bound("minimum", options),
        maximum=_bound("maximum", options),
        is_date=any(option.get("format") in ("date", "date-time") for option in (*options, *element_options)),
    )


def _bound(keyword: str, options: list[JsonObject]) -> float | None:
    found = [value for option in options if isinstance(value := option.get(keyword), int | float)]
    return found[0] if found else None


def _schema_of(name: str, root: JsonObject) -> Json:
    return next(
        (found for option in alternatives(root, root) if (found := _properties(option).get(name)) is not None), {}
    )


def _properties(schema: JsonObject) -> JsonObject:
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else {}


def _enum(schema: JsonObject) -> Iterator[Json]:
    values = schema.get("enum")
    if isinstance(values, list):
        yield from (value for value in values if value is not None)
    elif schema.get("const") is not None:
        yield schema["const"]


def _examples(name: str, description: str, schemas: list[JsonObject]) -> tuple[str, ...]:
    found: list[Json] = ["".join(groups) for groups in _EXAMPLE.findall(description)]
    found.extend(_listed(description))
    for schema in schemas:
        examples = schema.get("examples")
        found.extend(examples if isinstance(examples, list) else [])
        found.append(schema.get("default"))
    texts = [value for value in found if isinstance(value, str) and value and value != name]
    return tuple(dict.fromkeys(value for value in texts if value.lower() not in _NO_EXAMPLES))


def _listed(description: str) -> Iterator[str]:
    """The values that a description lists without quoting them: `e.g. host, data_agent or config_agent`."""
    text = _PARENTHESIS.sub("", description)
    for match in _ENUMERATION.finditer(text):
        items = [item.strip(".") for item in _SEPARATOR.split(match[0])]
        announced = _ANNOUNCED.search(text, 0, match.start()) is not None
        if announced or (len(items) > 1 and any(_IDENTIFIER.match(item) for item in items)):
            yield from (item for item in items if item and item.lower() not in FUNCTION_WORDS)


def _with_examples(argument: Argument, more: list[str]) -> Argument:
    examples = tuple(dict.fromkeys([*argument.examples, *more]))
    return replace(argument, examples=examples)


def _same_text(text: str, value: str) -> bool:
    return _plain(text) == _plain(value) or same_word(text, value)


@lru_cache(maxsize=4096)
def _plain(text: str) -> str:
    return re.sub(r"[\s_-]+", " ", text).casefold()


@lru_cache(maxsize=4096)
def _shape(text: str, *, prefix: bool = False) -> str:
    """`SKU-778` as `SKU-0`, or without its letters as `AAA-0`: what values of one kind have in common.

    A lower-case run counts as one letter and so do the words of a phrase: `Lisbon` and `New York` are both `Aa`.
    """
    shape = re.sub(r"\d+", "0", text)
    if prefix:
        return shape
    shape = re.sub(r"[a-zß-ÿ]+", "a", re.sub(r"[A-ZÀ-Þ]", "A", shape))
    return re.sub(r"(\S+)( \1)+", r"\1", shape)


def _has_digit(text: str) -> bool:
    return any(character.isdigit() for character in text)
