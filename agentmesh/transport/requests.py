"""A request from its bytes: parsed, checked against the rules of its .proto, and free of fields that are not built."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Final, cast

import protovalidate
from google.protobuf import descriptor, descriptor_pool
from google.protobuf.message import DecodeError, Message

from agentmesh import errors
from agentmesh.errors import Violation, ViolationReason, summary_of

MAX_REQUEST_BYTES: Final = 4 * 1024 * 1024
"""Default of the greatest request that a server takes."""


class RequestReader:
    """Makes requests from bytes, or raises what is wrong with them.

    Args:
        max_request_bytes: Greatest size that is taken.
        not_supported: Full name of a message -> its fields that are refused when they are set, wherever in a request
            the message is.

    Raises:
        KeyError: If there is no message of such a name.
        ValueError: If a message has no field of such a name.
    """

    def __init__(self, *, max_request_bytes: int, not_supported: Mapping[str, Collection[str]]) -> None:
        self._max_request_bytes = max_request_bytes
        self._gate = _FieldGate(not_supported)
        self._validator = protovalidate.Validator()

    def read(self, serialized: bytes, parse: Callable[[bytes], Message]) -> Message:
        """Parse with the deserializer of the method.

        Raises:
            errors.RequestMalformed: If the bytes are no such message.
            errors.RequestInvalid: If it is too large, or fields break their rules: all of them are named.
            errors.FieldNotSupported: If fields are set that are not built yet: all of them are named.
        """
        if len(serialized) > self._max_request_bytes:
            raise errors.RequestInvalid(
                f"the request has {len(serialized)} bytes, at most {self._max_request_bytes} are taken"
            )
        try:
            message = parse(serialized)
        except DecodeError:
            raise errors.RequestMalformed(
                "the request does not parse: not the bytes of this message, text that is not UTF-8, or nested too deep"
            ) from None
        if found := self._validator.collect_violations(message):
            broken = [Violation(_path(v.proto.field), ViolationReason.RULE, v.proto.message) for v in found]
            raise errors.RequestInvalid(summary_of(broken), violations=broken)
        if refused := [Violation(path, ViolationReason.NOT_SUPPORTED, _NOT_BUILT) for path in self._gate.used(message)]:
            raise errors.FieldNotSupported(summary_of(refused), violations=refused)
        return message


_NOT_BUILT: Final = "this field is not supported yet; leave it unset"


def _path(field: protovalidate.FieldPathPb | None) -> str:
    """`history[0].role`; empty for a rule of the whole message."""
    parts: list[str] = []
    for element in field.elements if field else ():
        parts.append(f".{element.field_name}")
        if element.subscript is not None:
            parts.append(f"[{json.dumps(element.subscript.value)}]")
    return "".join(parts).removeprefix(".")


class _FieldGate:
    """Finds set fields that are not built; looks only into messages that can hold one."""

    def __init__(self, not_supported: Mapping[str, Collection[str]]) -> None:
        for name, fields in not_supported.items():
            known = descriptor_pool.Default().FindMessageTypeByName(name).fields_by_name
            if unknown := sorted(set(fields) - set(known)):
                raise ValueError(f"{name} has no field {', '.join(unknown)}")
        self._not_supported = {name: frozenset(fields) for name, fields in not_supported.items()}
        self._reaches: dict[str, bool] = {}

    def used(self, message: Message) -> Iterator[str]:
        """Give the path of each."""
        if self._may_hold(cast("descriptor.Descriptor", message.DESCRIPTOR)):
            yield from self._used(message, "")

    def _used(self, message: Message, prefix: str) -> Iterator[str]:
        refused = self._not_supported.get(message.DESCRIPTOR.full_name, frozenset())
        for field, value in message.ListFields():
            path = f"{prefix}{field.name}"
            if field.name in refused:
                yield path
            elif field.message_type is not None and self._may_hold(field.message_type):
                for subscript, part in _messages(field, value):
                    yield from self._used(part, f"{path}{subscript}.")

    def _may_hold(self, kind: descriptor.Descriptor) -> bool:
        known = self._reaches.get(kind.full_name)
        if known is None:
            known = self._reaches[kind.full_name] = any(name in self._not_supported for name in _reachable(kind))
        return known


def _reachable(kind: descriptor.Descriptor) -> set[str]:
    """Full names of the messages that a message of this kind can hold, itself included."""
    seen = {kind.full_name}
    waiting = [kind]
    while waiting:
        for field in waiting.pop().fields:
            inner = field.message_type
            if inner is not None and inner.full_name not in seen:
                seen.add(inner.full_name)
                waiting.append(inner)
    return seen


def _messages(field: descriptor.FieldDescriptor, value: object) -> Iterable[tuple[str, Message]]:
    if isinstance(value, Message):
        return [("", value)]
    if isinstance(value, Mapping):
        return [(f"[{key}]", part) for key, part in value.items() if isinstance(part, Message)]
    assert isinstance(value, Iterable), field.full_name
    return [(f"[{index}]", part) for index, part in enumerate(value)]
