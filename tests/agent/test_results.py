"""What a skill returns, as it is sent; and what must not be sent, with the path that says why."""

import dataclasses
import datetime
import decimal
import enum
import math
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, computed_field, field_serializer
from typing_extensions import TypedDict

from agentmesh import errors
from agentmesh.agent.results import Results
from agentmesh.agent.signature import Signature
from agentmesh.jsonvalues import Json


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass
class Point:
    at: datetime.datetime
    value: float
    note: str | None = None


class Series(BaseModel):
    name: str
    points: list[Point] = []
    extra: Any = None

    @computed_field  # type: ignore[prop-decorator] # mypy does not know properties under decorators
    @property
    def size(self) -> int:
        return len(self.points)


class Aliased(BaseModel):
    size_bytes: Annotated[int, Field(serialization_alias="sizeBytes")]


class Partial(TypedDict, total=False):
    a: int
    b: int


class Crashing(BaseModel):
    value: int

    @field_serializer("value")
    def crash(self, value: int) -> int:
        raise ValueError(f"secret {value}")


def results(returned: object) -> Results:
    return Results(
        Signature(
            name="skill",
            hints={},
            defaults={},
            returned=returned,
            description="Text.",
            parameter_texts={},
            result_text="",
        )
    )


NOON = datetime.datetime(2024, 1, 2, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("returned", "value", "expected"),
    [
        (int, 3, {"result": 3}),
        (type(None), None, {"result": None}),
        (list[str], ["a"], {"result": ["a"]}),
        (tuple[int, str], (1, "a"), {"result": [1, "a"]}),
        (set[int], {1}, {"result": [1]}),
        (Level, Level.LOW, {"result": 1}),
        (datetime.date, NOON.date(), {"result": "2024-01-02"}),
        (decimal.Decimal, decimal.Decimal("1.10"), {"result": "1.10"}),
        (bytes, b"abc", {"result": "abc"}),
        (Point | None, None, {"result": None}),
        (Any, {"a": [1]}, {"result": {"a": [1]}}),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (dict[int, int], {1: 1}, {"1": 1}),
        (Point, Point(NOON, 1), {"at": "2024-01-02T12:00:00Z", "value": 1.0, "note": None}),
        (Series, Series(name="cpu"), {"name": "cpu", "points": [], "extra": None, "size": 0}),
        (Aliased, Aliased(size_bytes=3), {"sizeBytes": 3}),
        (Partial, {"a": 1}, {"a": 1}),
    ],
    ids=str,
)
def test_a_result_is_written_as_json(returned: object, value: object, expected: Json) -> None:
    written = results(returned).write(value)
    assert written.value == expected
    assert written.size_bytes > 0


def _nested(depth: int) -> Any:  # noqa: ANN401 - deeper than a type can say
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def _cycle() -> list[object]:
    cycle: list[object] = []
    cycle.append(cycle)
    return cycle


@pytest.mark.parametrize(
    ("returned", "value", "error", "named"),
    [
        (int, "3", errors.ResultInvalid, "result.result"),
        (int, None, errors.ResultInvalid, "result.result"),
        (Point, {"value": 1}, errors.ResultInvalid, "result.at"),
        (Series, Series(name="a", points=[Point(NOON, "high")]), errors.ResultInvalid, "result.points[0].value"),  # type: ignore[arg-type]
        (dict[str, int], {"a": 1, "b": "2"}, errors.ResultInvalid, "result.b"),
        (Point, object(), errors.ResultNotJson, "type object"),
        (Point, Point(NOON, math.nan), errors.ResultNotJson, "`value`"),
        (Any, math.nan, errors.ResultNotJson, "`result`"),
        (Series, Series(name="a", extra={"b": [math.inf]}), errors.ResultNotJson, "`extra.b[0]`"),
        (dict[str, Any], {"a": math.nan}, errors.ResultNotJson, "`a`"),
        (list[float], [1.0, math.inf], errors.ResultNotJson, "`result[1]`"),
        (int, 2**53 + 1, errors.ResultNotJson, "`result`"),
        (Any, {"a": [1, object()]}, errors.ResultNotJson, "result.a[1] is of type object"),
        (Any, {object(): 1}, errors.ResultNotJson, "is of type object"),
        (Any, _cycle(), errors.ResultNotJson, "contains itself"),
        (bytes, b"\xff", errors.ResultNotJson, "UTF-8"),
        (str, "\ud800", errors.ResultNotJson, "surrogate"),
        (Any, _nested(24), errors.ResultTooDeep, "`result[0][0]"),
        (Any, _nested(2000), errors.ResultTooDeep, "deeper than 24"),
        (str, "x" * 1024 * 1024, errors.ResultTooLarge, "`result` alone"),
    ],
    ids=lambda value: getattr(value, "__name__", "-"),
)
def test_a_result_that_must_not_be_sent_is_refused_naming_the_path(
    returned: object, value: object, error: type[errors.ResultError], named: str
) -> None:
    with pytest.raises(error) as refused:
        results(returned).write(value)
    assert named in refused.value.message


def test_a_refusal_does_not_quote_the_result() -> None:
    with pytest.raises(errors.ResultInvalid) as refused:
        results(int).write("secret")
    assert "secret" not in refused.value.message


def test_a_result_of_exactly_one_mebibyte_is_written() -> None:
    text = "x" * (1024 * 1024 - len('{"result":""}'))
    assert results(str).write(text).size_bytes == 1024 * 1024


def test_many_mismatches_are_counted() -> None:
    with pytest.raises(errors.ResultInvalid, match="and 3 more"):
        results(list[int]).write(["x"] * 8)


def test_a_bug_in_an_authors_serializer_is_an_error_like_any_other_of_theirs() -> None:
    with pytest.raises(Exception, match="secret") as raised:
        results(Crashing).write(Crashing(value=1))
    assert not isinstance(raised.value, errors.MeshError)
