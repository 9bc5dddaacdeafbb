"""What a decorated function becomes in a card, and which functions are refused, and how."""

import dataclasses
import datetime
import enum
import functools
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Annotated, Any, Literal, TypeAlias

import jsonschema_rs
import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from agentmesh.agent.signature import SkillDefinitionError
from agentmesh.agent.skill import Skill, define_skill
from agentmesh.cards import Effect, skill_digest
from agentmesh.jsonvalues import Json, JsonObject
from agentmesh.transport.structs import from_struct
from agentmesh.v1 import card_pb2

Function = Callable[..., object]


class Unit(enum.StrEnum):
    CELSIUS = "celsius"
    KELVIN = "kelvin"


@dataclasses.dataclass(frozen=True)
class Place:
    city: str
    country: str = "NL"


class Window(TypedDict, total=False):
    """A time window."""

    start: str
    end: str


class Day(BaseModel):
    """Weather of one day."""

    at: datetime.date
    celsius: float
    note: str | None = None


class Forecast(BaseModel):
    place: Place
    days: list[Day]


class Node(BaseModel):
    children: list["Node"] = []


Endless: TypeAlias = "list[Endless] | int"


def any_json(value: Json, options: JsonObject) -> dict[str, Json]:
    """Take and give back any JSON."""
    return {"value": value, **options}


def endless_alias(value: "dict[str, Endless]") -> int:
    """Take a type that an alias makes endless."""
    return len(value)


def unsupported_result() -> Awaitable[int]:
    """Promise something."""
    raise NotImplementedError


class Left(BaseModel):
    right: "Right | None" = None


class Right(BaseModel):
    left: Left | None = None


class Circle(BaseModel):
    kind: Literal["circle"]
    radius: float


class Square(BaseModel):
    kind: Literal["square"]
    side: float


class Opaque:
    pass


def made(
    function: Function,
    *,
    effect: str = "READ_ONLY",
    name: str | None = None,
    tags: Sequence[str] = (),
    examples: Sequence[str] = (),
    timeout_seconds: float | None = None,
    agent: str = "weather_agent",
) -> Skill:
    return define_skill(
        function, agent=agent, effect=effect, name=name, tags=tags, examples=examples, timeout_seconds=timeout_seconds
    )


async def get_forecast(
    *,
    place: Place,
    unit: Unit = Unit.CELSIUS,
    days: Annotated[int, Field(ge=1, le=14)] = 3,
    window: Window | None = None,
    detail: Literal["short", "long"] = "short",
    tags: list[str] = [],  # noqa: B006 - never changed
    weights: dict[str, float] | None = None,
) -> Forecast:
    """Forecast of the weather at a place.

    Uses the nearest station.

    Args:
        place: Where.
        days: How many days,
            today included.
        window: Only this part of the day.

    Returns:
        One entry a day.
    """
    raise NotImplementedError(place, unit, days, window, detail, tags, weights)


def test_the_input_schema_says_what_hints_defaults_and_docstring_say() -> None:
    assert made(get_forecast).arguments.schema == {
        "type": "object",
        "additionalProperties": False,
        "required": ["place"],
        "properties": {
            "place": {
                "type": "object",
                "description": "Where.",
                "properties": {"city": {"type": "string"}, "country": {"type": "string", "default": "NL"}},
                "required": ["city"],
                "additionalProperties": False,
            },
            "unit": {"type": "string", "enum": ["celsius", "kelvin"], "default": "celsius"},
            "days": {
                "type": "integer",
                "minimum": 1,
                "maximum": 14,
                "default": 3,
                "description": "How many days, today included.",
            },
            "window": {
                "anyOf": [
                    {
                        "type": "object",
                        "description": "A time window.",
                        "properties": {"start": {"type": "string"}, "end": {"type": "string"}},
                        "additionalProperties": False,
                    },
                    {"type": "null"},
                ],
                "default": None,
                "description": "Only this part of the day.",
            },
            "detail": {"type": "string", "enum": ["short", "long"], "default": "short"},
            "tags": {"type": "array", "items": {"type": "string"}, "default": []},
            "weights": {
                "anyOf": [{"type": "object", "additionalProperties": {"type": "number"}}, {"type": "null"}],
                "default": None,
            },
        },
    }


def test_the_output_schema_is_of_the_written_result_so_that_fields_with_defaults_are_required() -> None:
    assert made(get_forecast).results.schema == {
        "type": "object",
        "description": "One entry a day.",
        "required": ["place", "days"],
        "properties": {
            "place": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "country": {"type": "string", "default": "NL"}},
                "required": ["city", "country"],
            },
            "days": {
                "type": "array",
                "items": {
                    "type": "object",
                    "description": "Weather of one day.",
                    "properties": {
                        "at": {"type": "string", "format": "date"},
                        "celsius": {"type": "number"},
                        "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
                    },
                    "required": ["at", "celsius", "note"],
                },
            },
        },
    }


