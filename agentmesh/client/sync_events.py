"""Events of a run for code without an event loop; as `agentmesh.client.async_events`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Protocol, Self

import grpc

from agentmesh.client.course import Course, EventMessage
from agentmesh.client.events import RunEvent
from agentmesh.client.reading_events import read_event
from agentmesh.client.rpc_errors import from_threaded


class _Call(Protocol):
    def __next__(self) -> EventMessage: ...

    def cancel(self) -> bool: ...


class RunEvents(Iterator[RunEvent]):
    """The events of one run, to be read once by one thread; the request is sent when reading begins.

    Leaving the loop early - by `break`, by an exception, by Ctrl-C - cancels the call at once, and so does dropping
    this object. To leave a loop and read on, use `with`: then the end of the block cancels.

    Raises as `ask` does where the run fails; `errors.RemoteError` where the stream ends without an answer and without
    an error.

    Args:
        open_call: Sends the request.
        peer: What texts of errors call the server.
        after_sequence: Events up to this one were not asked for.
    """

    def __init__(self, open_call: Callable[[], _Call], peer: str, *, after_sequence: int = 0) -> None:
        self._open_call = open_call
        self._peer = peer
        self._course = Course(peer, after_sequence)
        self._in_block = False
        self._call: _Call | None = None

    def __iter__(self) -> Iterator[RunEvent]:
        return self if self._in_block else _Loop(self)

    def __next__(self) -> RunEvent:
        self._course.check_not_left()
        if self._course.over:
            raise StopIteration
        try:
            if self._call is None:
                self._call = self._open_call()
            return self._course.saw(read_event(next(self._call).event))
        except StopIteration:
            self._course.end()
            raise
        except grpc.RpcError as error:
            self._course.check_not_left()  # another thread has called `close`
            self._course.over = True
            raise from_threaded(error, self._peer) from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        self._in_block = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Cancel the call, if it has not ended; from any thread. Whoever reads gets `errors.RunCancelled`."""
        self._course.leave()
        if self._call is not None:
            self._call.cancel()

    def __del__(self) -> None:
        self.close()


class _Loop(Iterator[RunEvent]):
    """Lives as long as one `for`: an iterator is dropped the moment that its loop is left, however that is."""

    def __init__(self, events: RunEvents) -> None:
        self._events = events

    def __next__(self) -> RunEvent:
        return next(self._events)

    def __del__(self) -> None:
        self._events.close()
