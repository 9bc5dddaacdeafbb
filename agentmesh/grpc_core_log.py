"""What gRPC's C core writes to stderr by itself: text that is no log line of ours, such as each GOAWAY it receives."""

from __future__ import annotations

from collections.abc import MutableMapping


def silence(environment: MutableMapping[str, str]) -> None:
    """Turn it off, unless GRPC_VERBOSITY asks for it. For programs, before they import `grpc`: then it is read.

    What matters of it is in the statuses that calls end with.
    """
    environment.setdefault("GRPC_VERBOSITY", "NONE")
