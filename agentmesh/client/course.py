"""What a reader of events knows of its stream, in both halves of gRPC: whether it has ended, and whether well."""

from __future__ import annotations

from typing import Protocol

from agentmesh import errors
from agentmesh.client.events import Finished, RunEvent
from agentmesh.errors import Code
from agentmesh.v1 import run_event_pb2


class EventMessage(Protocol):
    """A message of a stream of events: AskStreamResponse or WatchRunResponse."""

    @property
    def event(self) -> run_event_pb2.RunEvent: ...


class Course:
    """Follows one stream.

    Args:
        peer: What texts of errors call the server.
        after_sequence: Events up to this one were not asked for.
    """

    def __init__(self, peer: str, after_sequence: int) -> None:
        self._peer = peer
        self._nothing_left = after_sequence > 0
        self._finished = False
        self._left = False
        self.over = False
        """No more events: the stream has ended, with or without an error."""

    def saw(self, event: RunEvent) -> RunEvent:
        self._nothing_left = False
        self._finished = self._finished or isinstance(event, Finished)
        return event

    def leave(self) -> None:
        """The reader has no more interest."""
        self._left = not self.over
        self.over = True

    def check_not_left(self) -> None:
        """Raise where a reader comes back to what it has left: silence would look like the end of the run."""
        if self._left:
            raise errors.RunCancelled(
                "these events were left before their end, which cancelled the call; read on only inside of `with`"
            )

    def end(self) -> None:
        """The stream ended OK: raise unless the answer came, or was among the events that were not asked for."""
        self.over = True
        if not (self._finished or self._nothing_left):
            text = f"{self._peer} ended the stream of events without an answer and without an error"
            raise errors.RemoteError(text, code=Code.INTERNAL)
