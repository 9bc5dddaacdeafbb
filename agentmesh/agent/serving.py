"""An agent as the main of a process: settings, logs, telemetry, event loop, signals, exit code."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Coroutine
from typing import Final

import structlog

from agentmesh.agent.membership import RegistrationRefused
from agentmesh.agent.running import BeforeDrain, Program, live
from agentmesh.agent.settings import Settings, read_settings
from agentmesh.env import EnvironmentInvalid
from agentmesh.event_loop import loop_factory
from agentmesh.listen import CannotListen
from agentmesh.telemetry.content import capture_content
from agentmesh.telemetry.logs import configure_logs
from agentmesh.telemetry.setup import Telemetry, set_up_telemetry
from agentmesh.transport import MeshServer, run_until_signal

_log: Final = structlog.get_logger(scope="agentmesh.agent")

_LEFTOVERS_SECONDS: Final = 2.0
"""How long a process that has drained waits for what skills left behind: threads, tasks that do not end."""


def serve_until_signal(program: Program) -> None:
    """Serve as the environment says until SIGTERM or SIGINT, then drain and return; a second signal ends it at once.

    Raises:
        SystemExit: With a text (the exit code is 1): the settings are wrong, the address cannot be listened on, or the
            orchestrator refuses the card.
    """
    name = program.card.name
    try:
        settings = read_settings(os.environ)
        configure_logs(level=settings.log_level)
        capture_content(captured=settings.capture_content)
        telemetry = set_up_telemetry(name, settings.telemetry, service_version=program.card.version)
        _run(_serve(program, settings), telemetry)
    except EnvironmentInvalid as error:
        raise SystemExit(
            "\n".join([f"agent {name}: the settings are wrong", *(f"  {p}" for p in error.problems)])
        ) from None
    except CannotListen as error:
        raise SystemExit(f"agent {name}: {error}") from None
    except RegistrationRefused as error:
        raise SystemExit(f"agent {name}: the orchestrator refuses it: {error}") from None


async def _serve(program: Program, settings: Settings) -> None:
    options = settings.options

    async def until_signal(server: MeshServer, before_drain: BeforeDrain) -> None:
        await run_until_signal(server, grace_seconds=options.grace_seconds, before_drain=before_drain)

    await live(program, options, until_signal)
    _log.info("ended", agent=program.card.name)


def _run(life: Coroutine[None, None, None], telemetry: Telemetry) -> None:
    """Run it to its end; what skills left behind holds the process up for 2 s at most, and telemetry as long."""
    watchdog: threading.Timer | None = None
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            code = 1
            try:
                runner.run(life)
                code = 0
            finally:  # leaving the runner waits for every task, and for the threads of the loop's executor
                telemetry.close()
                watchdog = threading.Timer(_LEFTOVERS_SECONDS, _exit, [code])
                watchdog.daemon = True
                watchdog.start()
    finally:
        if watchdog is not None:
            watchdog.cancel()


def _exit(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
