"""How the arguments of a request reach the function, and what is said of those that do not fit."""

import dataclasses
import datetime
import enum
import math
from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, BaseModel, Field
from typing_extensions import TypedDict

from agentmesh import errors
from agentmesh.agent.arguments import Arguments
from agentmesh.agent.signature import read_signature
from agentmesh.errors import Violation, ViolationReason
from agentmesh.jsonvalues import Json, JsonObject

MISSING, UNKNOWN, INVALID = (
    ViolationReason.ARGUMENT_MISSING,
    ViolationReason.ARGUMENT_UNKNOWN,
    ViolationReason.ARGUMENT_INVALID,
)


class Unit(enum.Enum):
    CELSIUS = "celsius"
    KELVIN = "kelvin"


@dataclasses.dataclass(frozen=True)
class Place:
    city: str
    at: tuple[float, float] | None = None


class Window(TypedDict, total=False):
    start: datetime.datetime
    days: int


class Filter(BaseModel):
    kind: Literal["min", "max"]
    value: float


def _even(value: int) -> int:
    if value % 2:
        raise ValueError("must be even")
    return value


def everything(
    *,
    city: str,
    days: int = 3,
    unit: Unit = Unit.CELSIUS,
    place: Place | None = None,
    window: Window | None = None,
    filters: list[Filter] = [],  # noqa: B006 - never changed
    since: datetime.date | None = None,
    share: float = 0.5,
    weights: dict[str, int] | None = None,
    pairs: Annotated[int, AfterValidator(_even)] = 2,
    free: Any = None,  # noqa: ANN401 - an author may
) -> None:
    """Take one of each."""
    del city, days, unit, place, window, filters, since, share, weights, pairs, free


READER = Arguments(read_signature(everything))
DEFAULTS: dict[str, Any] = {
    "days": 3,
    "unit": Unit.CELSIUS,
    "place": None,
    "window": None,
    "filters": [],
    "since": None,
    "share": 0.5,
    "weights": None,
    "pairs": 2,
    "free": None,
}


def refused(values: JsonObject, reader: Arguments = READER) -> list[Violation]:
    with pytest.raises(errors.ArgumentsInvalid) as caught:
        reader.read(values)
    return list(caught.value.violations)


def places(values: JsonObject) -> list[tuple[str, ViolationReason]]:
    return sorted((violation.path, violation.reason) for violation in refused(values))


def test_defaults_are_filled_in() -> None:
    assert READER.read({"city": "Delft"}) == {"city": "Delft", **DEFAULTS}


def test_types_are_applied() -> None:
    read = READER.read(
        {
            "city": "Delft",
            "unit": "kelvin",
            "place": {"city": "Delft", "at": [52, 4.36]},
            "window": {"start": "2024-01-02T03:04:05Z"},
            "filters": [{"kind": "max", "value": 3}],
            "since": "2024-01-02",
            "share": 1,
            "free": {"a": [1]},
        }
    )
    assert read["unit"] is Unit.KELVIN
    assert read["place"] == Place("Delft", (52.0, 4.36))
    assert read["window"] == {"start": datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)}
    assert read["filters"] == [Filter(kind="max", value=3.0)]
    assert read["since"] == datetime.date(2024, 1, 2)
    assert isinstance(read["share"], float)
    assert read["free"] == {"a": [1]}


