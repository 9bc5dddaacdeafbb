"""Streams for code without an event loop; as `agentmesh.client.async_stream`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

import grpc

from agentmesh.client.course import Course
from agentmesh.client.rpc_errors import from_threaded
from agentmesh.client.turns import Turns
from agentmesh.errors import MeshError

M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)
E = TypeVar("E")


class Call(Protocol[M_co]):
    """A call under way whose messages come one after the other."""

    def __next__(self) -> M_co: ...

    def cancel(self) -> bool: ...


class Stream(Iterator[E], Generic[M, E]):
    """What one call gives, to be read once by one thread; the request is sent when reading begins.

    Leaving the loop early - by `break`, by an exception, by Ctrl-C - cancels the call at once, and so does dropping
    this object. To leave a loop and read on, use `with`: then the end of the block cancels.
    """

    def __init__(
        self, open_call: Callable[[float | None], Call[M]], peer: str, course: Course[E], turns: Turns
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            open_call: Sends the request, with this timeout.
            peer: What texts of errors call the server.
            course: How the stream goes, and may end.
            turns: Whether another call is made where one ends before anything came.
        """
        self._open_call = open_call
        self._peer = peer
        self._course = course
        self._turns = turns
        self._in_block = False
        self._call: Call[M] | None = None

    def _read(self, message: M) -> E | None:
        """Return what a message says; None if that is for a later one to say."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[E]:
        return self if self._in_block else _Loop(self)

    def __next__(self) -> E:
        self._course.check_not_left()
        if self._course.over:
            raise StopIteration
        try:
            while True:
                item = self._read(self._next())
                if item is not None:
                    return self._course.saw(item)
        except StopIteration:
            self._course.end()
            raise
        except MeshError:
            self._course.check_not_left()  # another thread has called `close`
            self._course.over = True
            raise
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

    def _next(self) -> M:
        while True:
            try:
                return self._next_of_call()
            except MeshError as error:
                pause = None if self._course.begun else self._turns.pause_after(error)
                if pause is None:
                    raise
            self._call = None
            time.sleep(pause)
            self._course.check_not_left()

    def _next_of_call(self) -> M:
        if self._call is None:
            self._call = self._open_call(self._turns.timeout())
        try:
            return next(self._call)
        except grpc.RpcError as error:
            raise from_threaded(error, self._peer) from error


class _Loop(Iterator[E]):
    """Lives as long as one `for`: an iterator is dropped the moment that its loop is left, however that is."""

    def __init__(self, stream: Stream[M, E]) -> None:
        self._stream = stream

    def __next__(self) -> E:
        return next(self._stream)

    def __del__(self) -> None:
        self._stream.close()
