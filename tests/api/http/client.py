"""A small HTTP/1.1 client that can also misbehave: it sends what it is told, byte for byte, and reads one answer."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import any_pb2
from google.rpc import status_pb2

from agentmesh.errors import Code, MeshError
from agentmesh.transport import from_status

JSON = {"content-type": "application/json"}
CONNECT_STREAM = {"content-type": "application/connect+json"}


@dataclass
class Answer:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value

    @property
    def error(self) -> MeshError:
        """The exception that the server raised, as a client of the mesh would rebuild it."""
        assert self.status != 200, self.body
        return error_in(self.json)


@dataclass
class Connection:
    """One connection; requests one after the other."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    host: str = "mesh"
    left: bytes = field(default=b"")

    async def send(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the next answer."""
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
        headers = dict(line.split(": ", 1) for line in lines)
        return int(first.split(" ")[1]), {name.lower(): value for name, value in headers.items()}

    async def chunks(self) -> AsyncIterator[bytes]:
        """The parts of an answer in chunks."""
        while size := int(await self.reader.readline(), 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readline()

    async def answer(self, *, to: str = "POST") -> Answer:
        status, headers = await self.head()
        if to == "HEAD" or status == 204:
            body = b""
        elif "content-length" in headers:
            body = await self.reader.readexactly(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            body = b"".join([chunk async for chunk in self.chunks()])
        else:
            body = await self.reader.read()
        return Answer(status, headers, body)

    async def call(self, path: str, body: Any, headers: Mapping[str, str] = JSON, method: str = "POST") -> Answer:  # noqa: ANN401 - JSON, or bytes
        await self.send(request(path, body, headers, method))
        return await self.answer(to=method)

    async def ends(self) -> bool:
        """Read until the server has closed the connection."""
        with suppress(ConnectionError):
            while await self.reader.read(65536):
                pass
        return True


def request(path: str, body: Any, headers: Mapping[str, str] = JSON, method: str = "POST") -> bytes:  # noqa: ANN401 - same
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "host: mesh", f"content-length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[Connection]:
    if address.startswith("unix:"):
        reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix:"))
    else:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def post(address: str, path: str, body: Any, **headers: str) -> Answer:  # noqa: ANN401 - same
    """One call on a connection of its own; header names with `_` for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with connected(address) as connection:
        return await connection.call(path, body, {**JSON, **named})


async def get(address: str, path: str, **headers: str) -> Answer:
    async with connected(address) as connection:
        return await connection.call(path, b"", headers, "GET")


def framed(message: object) -> bytes:
    """One message of a Connect stream."""
    content = json.dumps(message).encode()
    return struct.pack(">BI", 0, len(content)) + content


def frames_in(body: bytes) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The messages of a Connect stream, and its end."""
    messages: list[dict[str, Any]] = []
    while body:
        flags, size = struct.unpack_from(">BI", body)
        content = json.loads(body[5 : 5 + size])
        body = body[5 + size :]
        if flags & 2:
            assert not body
            return messages, content
        messages.append(content)
    raise AssertionError("the stream has no end")


def events_in(body: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Server-sent events: name and data."""
    events = []
    for block in body.decode().removesuffix("\n\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        events.append((fields.get("event", "message"), json.loads(fields["data"])))
    return events


def error_in(said: dict[str, Any]) -> MeshError:
    """Rebuild the exception from the error of the Connect protocol."""
    code = Code["CANCELLED" if said["code"] == "canceled" else said["code"].upper()]
    status = status_pb2.Status(code=code, message=said["message"])
    for detail in said.get("details", ()):
        assert "=" not in detail["value"]
        assert detail["debug"]
        value = base64.b64decode(detail["value"] + "=" * (-len(detail["value"]) % 4))
        status.details.append(any_pb2.Any(type_url=f"type.googleapis.com/{detail['type']}", value=value))
    return from_status(status, "the server")