def test_an_integral_double_is_an_integer() -> None:
    days = READER.read({"city": "Delft", "days": 7.0})["days"]
    assert days == 7
    assert isinstance(days, int)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, [("arguments.city", MISSING)]),
        ({"city": 5}, [("arguments.city", INVALID)]),
        ({"city": "Delft", "days": "60"}, [("arguments.days", INVALID)]),
        ({"city": "Delft", "days": 1.5}, [("arguments.days", INVALID)]),
        ({"city": "Delft", "days": 1e300}, [("arguments.days", INVALID)]),
        ({"city": "Delft", "days": True}, [("arguments.days", INVALID)]),
        ({"city": "Delft", "unit": "furlong"}, [("arguments.unit", INVALID)]),
        ({"city": "Delft", "unit": 3}, [("arguments.unit", INVALID)]),
        ({"city": None}, [("arguments.city", INVALID)]),
        ({"city": "Delft", "dayz": 2}, [("arguments.dayz", UNKNOWN)]),
        ({"city": "Delft", "a": 1, "b": 2}, [("arguments.a", UNKNOWN), ("arguments.b", UNKNOWN)]),
        ({"city": "Delft", "a b": 1}, [('arguments["a b"]', UNKNOWN)]),
        ({"city": "Delft", "place": {"city": 3}}, [("arguments.place.city", INVALID)]),
        ({"city": "Delft", "place": {}}, [("arguments.place.city", MISSING)]),
        ({"city": "Delft", "place": {"city": "a", "town": "b"}}, [("arguments.place.town", UNKNOWN)]),
        ({"city": "Delft", "place": {"city": "a", "at": [1]}}, [("arguments.place.at", INVALID)]),
        ({"city": "Delft", "place": 4}, [("arguments.place", INVALID)]),
        (
            {"city": "Delft", "filters": [{"kind": "min", "value": 1}, {"kind": "mid", "value": "x"}, {}]},
            [
                ("arguments.filters[1].kind", INVALID),
                ("arguments.filters[1].value", INVALID),
                ("arguments.filters[2].kind", MISSING),
                ("arguments.filters[2].value", MISSING),
            ],
        ),
        ({"city": "Delft", "since": "soon"}, [("arguments.since", INVALID)]),
        ({"city": "Delft", "pairs": 3}, [("arguments.pairs", INVALID)]),
        ({"city": "Delft", "weights": {"a": 1, "b": "2"}}, [("arguments.weights.b", INVALID)]),
        (
            {"days": "x", "dayz": 1},
            [("arguments.city", MISSING), ("arguments.days", INVALID), ("arguments.dayz", UNKNOWN)],
        ),
    ],
    ids=str,
)
def test_every_problem_is_one_violation_at_its_path(
    values: JsonObject, expected: list[tuple[str, ViolationReason]]
) -> None:
    assert places(values) == expected


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    (violation,) = refused({"city": "Delft", "dayz": 2})
    assert "did you mean days?" in violation.message


def test_the_message_of_the_error_has_the_first_problem_and_the_number_of_others() -> None:
    with pytest.raises(errors.ArgumentsInvalid, match=r"^arguments\.days: .* \(and 1 more\)$"):
        READER.read({"days": "x", "city": 1})


@pytest.mark.parametrize("value", [math.nan, math.inf, [[[[math.nan]]]]], ids=str)
def test_numbers_that_are_not_finite_are_refused_wherever_they_are(value: Json) -> None:
    (violation,) = refused({"city": "Delft", "free": value})
    assert violation.path == "arguments"
    assert "`free" in violation.message


def test_long_values_do_not_make_long_messages() -> None:
    (violation,) = refused({"city": ["x" * 100_000]})
    assert len(violation.message) < 400


def _crash(value: int) -> int:
    raise KeyError(value)


def crashing(value: Annotated[int, AfterValidator(_crash)]) -> None:
    """Take what its own validator cannot."""
    del value


def test_a_bug_in_an_authors_validator_is_no_fault_of_the_caller() -> None:
    with pytest.raises(KeyError):
        Arguments(read_signature(crashing)).read({"value": 1})


def aliased(size: Annotated[int, Field(alias="sizeInBytes")] = 1) -> None:
    """Take an argument whose name in the schema is another."""
    del size


def test_an_alias_is_the_name_in_the_schema() -> None:
    assert Arguments(read_signature(aliased)).read({"sizeInBytes": 5}) == {"size": 5}


def test_reading_arguments_never_calls_the_function() -> None:
    calls: list[str] = []

    def record(city: str) -> None:
        """Record the call."""
        calls.append(city)

    assert Arguments(read_signature(record)).read({"city": "Delft"}) == {"city": "Delft"}
    assert calls == []
