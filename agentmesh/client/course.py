"""What a reader knows of its stream, in both halves of gRPC: whether it has ended, and whether well."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, Protocol, TypeVar

from agentmesh import errors
from agentmesh.client.events import Finished, RunEvent
from agentmesh.errors import Code
from agentmesh.v1 import run_event_pb2

E = TypeVar("E")


class EventMessage(Protocol):
    """A message of a stream of events: AskStreamResponse or WatchRunResponse."""

    @property
    def event(self) -> run_event_pb2.RunEvent: ...


class Course(ABC, Generic[E]):
    """Follows one stream."""

    def __init__(self) -> None:
        self._left = False
        self.begun = False
        """Something has come: another call would not go on where this one ended."""
        self.over = False
        """Nothing more comes: the stream has ended, with or without an error."""

    def saw(self, item: E) -> E:
        self.begun = True
        return item

    def leave(self) -> None:
        """The reader has no more interest."""
        self._left = not self.over
        self.over = True

    def check_not_left(self) -> None:
        """Raise where a reader comes back to what it has left: silence would look like the end."""
        if self._left:
            raise errors.RunCancelled(
                "these events were left before their end, which cancelled the call; read on only inside of `with`"
            )

    @abstractmethod
    def end(self) -> None:
        """The stream ended OK: raise unless that is how it may end."""


class RunCourse(Course[RunEvent]):
    """Of a run: it ends with the answer, unless that was among the events that were not asked for.

    Args:
        peer: What texts of errors call the server.
        after_sequence: Events up to this one were not asked for.
    """

    def __init__(self, peer: str, after_sequence: int) -> None:
        super().__init__()
        self._peer = peer
        self._nothing_left = after_sequence > 0
        self._finished = False

    def saw(self, item: RunEvent) -> RunEvent:
        self._nothing_left = False
        self._finished = self._finished or isinstance(item, Finished)
        return super().saw(item)

    def end(self) -> None:
        self.over = True
        if not (self._finished or self._nothing_left):
            text = f"{self._peer} ended the stream of events without an answer and without an error"
            raise errors.RemoteError(text, code=Code.INTERNAL)


class EndlessCourse(Course[E]):
    """Of a stream that ends only with an error.

    Args:
        peer: What texts of errors call the server.
    """

    def __init__(self, peer: str) -> None:
        super().__init__()
        self._peer = peer

    def end(self) -> None:
        self.over = True
        raise errors.RemoteError(f"{self._peer} ended a stream that has no end", code=Code.INTERNAL)
