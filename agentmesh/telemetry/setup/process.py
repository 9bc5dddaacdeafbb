"""The one call with which the main of a process sets telemetry up, and the one with which it ends it."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from agentmesh.telemetry.setup.settings import TelemetrySettings

if TYPE_CHECKING:
    from agentmesh.telemetry.setup.parts import Part

NAMESPACE: Final = "agentmesh"
CLOSE_SECONDS: Final = 2.0
"""As long as the end of a process is held up, whatever the collector does."""
_CUT_OFF_SECONDS: Final = 0.5
"""Of these: for letting go of an export that hangs."""


class Telemetry:
    """What a process exports."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts

    def close(self) -> None:
        """Export what is left and stop, within `CLOSE_SECONDS`; again: nothing happens.

        It blocks, so it is for the main of a process after its event loop has ended. What a collector has not taken
        by then is lost, and the log says how many spans.
        """
        parts, self._parts = self._parts, ()
        deadline = time.monotonic() + CLOSE_SECONDS
        # In threads of which the process does not wait at its end: the SDK has no bound that it keeps.
        finishing = [(part, _started(part.finish)) for part in parts]
        hanging = [(part, thread) for part, thread in finishing if not _ended(thread, deadline - _CUT_OFF_SECONDS)]
        for part, _ in hanging:
            _started(part.cut_off)
        for _, thread in hanging:
            _ended(thread, deadline)
        for part in parts:
            part.closed()


def set_up_telemetry(
    service_name: str, settings: TelemetrySettings, *, service_version: str, instance_id: str | None = None
) -> Telemetry:
    """Export spans and metrics of this process as the settings say; once a process, before its servers are built.

    A collector that cannot be reached changes nothing but the log. With nothing to export, the SDK is not imported.

    Args:
        service_name: `orchestrator`, or the name of the agent, where the environment gives no other.
        settings: As `read_telemetry` returned them.
        service_version: Of what runs in the process.
        instance_id: Tells processes of one service apart; a random UUID by default.
    """
    if settings.traces is None and settings.metrics is None:
        return Telemetry(())
    from agentmesh.telemetry.setup.parts import build  # noqa: PLC0415 - takes 0.2 s

    attributes = {
        "service.name": service_name,
        "service.namespace": NAMESPACE,
        "service.version": service_version,
        "service.instance.id": instance_id or str(uuid.uuid4()),
    }
    return Telemetry(build(settings, attributes))


def _started(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, name="telemetry-end", daemon=True)
    thread.start()
    return thread


def _ended(thread: threading.Thread, deadline: float) -> bool:
    thread.join(max(0.0, deadline - time.monotonic()))
    return not thread.is_alive()
