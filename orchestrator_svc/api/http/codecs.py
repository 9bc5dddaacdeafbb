"""Messages as the bodies of HTTP requests and answers: as JSON, read strictly, or as protobuf."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NoReturn, cast

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from agentmesh.client.wire_json import message_json
from agentmesh.errors import RequestMalformed, Violation, ViolationReason, summary_of
from agentmesh.jsonvalues import MAX_INTEGER, Json, JsonObject
from orchestrator_svc.core.wording import cut, nearest, shortened

MOST_UNKNOWN: Final = 20
"""Fields that an error names; a client that is that wrong speaks of something else."""
_MOST_CHARACTERS: Final = 300
_WELL_KNOWN: Final = "google.protobuf."
"""Their JSON is no object of fields."""


@dataclass(frozen=True, slots=True)
class Codec:
    """One form of messages."""

    name: str
    """As in the content type: `application/<name>`, `application/connect+<name>`."""
    read: Callable[[type[Message], bytes], Message]
    """Raises RequestMalformed, or protobuf's DecodeError."""
    write: Callable[[Message], bytes]


def read_json(kind: type[Message], body: bytes) -> Message:
    """Read a message; what gRPC would not take is not taken as JSON either.

    Raises:
        RequestMalformed: It is no JSON object, or not of this message; all unknown fields are named.
        DecodeError: It is nested deeper than a message can be.
    """
    descriptor = cast("Descriptor", kind.DESCRIPTOR)
    value = _object_in(body)
    if unknown := _named(_unknown(value, descriptor)):
        raise RequestMalformed(summary_of(unknown), violations=unknown)
    try:
        message = json_format.ParseDict(value, kind())
    except (json_format.Error, ValueError, TypeError, AttributeError, RecursionError) as error:
        why = shortened(str(error).partition("\n")[0], _MOST_CHARACTERS)
        raise RequestMalformed(f"the JSON is no {descriptor.name}: {why}") from None
    # A Struct may be nested deeper than the bytes of any message that a peer could parse.
    return kind.FromString(message.SerializeToString())


def write_json(message: Message) -> bytes:
    """Write a message in the form that the command line prints, on one line."""
    return json.dumps(message_json(message), ensure_ascii=False, separators=(",", ":")).encode()


JSON: Final = Codec("json", read_json, write_json)
PROTO: Final = Codec("proto", lambda kind, body: kind.FromString(body), lambda message: message.SerializeToString())
CODECS: Final = MappingProxyType({codec.name: codec for codec in (JSON, PROTO)})


def _object_in(body: bytes) -> JsonObject:
    try:
        value = json.loads(
            body.decode(),
            parse_int=_exact,
            parse_float=_finite,
            parse_constant=_refuse,
            object_pairs_hook=_without_repeats,
        )
    except RecursionError:
        raise RequestMalformed("the body is nested too deep") from None
    except ValueError as error:  # also of UTF-8
        raise RequestMalformed(f"the body is no JSON: {shortened(str(error), _MOST_CHARACTERS)}") from None
    if not isinstance(value, dict):
        raise RequestMalformed("the body is no JSON object; a request without fields is {}")
    return value


def _exact(digits: str) -> int:
    number = int(digits)
    if abs(number) > MAX_INTEGER:
        raise ValueError(f"{shortened(digits, 40)} is beyond 2^53, which JSON cannot carry exactly; send it as text")
    return number


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{shortened(digits, 40)} is greater than any number")
    return number


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


def _without_repeats(pairs: list[tuple[str, Json]]) -> JsonObject:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {cut(twice)!r} is there twice in one object")
    return found


def _named(places: Iterable[tuple[str, str]]) -> list[Violation]:
    found = [Violation(path, ViolationReason.FIELD_UNKNOWN, message) for path, message in places]
    if len(found) > MOST_UNKNOWN:
        more = Violation("", ViolationReason.FIELD_UNKNOWN, f"and {len(found) - MOST_UNKNOWN} more")
        return [*found[:MOST_UNKNOWN], more]
    return found


def _unknown(value: JsonObject, kind: Descriptor, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Give path and text of every name that is no field, or the second name of one that is there already."""
    fields = {name: field for field in kind.fields for name in (field.json_name, field.name)}
    seen: dict[int, str] = {}
    for name, member in value.items():
        path = prefix + cut(name)
        field = fields.get(name)
        if field is None:
            close = nearest(name, sorted(fields))
            yield path, f"no field of {kind.name}{f'; did you mean {close}?' if close else ''}"
            continue
        if field.number in seen:
            yield path, f"the same field as {seen[field.number]}"
        seen[field.number] = name
        inner = field.message_type
        if inner is None or inner.full_name.startswith(_WELL_KNOWN):
            continue
        for subscript, part in _objects(member):
            yield from _unknown(part, inner, f"{path}{subscript}.")


def _objects(member: Json) -> Iterator[tuple[str, JsonObject]]:
    if isinstance(member, dict):
        yield "", member
    elif isinstance(member, list):
        yield from ((f"[{index}]", item) for index, item in enumerate(member) if isinstance(item, dict))
