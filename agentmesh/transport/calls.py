"""What the server side may use of a call, whatever protocol it came in by.

`grpc.aio.ServicerContext` has all of it; a door for another protocol has a class of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, Protocol, TypeAlias

import grpc

Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]


class Call(Protocol):
    """One call that is being served."""

    def invocation_metadata(self) -> Any:  # noqa: ANN401 - grpc declares less than it gives
        """Pairs of a lower-case name and a value, as the caller sent them; or None."""

    def peer(self) -> str:
        """Where it came from, as `ipv4:127.0.0.1:50000`."""

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline; None without one."""

    def trailing_metadata(self) -> Any:  # noqa: ANN401 - same
        """What `set_trailing_metadata` was given."""

    def set_trailing_metadata(self, trailing_metadata: Metadata) -> None:
        """Have these sent with the end of the call."""

    def code(self) -> Any:  # noqa: ANN401 - grpc.StatusCode, or 0
        """The status that was set; falsy before."""

    def set_code(self, code: grpc.StatusCode) -> None:
        """Set the status; what the generated base class of a servicer does before it raises NotImplementedError."""

    def set_details(self, details: str) -> None:
        """Set the text of the status."""

    async def write(self, message: Any) -> None:  # noqa: ANN401 - grpc has it generic
        """Send one message of a stream; return when the reader's flow control has let it go."""

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> NoReturn:  # noqa: ANN401 - same
        """End the call with an error.

        Raises:
            grpc.aio.AbortError: Always.
        """
