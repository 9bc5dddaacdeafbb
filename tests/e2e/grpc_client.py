"""A gRPC client of somebody else that knows the services by reflection: grpcurl, or `buf curl` where there is none."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from pathlib import Path
from typing import Any, TypeVar

import grpc
from google.protobuf import any_pb2, json_format
from google.protobuf.message import Message
from google.rpc import status_pb2

from tests.go_tools import find_go_tool

BUF = Path(sys.executable).parent / "buf"


Answer = TypeVar("Answer", bound=Message)


async def call(
    address: str, method: str, request: dict[str, Any], answer: type[Answer]
) -> tuple[status_pb2.Status, Answer]:
    """Call `agentmesh.v1.METHOD`; return the status with its details, and the answer, empty if there is none."""
    grpcurl, data = find_go_tool("grpcurl"), json.dumps(request)
    if grpcurl is not None:
        command = [str(grpcurl), "-plaintext", "-format-error", "-d", data, address, f"agentmesh.v1.{method}"]
    else:
        where = f"http://{address}/agentmesh.v1.{method}"
        command = [str(BUF), "curl", "--protocol=grpc", "--http2-prior-knowledge", "--data", data, where]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    if process.returncode == 0:
        return status_pb2.Status(), json_format.Parse(out, answer())
    error = json.loads(err)
    return (json_format.ParseDict(error, status_pb2.Status()) if grpcurl else _status_of_buf(error)), answer()


def _status_of_buf(error: dict[str, Any]) -> status_pb2.Status:
    """It names codes as Connect does, and leaves details as they came, in base64 without its end."""
    code, _ = grpc.StatusCode[error["code"].upper()].value
    details = [
        any_pb2.Any(type_url=f"type.googleapis.com/{detail['type']}", value=base64.b64decode(detail["value"] + "=="))
        for detail in error.get("details", [])
    ]
    return status_pb2.Status(code=code, message=error["message"], details=details)