def test_any_json_is_a_type_that_skills_may_use() -> None:
    skill = made(any_json)
    assert skill.arguments.schema["properties"] == {
        "value": {},
        "options": {"type": "object", "additionalProperties": True},
    }
    assert skill.results.schema == {"type": "object", "additionalProperties": True}
    assert skill.results.write(any_json([1, None], {"deep": {"er": "x"}})).value == {
        "value": [1, None],
        "deep": {"er": "x"},
    }


def test_the_card_entry_has_name_texts_effect_and_timeout() -> None:
    message = made(
        get_forecast, tags=["weather"], examples=["Will it rain?"], timeout_seconds=2.5, effect=Effect.IDEMPOTENT
    ).message
    assert message.name == "get_forecast"
    assert message.description == "Forecast of the weather at a place.\n\nUses the nearest station."
    assert message.effect == card_pb2.EFFECT_IDEMPOTENT
    assert list(message.tags) == ["weather"]
    assert list(message.examples) == ["Will it rain?"]
    assert message.timeout.ToMilliseconds() == 2500
    assert not message.reports_progress


def test_the_digest_is_that_of_the_card_entry() -> None:
    skill = made(get_forecast)
    card = skill.message
    assert skill.digest == skill_digest(from_struct(card.input_schema), from_struct(card.output_schema), "READ_ONLY")


def test_a_name_of_its_own_takes_the_place_of_the_functions() -> None:
    assert made(get_forecast, name="forecast").name == "forecast"


def scalar() -> int:
    """Count."""
    return 1


def optional() -> Day | None:
    """Day."""


def rows() -> list[Place]:
    """List."""
    return []


def nothing() -> None:
    """Act."""


def anything() -> Any:  # noqa: ANN401 - an author may
    """Guess."""


@pytest.mark.parametrize("function", [scalar, optional, rows, nothing, anything], ids=lambda f: f.__name__)
def test_what_is_no_object_is_wrapped_in_one(function: Function) -> None:
    schema = made(function).results.schema
    assert schema["type"] == "object"
    assert schema["required"] == ["result"]
    assert list(schema["properties"]) == ["result"]  # type: ignore[arg-type]


def mapping() -> dict[str, int]:
    """Counts by name."""
    return {}


def shape() -> Annotated[Circle | Square, Field(discriminator="kind")]:
    """Shape."""
    return Circle(kind="circle", radius=1)


@pytest.mark.parametrize("function", [mapping, shape, get_forecast], ids=lambda f: f.__name__)
def test_what_is_always_an_object_is_not_wrapped(function: Function) -> None:
    schema = made(function).results.schema
    assert schema["type"] == "object"
    assert schema.get("required") != ["result"]


def no_arguments() -> int:
    """Take nothing."""
    return 1


def test_a_function_without_parameters_takes_no_argument_at_all() -> None:
    assert made(no_arguments).arguments.schema == {"type": "object", "properties": {}, "additionalProperties": False}


def draw(shape: Annotated[Circle | Square, Field(discriminator="kind")]) -> None:
    """Draw."""


def test_schemas_of_a_card_stand_alone_and_are_valid() -> None:
    for function in (get_forecast, draw, rows, mapping, shape):
        skill = made(function)
        for schema in (skill.arguments.schema, skill.results.schema):
            text = str(schema)
            assert "$ref" not in text
            assert "$defs" not in text
            assert "discriminator" not in text
            jsonschema_rs.Draft202012Validator(schema)


def names(title: str, discriminator: int, default: bool) -> dict[str, int]:  # noqa: FBT001 - a skill's parameter
    """Take parameters that are named like keywords of JSON Schema."""
    return {title: discriminator + default}


def test_parameters_may_be_named_like_keywords_of_json_schema() -> None:
    properties = made(names).arguments.schema["properties"]
    assert properties == {
        "title": {"type": "string"},
        "discriminator": {"type": "integer"},
        "default": {"type": "boolean"},
    }


def open_world(extra: dict[str, Any], filters: Window) -> None:
    """Take any object."""
    del extra, filters


def test_only_objects_that_list_their_properties_are_closed() -> None:
    properties: JsonObject = made(open_world).arguments.schema["properties"]  # type: ignore[assignment]
    assert properties["extra"] == {"type": "object", "additionalProperties": True}
    assert properties["filters"]["additionalProperties"] is False  # type: ignore[index, call-overload]


class Tools:
    """Skills may be bound methods."""

    def look(self, at: str) -> str:
        """Look."""
        return at


def test_a_bound_method_can_be_a_skill() -> None:
    assert made(Tools().look).arguments.schema["required"] == ["at"]


# --- refused ---------------------------------------------------------------------------------------------------------


