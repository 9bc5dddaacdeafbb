"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html): a stream that a browser or curl
reads without a library.

The request is plain JSON. Each message of the rpc is an event with its JSON as data; the last event is `end`, or
`error` with the JSON that Connect has for the error. It is the Connect stream in other frames, and served as one.
"""

from __future__ import annotations

import json
import struct
from typing import Final

from agentmesh.http.asgi import Message, Receive, Send
from agentmesh.transport.options import MAX_MESSAGE_BYTES

CONTENT_TYPE: Final = "text/event-stream"

_FRAME: Final = struct.Struct(">BI")  # flags, length; then so many bytes
_IS_END: Final = 0b10
_HEADERS: Final = [(b"content-type", CONTENT_TYPE.encode()), (b"cache-control", b"no-store")]
_OF_CONNECT: Final = (b"content-type", b"connect-content-encoding")


class AsFrame:
    """An ASGI `receive` that gives a plain body as the one frame of a Connect stream."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._given = False

    async def __call__(self) -> Message:
        if self._given:
            return await self._receive()
        self._given = True
        body = bytearray()
        while (message := await self._receive())["type"] == "http.request":
            body += message.get("body", b"")
            if len(body) > MAX_MESSAGE_BYTES:  # connectrpc refuses it, whatever else would come
                break
            if not message.get("more_body", False):
                break
        else:
            return message
        return {"type": "http.request", "body": _FRAME.pack(0, len(body)) + body, "more_body": False}


class AsEvents:
    """An ASGI `send` that makes events of the frames of a Connect stream; connectrpc sends each by itself."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            others = [(name, value) for name, value in message["headers"] if name not in _OF_CONNECT]
            message = {**message, "headers": [*_HEADERS, *others]}
        elif message["type"] == "http.response.body" and message.get("body"):
            message = {**message, "body": _event(message["body"])}
        await self._send(message)


def _event(frame: bytes) -> bytes:
    flags, _ = _FRAME.unpack_from(frame)
    content = frame[_FRAME.size :]
    if not flags & _IS_END:
        return b"data: %b\n\n" % content
    error = json.loads(content).get("error")
    if error is None:
        return b"event: end\ndata: {}\n\n"
    return b"event: error\ndata: %b\n\n" % json.dumps(error, ensure_ascii=False).encode()
