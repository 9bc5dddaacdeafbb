"""Keeps an endpoint listed: registers, heartbeats, registers again when the lease is gone, never gives up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, NoReturn

import structlog

from agentmesh import errors
from agentmesh.v1 import card_pb2, registry_service_pb2, registry_service_pb2_grpc

_log: Final = structlog.get_logger(scope="agentmesh.agent")

_FIRST_DELAY_SECONDS: Final = 0.1
_LONGEST_DELAY_SECONDS: Final = 5.0
_REGISTER_TIMEOUT_SECONDS: Final = 10.0
"""The orchestrator dials back before it answers."""
_HEARTBEAT_TIMEOUT_SECONDS: Final = 5.0
_DEREGISTER_TIMEOUT_SECONDS: Final = 2.0
_REFUSALS: Final = (
    errors.CardInvalid,
    errors.RequestInvalid,
    errors.RequestMalformed,
    errors.FieldNotSupported,
    errors.AddressNotAllowed,
)
"""A registration that is answered so will always be."""


class RegistrationRefused(Exception):
    """The orchestrator refuses this agent for good; the text has every violation."""

    def __init__(self, refusal: errors.MeshError) -> None:
        lines = [refusal.message, *(f"  {v.path}: {v.message}" for v in refusal.violations)]
        super().__init__("\n".join(lines))
        self.violations = refusal.violations


@dataclass(frozen=True, slots=True)
class _Lease:
    id: str
    heartbeat_seconds: float


class Membership:
    """One endpoint in one registry."""

    def __init__(
        self,
        registry: registry_service_pb2_grpc.RegistryAsyncStub,
        *,
        card: card_pb2.AgentCard,
        address: str,
        ttl_seconds: float | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            registry: Its methods raise MeshError.
            card: Of the agent.
            address: Where the orchestrator reaches it.
            ttl_seconds: Of the lease; None: the registry's default.
            sleep: Waits for so many seconds.
            jitter: Gives 0 to 1.
        """
        self._registry = registry
        self._request = registry_service_pb2.RegisterRequest(card=card, address=address)
        if ttl_seconds is not None:
            self._request.ttl.FromNanoseconds(round(ttl_seconds * 1e9))
        self._sleep = sleep
        self._jitter = jitter
        self._lease: _Lease | None = None
        self._state = ""
        self.registered: Final = asyncio.Event()
        """Set while the endpoint has a lease, as far as this side knows."""

    async def keep(self) -> NoReturn:
        """Stay listed until cancelled.

        Raises:
            RegistrationRefused: If the registry calls the card or the address invalid.
        """
        while True:
            self._lease = await self._register()
            self.registered.set()
            await self._heartbeat(self._lease)
            self._lease = None
            self.registered.clear()

    async def leave(self) -> None:
        """Give the lease back, if there is one. A registry that cannot be reached will see it expire."""
        if self._lease is None:
            return
        lease, self._lease = self._lease, None
        self.registered.clear()
        try:
            await self._registry.Deregister(
                registry_service_pb2.DeregisterRequest(lease_id=lease.id), timeout=_DEREGISTER_TIMEOUT_SECONDS
            )
        except errors.MeshError as error:
            self._enter("not_deregistered", error)
        else:
            self._enter("deregistered")

    async def _register(self) -> _Lease:
        failures = 0
        while True:
            try:
                lease = await self._register_once()
            except _REFUSALS as error:
                raise RegistrationRefused(error) from error
            except errors.MeshError as error:
                self._enter("not_registered", error)
                await self._sleep(self._delay(failures, error))
                failures += 1
            else:
                self._enter("registered")
                return lease

    async def _register_once(self) -> _Lease:
        call = asyncio.ensure_future(self._send_register())
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            # The registry may have listed us already; without its answer the lease could not be given back.
            await asyncio.wait({call}, timeout=_DEREGISTER_TIMEOUT_SECONDS)
            if call.done() and not call.cancelled() and call.exception() is None:
                self._lease = call.result()
            raise
        finally:
            call.cancel()

    async def _send_register(self) -> _Lease:
        response = await self._registry.Register(self._request, timeout=_REGISTER_TIMEOUT_SECONDS)
        seconds = response.heartbeat_interval.ToNanoseconds() / 1e9
        return _Lease(response.lease_id, seconds if seconds > 0 else _LONGEST_DELAY_SECONDS)

    async def _heartbeat(self, lease: _Lease) -> None:
        """Return when the lease is gone."""
        request = registry_service_pb2.HeartbeatRequest(lease_id=lease.id)
        failures = 0
        delay = lease.heartbeat_seconds
        while True:
            await self._sleep(delay)
            try:
                await self._registry.Heartbeat(request, timeout=_HEARTBEAT_TIMEOUT_SECONDS)
            except errors.LeaseNotFound as error:
                self._enter("lease_lost", error)
                return
            except errors.MeshError as error:
                self._enter("heartbeat_failed", error)
                delay = min(lease.heartbeat_seconds, self._delay(failures, error))
                failures += 1
            else:
                self._enter("registered")
                failures = 0
                delay = lease.heartbeat_seconds

    def _delay(self, failures: int, error: errors.MeshError) -> float:
        """Doubles with every failure up to 5 s; half of it is left to chance, so that agents do not come in step."""
        longest: float = min(_LONGEST_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2 ** min(failures, 16))
        return max(longest * (0.5 + 0.5 * self._jitter()), error.retry_after_seconds or 0.0)

    def _enter(self, state: str, error: errors.MeshError | None = None) -> None:
        """Log a change of state once, however often it is entered again."""
        if state == self._state:
            return
        self._state = state
        if error is None:
            _log.info(state, agent=self._request.card.name, address=self._request.address)
        else:
            _log.warning(
                state,
                agent=self._request.card.name,
                address=self._request.address,
                error=type(error).__name__,
                detail=error.message,  # of the registry, which is told nothing but the card and the address
            )
