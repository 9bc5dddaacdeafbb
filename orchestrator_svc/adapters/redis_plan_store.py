"""Keeps plans in Redis or Valkey, for several orchestrators. The server bounds how much of it there is (maxmemory).

A cache must not cost what it saves: a server that does not answer within a quarter of a second is left alone for some
seconds, in which no plan is found and none is kept.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, cast

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from agentmesh.jsonvalues import JsonObject, canonical
from orchestrator_svc.app.ports.clock import Clock
from orchestrator_svc.app.ports.plan_store import StoredPlan

_PREFIX: Final = "agentmesh:plan:"
_REPLY_SECONDS: Final = 0.25
_LEFT_ALONE_SECONDS: Final = 5.0
MAX_PLAN_BYTES: Final = 256 * 1024
"""A larger plan is not kept."""

_log = structlog.get_logger(__name__)
_Value = TypeVar("_Value")


class RedisPlanStore:
    """Implements `PlanStore` over a server that many share.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        clock: For how long a server that fails is left alone.
    """

    def __init__(self, url: str, clock: Clock) -> None:
        self._redis: Redis = Redis.from_url(
            url,
            socket_connect_timeout=_REPLY_SECONDS,
            socket_timeout=_REPLY_SECONDS,
            retry=Retry(NoBackoff(), 1),  # a connection of before a restart is found broken when it is used
        )
        self._clock = clock
        self._left_alone_until = 0.0

    async def start(self) -> None:
        """Nothing: it connects when it is first asked."""

    async def close(self) -> None:
        """Leave the server."""
        await self._redis.aclose()

    async def get(self, key: str) -> StoredPlan | None:
        text = await self._tried(lambda: self._redis.get(_PREFIX + key))
        return None if text is None else _read(cast("bytes", text))

    async def put(self, key: str, stored: StoredPlan, ttl_seconds: float) -> None:
        text = canonical({"plan": stored.plan, "planner": stored.planner})
        if len(text) <= MAX_PLAN_BYTES:
            await self._tried(lambda: self._redis.set(_PREFIX + key, text, px=max(1, round(ttl_seconds * 1000))))

    async def _tried(self, command: Callable[[], Awaitable[_Value]]) -> _Value | None:
        """What the server answers; None while it is left alone."""
        if self._clock.monotonic() < self._left_alone_until:
            return None
        try:
            return await command()
        except (RedisError, OSError) as error:
            self._left_alone_until = self._clock.monotonic() + _LEFT_ALONE_SECONDS
            _log.warning("plans are not kept", seconds=_LEFT_ALONE_SECONDS, error=type(error).__name__)
            return None


def _read(text: bytes) -> StoredPlan | None:
    """What another version, or another program, wrote there is no plan."""
    try:
        value = json.loads(text)
        plan, planner = value["plan"], value["planner"]
    except (ValueError, KeyError, TypeError):
        return None
    return (
        StoredPlan(cast("JsonObject", plan), planner) if isinstance(plan, dict) and isinstance(planner, str) else None
    )
