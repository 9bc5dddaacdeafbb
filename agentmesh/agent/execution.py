"""One execution of a skill, in a task of its own, and everybody who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from google.protobuf import struct_pb2
from google.rpc import status_pb2
from opentelemetry.trace import SpanContext

from agentmesh import errors
from agentmesh.agent.call import Call
from agentmesh.agent.feed import Watch
from agentmesh.errors import MeshError
from agentmesh.incidents import as_internal
from agentmesh.telemetry.spans import current_context, link_to
from agentmesh.transport import from_status, to_status
from agentmesh.v1 import usage_pb2

Work: TypeAlias = Coroutine[Any, Any, struct_pb2.Struct]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said to those who ask again: bytes, without what a result or a traceback holds on to."""

    result: bytes
    """A `google.protobuf.Struct`; empty for an error, and for an empty result."""
    error: status_pb2.Status | None

    @property
    def size_bytes(self) -> int:
        """What it takes to keep it."""
        return len(self.result) + (self.error.ByteSize() if self.error else 0)

    async def say(self) -> struct_pb2.Struct:
        """Return the result, or raise the error."""
        if self.error is not None:
            raise from_status(self.error, "this agent")
        return struct_pb2.Struct.FromString(self.result)


class Execution:
    """A skill at work. It goes on while somebody attends; when the last one leaves, it is cancelled.

    Its deadline, and whatever else its context says, are those of the call that began it.
    """

    def __init__(self, call: Call, work: Work, begun_by: SpanContext | None = None) -> None:
        self.begun_by = begun_by or current_context()
        """The rpc for which the skill began; others are linked to it."""
        self._call = call
        self._task = asyncio.create_task(work, name=f"skill {call.skill}")
        self._attending = 0
        self._is_told = False

    @property
    def has_begun(self) -> bool:
        """Whether the skill itself has begun."""
        return self._call.begun.is_set()

    @property
    def is_given_up(self) -> bool:
        """Whether it was cancelled before it began: nothing comes of it."""
        return not self.has_begun and (self._task.cancelled() or self._task.cancelling() > 0)

    def when_ended(self, function: Callable[[], None]) -> None:
        """Call the function once it has ended, before anybody who waits for it goes on."""
        self._task.add_done_callback(lambda _: function())

    @asynccontextmanager
    async def attended(self) -> AsyncIterator[None]:
        """Keep it going. The last to leave waits until it has ended, and raises what it raised in the meantime."""
        link_to(self.begun_by)
        self._attending += 1
        try:
            yield
        finally:
            self._attending -= 1
            if self._attending == 0:
                await self._leave()

    async def ended(self) -> None:
        """Wait for its end, however it ends."""
        await asyncio.wait({self._task})

    @contextmanager
    def watched(self) -> Iterator[Watch]:
        """Watch its progress from now on; it ends when the execution has ended."""
        with self._call.feed.watched() as watch:
            self.when_ended(watch.end)
            yield watch

    def usage(self) -> usage_pb2.AgentUsage | None:
        """Return what it spent, to the first who asks."""
        return self._call.meter.take()

    def result(self) -> struct_pb2.Struct:
        """Return the result, once it has ended.

        Raises what the skill raised: to the first who asks the very exception, which may be a bug and is logged then;
        to others what the first one's caller was told. errors.SkillFailed if it was cancelled.
        """
        if self._task.cancelled():
            raise effect_unknown(self._call.skill)
        error = self._task.exception()
        if error is None:
            return self._task.result()
        status = self._status  # before the error is raised: its incident is closed where it is logged
        if self._is_told:
            raise from_status(status, "this agent")
        self._is_told = True
        raise error

    def answer(self) -> Answer:
        """Return what later calls are told, once it has ended."""
        if self._task.cancelled() or isinstance(self._task.exception(), errors.DeadlineExceeded):
            return Answer(b"", to_status(effect_unknown(self._call.skill)))
        if self._task.exception() is not None:
            return Answer(b"", self._status)
        return Answer(self._task.result().SerializeToString(), None)

    @cached_property
    def _status(self) -> status_pb2.Status:
        error = self._task.exception()
        assert error is not None
        return to_status(error if isinstance(error, MeshError) else as_internal(error))

    async def _leave(self) -> None:
        if not self._task.done():
            if not self._task.cancelling():  # again would break into its cleaning up
                self._task.cancel()
            await self.ended()
        if not self._is_told and not self._task.cancelled():
            self._task.result()


def effect_unknown(skill: str) -> errors.SkillFailed:
    """Return the error for a repetition of a call whose skill had begun, and was not allowed to end."""
    return errors.SkillFailed(
        f"skill {skill}: an earlier call with this idempotency key had begun and was cancelled or timed out; it may or "
        "may not have had its effect, and it is not run again",
        metadata={"effect_unknown": "true"},
    )
