"""How leases are kept in Redis or Valkey: keys, and scripts that change several of them at once.

A key a lease and no document that two writers could overwrite. Every time is the server's, so the clocks of
orchestrators need not agree. The braces keep all keys in one slot of a cluster, as scripts require.

    agentmesh:{agents}:leases        sorted set   lease id by the moment that it ends, in ms since 1970
    agentmesh:{agents}:lease:ID      hash         address, card (its digest), ttl, registered, heartbeat (ms)
    agentmesh:{agents}:at:ADDRESS    string       id of the lease there
    agentmesh:{agents}:card:DIGEST   string       the card as JSON; outlives the last lease that names it by a minute
    agentmesh:{agents}:changes       channel      a message for each change of who is listed
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from redis.asyncio import Redis

from agentmesh.errors import CardInvalid
from agentmesh.jsonvalues import JsonObject, canonical
from orchestrator_svc.app import metrics
from orchestrator_svc.app.metrics import Change
from orchestrator_svc.core.card import Card, read_card

_Reply: TypeAlias = "list[str | int]"

_PREFIX: Final = "agentmesh:{agents}:"
CHANGES: Final = f"{_PREFIX}changes"
_LEASES: Final = f"{_PREFIX}leases"
_LEASE: Final = f"{_PREFIX}lease:"
_AT: Final = f"{_PREFIX}at:"
_CARD: Final = f"{_PREFIX}card:"
_CARD_LINGERS_MS: Final = 60_000

_NOW: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# KEYS: leases, lease, at, card. ARGV: id, address, digest, card, ttl, what a card lingers, prefix of leases, channel.
_PUT: Final = (
    _NOW
    + """
local ttl = tonumber(ARGV[5])
local earlier = redis.call('GET', KEYS[3])
if earlier then
    redis.call('ZREM', KEYS[1], earlier)
    redis.call('DEL', ARGV[7] .. earlier)
end
redis.call('HSET', KEYS[2], 'address', ARGV[2], 'card', ARGV[3], 'ttl', ttl, 'registered', now, 'heartbeat', now)
redis.call('PEXPIRE', KEYS[2], ttl)
redis.call('SET', KEYS[3], ARGV[1], 'PX', ttl)
local lives = math.max(redis.call('PTTL', KEYS[4]), ttl + ARGV[6])
redis.call('SET', KEYS[4], ARGV[4], 'PX', lives)
redis.call('ZADD', KEYS[1], now + ttl, ARGV[1])
redis.call('PUBLISH', ARGV[8], 'put')
return {now, ARGV[1], now + ttl, ARGV[2], ARGV[3], ttl, now, now}
"""
)

# KEYS: leases, lease. ARGV: id, prefix of addresses, prefix of cards, what a card lingers.
_RENEW: Final = (
    _NOW
    + """
local lease = redis.call('HMGET', KEYS[2], 'address', 'card', 'ttl', 'registered')
if not lease[1] then
    return false
end
local ttl = tonumber(lease[3])
redis.call('HSET', KEYS[2], 'heartbeat', now)
redis.call('PEXPIRE', KEYS[2], ttl)
redis.call('PEXPIRE', ARGV[2] .. lease[1], ttl)
local card = ARGV[3] .. lease[2]
redis.call('PEXPIRE', card, math.max(redis.call('PTTL', card), ttl + ARGV[4]))
redis.call('ZADD', KEYS[1], now + ttl, ARGV[1])
return {now, ARGV[1], now + ttl, lease[1], lease[2], ttl, tonumber(lease[4]), now}
"""
)

# KEYS: leases, lease. ARGV: id, prefix of addresses, channel.
_REMOVE: Final = """
local address = redis.call('HGET', KEYS[2], 'address')
if not address then
    return 0
end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
if redis.call('GET', ARGV[2] .. address) == ARGV[1] then
    redis.call('DEL', ARGV[2] .. address)
end
redis.call('PUBLISH', ARGV[3], 'removed')
return 1
"""

# KEYS: leases. ARGV: prefix of leases.
_LIST: Final = (
    _NOW
    + """
