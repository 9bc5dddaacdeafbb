"""`python -m orchestrator_svc`: serves until SIGTERM or SIGINT, then drains. A second signal stops at once."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import sys

import structlog

from agentmesh.event_loop import loop_factory
from agentmesh.grpc_core_log import silence
from agentmesh.listen import CannotListen
from agentmesh.telemetry.content import capture_content
from agentmesh.telemetry.logs import configure_logs
from agentmesh.telemetry.setup import set_up_telemetry
from orchestrator_svc.config import ConfigInvalid, LoadedConfig, read_config

_log = structlog.get_logger("orchestrator_svc")


async def _serve(loaded: LoadedConfig) -> None:
    from agentmesh.transport import run_until_signal  # noqa: PLC0415 - after `silence`
    from orchestrator_svc.bootstrap import build  # noqa: PLC0415

    config = loaded.config
    orchestrator = build(config)
    await orchestrator.start()
    _log.info(
        "orchestrator is listening",
        address=orchestrator.server.address,
        http=orchestrator.http.address if orchestrator.http else "off",
        planner=", ".join(config.llm_models) if config.llm_configured else "offline",
    )
    for warning in loaded.warnings:
        _log.warning(warning)
    await run_until_signal(
        orchestrator.server, grace_seconds=config.drain_seconds, before_drain=orchestrator.before_drain
    )
    await orchestrator.close()


def main() -> int:
    """Run the orchestrator; 0 after a drain, 2 for a configuration that cannot be used, 1 if it cannot listen."""
    try:
        loaded = read_config(os.environ)
    except ConfigInvalid as invalid:
        sys.stderr.write(f"the configuration cannot be used:\n{invalid}\n")
        return 2
    silence(os.environ)
    configure_logs(level=loaded.config.log_level)
    capture_content(captured=loaded.config.capture_content)
    version = importlib.metadata.version("agentmesh")
    telemetry = set_up_telemetry("orchestrator", loaded.telemetry, service_version=version)
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            try:
                runner.run(_serve(loaded))
            finally:  # before the runner is left, which waits for threads
                telemetry.close()
    except CannotListen as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
