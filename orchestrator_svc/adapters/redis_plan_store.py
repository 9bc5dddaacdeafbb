"""Keeps plans in Redis or Valkey, for several orchestrators.

A cache must not cost what it saves: a server that does not answer within a quarter of a second is left alone for some
seconds, in which no plan is found and none is kept. And it must not take the room of the registrations, which the same
server keeps: plans are counted, and the next that would end make room.

    agentmesh:{plans}:plan:KEY   string       the plan as JSON
    agentmesh:{plans}:ends       sorted set   KEY by the moment that its plan ends, in ms since 1970
    agentmesh:{plans}:sizes      hash         bytes of the plan by KEY
    agentmesh:{plans}:bytes      string       their sum
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

_KEYS: Final = ("agentmesh:{plans}:ends", "agentmesh:{plans}:sizes", "agentmesh:{plans}:bytes")
_PREFIX: Final = "agentmesh:{plans}:plan:"
_REPLY_SECONDS: Final = 0.25
_LEFT_ALONE_SECONDS: Final = 5.0
MAX_PLAN_BYTES: Final = 256 * 1024
"""A larger plan is not kept."""

# KEYS: ends, sizes, bytes. ARGV: key, plan, ttl in ms, most bytes, prefix of plans. What has ended by itself is counted
# until the next plan comes.
_PUT: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local bytes = tonumber(redis.call('GET', KEYS[3]) or '0')
local function forget(key)
    bytes = bytes - tonumber(redis.call('HGET', KEYS[2], key) or '0')
    redis.call('HDEL', KEYS[2], key)
    redis.call('ZREM', KEYS[1], key)
    redis.call('DEL', ARGV[5] .. key)
end
for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
    forget(key)
end
forget(ARGV[1])
local size = #ARGV[2]
while bytes + size > tonumber(ARGV[4]) do
    local next = redis.call('ZRANGE', KEYS[1], 0, 0)
    if #next == 0 then break end
    forget(next[1])
end
redis.call('SET', ARGV[5] .. ARGV[1], ARGV[2], 'PX', ARGV[3])
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], size)
redis.call('SET', KEYS[3], bytes + size)
"""

_log = structlog.get_logger(__name__)
_Value = TypeVar("_Value")


class RedisPlanStore:
    """Implements `PlanStore` over a server that many share.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        max_bytes: Of all plans, as JSON.
        clock: For how long a server that fails is left alone.
    """

    def __init__(self, url: str, max_bytes: int, clock: Clock) -> None:
        self._redis: Redis = Redis.from_url(
            url,
            socket_connect_timeout=_REPLY_SECONDS,
            socket_timeout=_REPLY_SECONDS,
            retry=Retry(NoBackoff(), 1),  # a connection of before a restart is found broken when it is used
        )
        self._put = self._redis.register_script(_PUT)
        self._max_bytes = max_bytes
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
        if len(text) <= min(MAX_PLAN_BYTES, self._max_bytes):
            arguments = (key, text, max(1, round(ttl_seconds * 1000)), self._max_bytes, _PREFIX)
            await self._tried(lambda: self._put(keys=_KEYS, args=arguments))

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