local ended = redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local found = {ended, now}
local ends = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 1, #ends, 2 do
    local lease = redis.call('HMGET', ARGV[1] .. ends[i], 'address', 'card', 'ttl', 'registered', 'heartbeat')
    if lease[1] then
        table.insert(found, ends[i])
        table.insert(found, tonumber(ends[i + 1]))
        table.insert(found, lease[1])
        table.insert(found, lease[2])
        for field = 3, 5 do
            table.insert(found, tonumber(lease[field]))
        end
    end
end
return found
"""
)
_FIELDS: Final = 7


@dataclass(frozen=True, slots=True)
class StoredLease:
    """A lease as the server holds it; times in ms since 1970, by its clock."""

    lease_id: str
    ends: int
    address: str
    card_digest: str
    ttl: int
    registered: int
    heartbeat: int


class RedisLeases:
    """The commands. Raises what the client raises: RedisError, OSError, TimeoutError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._put = redis.register_script(_PUT)
        self._renew = redis.register_script(_RENEW)
        self._remove = redis.register_script(_REMOVE)
        self._list = redis.register_script(_LIST)

    async def put(
        self, lease_id: str, address: str, card_digest: str, card: JsonObject, ttl: int
    ) -> tuple[int, StoredLease]:
        """Add a lease in place of what is at its address; returns the server's time and what it holds now."""
        keys = [_LEASES, _LEASE + lease_id, _AT + address, _CARD + card_digest]
        values: list[str | bytes | int] = [
            lease_id,
            address,
            card_digest,
            canonical(card),
            ttl,
            _CARD_LINGERS_MS,
            _LEASE,
            CHANGES,
        ]
        now, leases = _now_and_leases(await self._put(keys=keys, args=values))
        return now, leases[0]

    async def renew(self, lease_id: str) -> tuple[int, StoredLease] | None:
        """Prolong a lease by its ttl; None if there is none."""
        keys = [_LEASES, _LEASE + lease_id]
        reply: _Reply | None = await self._renew(keys=keys, args=[lease_id, _AT, _CARD, _CARD_LINGERS_MS])
        if not reply:
            return None
        now, leases = _now_and_leases(reply)
        return now, leases[0]

    async def remove(self, lease_id: str) -> bool:
        """End a lease; False if there is none, and nothing happens."""
        reply: int = await self._remove(keys=[_LEASES, _LEASE + lease_id], args=[lease_id, _AT, CHANGES])
        return reply > 0

    async def all(self) -> tuple[int, list[StoredLease]]:
        """The server's time, and every lease that has not ended."""
        reply: _Reply = await self._list(keys=[_LEASES], args=[_LEASE])
        ended, *found = reply
        metrics.registry_changed(Change.EXPIRED, int(ended))  # of those who share the server, only one sees them end
        return _now_and_leases(found)

    async def cards(self, digests: Collection[str]) -> dict[str, Card]:
        """The cards with these digests, without those that are not there or cannot be read."""
        wanted = list(digests)
        texts = await self._redis.mget([_CARD + digest for digest in wanted]) if wanted else []
        # Large ones take some 10 ms, and there may be many.
        cards = await asyncio.to_thread(lambda: [_card(text) for text in texts])
        return {digest: card for digest, card in zip(wanted, cards, strict=True) if card and card.digest == digest}


def _card(text: object) -> Card | None:
    """The card as an orchestrator wrote it, perhaps one of another version."""
    try:
        return read_card(json.loads(text)) if isinstance(text, str) else None
    except (CardInvalid, KeyError, TypeError, ValueError):
        return None


def _now_and_leases(reply: _Reply) -> tuple[int, list[StoredLease]]:
    now, *fields = reply
    return int(now), list(_leases(fields))


def _leases(fields: _Reply) -> Iterator[StoredLease]:
    for start in range(0, len(fields), _FIELDS):
        lease_id, ends, address, digest, ttl, registered, heartbeat = fields[start : start + _FIELDS]
        yield StoredLease(
            str(lease_id), int(ends), str(address), str(digest), int(ttl), int(registered), int(heartbeat)
        )
