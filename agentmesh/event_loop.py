"""The event loop of servers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """For `asyncio.Runner`: uvloop, or None (asyncio's own) where uvloop does not exist, which is on Windows."""
    try:
        import uvloop  # noqa: PLC0415 - may not be there
    except ImportError:
        return None
    return uvloop.new_event_loop
