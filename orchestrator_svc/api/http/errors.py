"""Statuses of the table as errors of the Connect protocol: the same code, message and details."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Final

from connectrpc.code import Code as ConnectCode
from connectrpc.errors import ConnectError, ErrorDetail
from google.protobuf import any_pb2, descriptor_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from protobuf import Registry
from protobuf.wkt import Any as ConnectAny
from protobuf.wkt import FileDescriptorSet

from agentmesh.errors import Code, MeshError
from agentmesh.transport import to_status

_CODES: Final[Mapping[Code, ConnectCode]] = {
    code: ConnectCode[code.name.replace("CANCELLED", "CANCELED")] for code in Code if code is not Code.OK
}


def connect_error(status: status_pb2.Status) -> ConnectError:
    """Return what connectrpc sends for the status."""
    return ConnectError(_CODES[Code(status.code)], status.message, map(_detail, status.details))


def error_of(error: MeshError) -> ConnectError:
    """Return what connectrpc sends for an error of the table."""
    return connect_error(to_status(error))


def _detail(detail: any_pb2.Any) -> ErrorDetail:
    """A message that connectrpc knows is also shown as JSON, as `debug`: people cannot read base64."""
    packed = ConnectAny(type_url=detail.type_url, value=detail.value)
    kind = _details().message(detail.TypeName())
    message = None if kind is None else packed.unpack(kind)
    return ErrorDetail(packed if message is None else message)


@functools.cache
def _details() -> Registry:
    """The messages of google.rpc for connectrpc, which has a protobuf runtime of its own."""
    files = descriptor_pb2.FileDescriptorSet()
    for known in (duration_pb2.DESCRIPTOR, error_details_pb2.DESCRIPTOR):
        file = files.file.add()
        known.CopyToProto(file)
        for message in file.message_type:
            _name_in_json(message)
    return FileDescriptorSet.from_binary(files.SerializeToString()).to_registry()


def _name_in_json(message: descriptor_pb2.DescriptorProto) -> None:
    """Say how the fields are called in JSON, which a descriptor that was compiled into Python leaves out."""
    for field in message.field:
        first, *others = field.name.split("_")
        field.json_name = first + "".join(word.title() for word in others)
    for nested in message.nested_type:
        _name_in_json(nested)
