"""The life of a serving process: until a signal, then in two stages."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from agentmesh.errors import MeshError
from agentmesh.telemetry.failures import told
from agentmesh.transport.server import MeshServer

_BEFORE_DRAIN_SECONDS: Final = 5.0
_log = structlog.get_logger(scope="agentmesh.server")


async def run_until_signal(
    server: MeshServer,
    *,
    grace_seconds: float = 30.0,
    before_drain: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Return when the server has stopped after SIGTERM or SIGINT; a second signal stops it at once.

    Args:
        server: Started already.
        grace_seconds: How long calls in flight may go on.
        before_drain: Awaited first, at most 5 s, as to deregister; a MeshError is logged and changes nothing.
    """
    loop = asyncio.get_running_loop()
    first, second = asyncio.Event(), asyncio.Event()

    def received(name: str) -> None:
        _log.info("signal", signal=name, at_once=first.is_set())
        (second if first.is_set() else first).set()

    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, received, number.name)
    try:
        await first.wait()
        await _either(_drain(server, grace_seconds, before_drain), second.wait())
        await server.stop()
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


async def _drain(server: MeshServer, grace_seconds: float, before_drain: Callable[[], Awaitable[None]] | None) -> None:
    if before_drain is not None:
        try:
            async with asyncio.timeout(_BEFORE_DRAIN_SECONDS):
                await before_drain()
        except (MeshError, TimeoutError) as error:
            _log.warning("not in order before the end", **told(error))
    await server.drain(grace_seconds)


async def _either(work: Awaitable[object], interruption: Awaitable[object]) -> None:
    """Wait for the first of the two and cancel the other."""
    tasks = [asyncio.ensure_future(work), asyncio.ensure_future(interruption)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