def no_hint(city) -> int:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Text."""
    return len(city)


def no_return_hint(city: str):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """Text."""
    return city


def star_args(*cities: str) -> int:
    """Text."""
    return len(cities)


def star_kwargs(**cities: str) -> int:
    """Text."""
    return len(cities)


def positional_only(city: str, /) -> int:
    """Text."""
    return len(city)


def recursive_argument(city: str, tree: Node) -> int:
    """Text."""
    del city, tree
    return 1


def mutually_recursive(left: Left) -> int:
    """Text."""
    del left
    return 1


def recursive_result() -> Node:
    """Text."""
    return Node()


def opaque_argument(city: str, thing: Opaque) -> int:
    """Text."""
    del city, thing
    return 1


def opaque_result() -> Opaque:
    """Text."""
    return Opaque()


def opaque_default(city: str, thing: Any = Opaque()) -> int:  # noqa: ANN401, B008
    """Text."""
    del city, thing
    return 1


def default_of_another_type(city: str, days: int = None) -> int:  # type: ignore[assignment]  # noqa: RUF013
    """Text."""
    del city
    return days


def endless_default(limit: float = math.inf) -> float:
    """Text."""
    return limit


def unknown_name(city: "Nowhere") -> int:  # type: ignore[name-defined]  # noqa: F821
    """Text."""
    return len(city)


def no_docstring(city: str) -> int:
    return len(city)


def stale_docstring(city: str) -> int:
    """Text.

    Args:
        town: Where.
    """
    return len(city)


def yields() -> Iterator[int]:
    """Text."""
    yield 1


async def yields_async() -> AsyncIterator[int]:
    """Text."""
    yield 1


def _private() -> int:
    """Text."""
    return 1


def callback(then: "functools.partial[int]") -> int:
    """Text."""
    return then()


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (no_hint, ["no_hint", "'city'", "no type hint"]),
        (no_return_hint, ["no_return_hint", "return type hint"]),
        (star_args, ["star_args", "'cities'", "variadic"]),
        (star_kwargs, ["star_kwargs", "'cities'", "variadic"]),
        (positional_only, ["positional_only", "'city'", "positional-only"]),
        (recursive_argument, ["recursive_argument", "'tree'", "Node contains itself"]),
        (mutually_recursive, ["mutually_recursive", "'left'", "contains itself"]),
        (recursive_result, ["recursive_result", "return type", "Node contains itself"]),
        (endless_alias, ["endless_alias", "'value'", "alias in quotes", "contains itself"]),
        (unsupported_result, ["unsupported_result", "return type", "Awaitable"]),
        (opaque_argument, ["opaque_argument", "'thing'", "Opaque"]),
        (opaque_result, ["opaque_result", "return type", "Opaque"]),
        (opaque_default, ["opaque_default", "'thing'", "not JSON serializable"]),
        (default_of_another_type, ["default_of_another_type", "'days'", "does not fit its type"]),
        (endless_default, ["endless_default", "'limit'", "does not fit its type"]),
        (unknown_name, ["unknown_name", "'Nowhere'", "module level"]),
        (no_docstring, ["no_docstring", "no docstring"]),
        (stale_docstring, ["stale_docstring", "'town'", "no parameter"]),
        (yields, ["yields", "yields"]),
        (yields_async, ["yields_async", "yields"]),
        (_private, ["_private", "cannot name a skill"]),
        (callback, ["callback", "'then'"]),
        (functools.partial(scalar), ["is no function"]),
        (Opaque, ["is no function"]),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_function_that_cannot_be_a_skill_is_refused_naming_function_and_parameter(
    function: Function, named: list[str]
) -> None:
    with pytest.raises(SkillDefinitionError) as refused:
        made(function)
    assert [part for part in named if part not in str(refused.value)] == []
    assert "errors.pydantic.dev" not in str(refused.value)


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"effect": "HARMLESS"}, ["'HARMLESS'", "READ_ONLY, IDEMPOTENT, SIDE_EFFECT"]),
        ({"name": "Get"}, ["'Get' cannot name a skill"]),
        ({"name": "a" * 48, "agent": "b" * 20}, ["70 characters", "at most 64"]),
        ({"tags": "weather"}, ["tags is a list"]),
        ({"tags": [""]}, ["tags must be at least 1 byte"]),
        ({"examples": ["x" * 513]}, ["examples must be at most 512 bytes"]),
        ({"timeout_seconds": 0}, ["timeout"]),
        ({"timeout_seconds": math.nan}, ["timeout_seconds nan"]),
        ({"timeout_seconds": math.inf}, ["timeout_seconds inf"]),
        ({"timeout_seconds": -1e300}, ["timeout"]),
        ({"timeout_seconds": "5"}, ["timeout_seconds '5'"]),
        ({"timeout_seconds": 3601}, ["timeout"]),
    ],
    ids=str,
)
def test_what_a_card_cannot_hold_is_refused(said: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(SkillDefinitionError) as refused:
        made(scalar, **said)
    assert [part for part in ["scalar()", *named] if part not in str(refused.value)] == []
