"""Endpoints: which of them a call goes to. Keeps what is known of each; sends nothing and runs no task.

Health (what the endpoint says of itself), silence (it does not even answer a question for its health) and ejection
(calls to it keep failing) all take an endpoint out of the choice. Only health is final: where every serving endpoint
is silent or ejected, these are called all the same, for there is nothing better.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import chain, count
from typing import Final, TypeAlias

import structlog

from agentmesh.errors import NoEndpoint
from orchestrator_svc.app.endpoint_status import EndpointState, EndpointStatus
from orchestrator_svc.app.ports.agent_store import AgentStore, Endpoint
from orchestrator_svc.app.ports.clock import Clock
from orchestrator_svc.core.catalog import Skill
from orchestrator_svc.core.deployments import Deployment, group

FAILURES_TO_EJECT: Final = 5
"""In a row, without an answer between them."""
EJECT_SECONDS: Final = 10.0
"""For the first time; doubles with every further one until a call is answered."""
MAX_EJECT_SECONDS: Final = 300.0
MAX_WAIT_SECONDS: Final = 5.0
"""How long a call that meets no endpoint waits for one: an agent that is restarted takes a few seconds."""

Draw: TypeAlias = Callable[[list[Endpoint], int], list[Endpoint]]

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _State:
    """What is known of one endpoint."""

    agent: str
    serving: bool = True
    """An endpoint is listed after it has said that it serves, so it does until it says otherwise."""
    silent: bool = False
    in_flight: int = 0
    picked: int = 0
    """When it was picked last, counted in picks; 0: never."""
    failures: int = 0
    """In a row."""
    ejections: int = 0
    """Since it last answered."""
    ejected_until: float = 0.0
    """On the monotonic clock."""

    @property
    def healthy(self) -> bool:
        return self.serving and not self.silent


class Endpoints:
    """The endpoints that are listed, and where calls go.

    Args:
        store: Says who is listed.
        clock: Times ejections.
        draw: Gives so many different ones by chance.
    """

    def __init__(self, store: AgentStore, clock: Clock, draw: Draw = random.sample) -> None:
        self._store = store
        self._clock = clock
        self._draw = draw
        self._states: dict[Endpoint, _State] = {}
        self._deployments: tuple[Deployment[Endpoint], ...] = ()
        self._by_agent: dict[str, list[Deployment[Endpoint]]] = {}
        self._listed = -1  # revision of the listing that was seen last
        self._revision = 0
        self._change = asyncio.Event()
        self._picks = count(1)

    @property
    def revision(self) -> int:
        """Grows when an endpoint comes or goes, or its health changes."""
        self._refresh()
        return self._revision

    @property
    def deployments(self) -> tuple[Deployment[Endpoint], ...]:
        """In the order of `core.deployments.group`."""
        self._refresh()
        return self._deployments

    def listed(self) -> Mapping[Endpoint, str]:
        """Every endpoint that is listed, with the name of its agent."""
        self._refresh()
        return {endpoint: state.agent for endpoint, state in self._states.items()}

    def statuses(self) -> Mapping[Endpoint, EndpointStatus]:
        """How every endpoint that is listed does now."""
        self._refresh()
        return {one: EndpointStatus(self._state_name(one), state.in_flight) for one, state in self._states.items()}

    async def follow(self) -> None:
        """Keep up with the listing until cancelled, so that whoever waits for a change hears of it."""
        while True:
            self._refresh()
            await self._store.changed(self._listed)

    async def changed(self, revision: int) -> None:
        """Return when the revision is another than this; at once if it is. Any number may wait; see `follow`."""
        while self.revision == revision:
            await self._change.wait()

    def is_healthy(self, endpoint: Endpoint) -> bool:
        """Whether it serves, as far as is known, and is not silent. An endpoint that is not listed is not healthy."""
        state = self._state_of(endpoint)
        return state is not None and state.healthy

    def pick(self, skill: Skill, tried: Collection[str] = ()) -> Endpoint | None:
        """Choose where a call of the skill goes: of two drawn by chance, to the one with fewer calls in flight.

        Between equals it is the one that was not picked for longer, so few calls are spread as evenly as many.

        Args:
            skill: As it was planned with: only endpoints are chosen whose schemas and effect are the same.
            tried: Addresses that this call was sent to before; they come last.

        Returns:
            None if no endpoint of the skill serves.
        """
        serving = [one for one in self._of(skill) if self._states[one].serving]
        usable = [one for one in serving if self._is_usable(one)]
        fresh = [one for one in usable if one.address not in tried]
        spare = [one for one in serving if one.address not in tried]
        # One failure says less of an endpoint that was tried than silence, or failures in a row, of one that was not.
        candidates = fresh or usable or spare or serving
        if not candidates:
            return None
        drawn = self._draw(candidates, min(2, len(candidates)))
        chosen = min(drawn, key=lambda one: (self._states[one].in_flight, self._states[one].picked))
        self._states[chosen].picked = next(self._picks)
        return chosen

    async def wait_for(self, skill: Skill, tried: Collection[str], seconds: float) -> Endpoint:
        """Choose as `pick` does, and wait for an endpoint where there is none.

        Raises:
            NoEndpoint: There is none after so many seconds.
        """
        try:
            async with asyncio.timeout(seconds):
                while (endpoint := self.pick(skill, tried)) is None:
                    await self.changed(self._revision)
                return endpoint
        except TimeoutError:
            raise NoEndpoint(self._why_none(skill)) from None

    def began(self, endpoint: Endpoint) -> None:
        """A call is sent there; `ended` must follow."""
        if state := self._state_of(endpoint):
            state.in_flight += 1

    def ended(self, endpoint: Endpoint) -> None:
        """A call that began there is over, however it ended."""
        if state := self._state_of(endpoint):
            # It may have left, and come back under its lease, while the call was there.
            state.in_flight = max(0, state.in_flight - 1)

    def answered(self, endpoint: Endpoint) -> None:
        """The endpoint has answered a call, be it with an error: what was held against it is forgotten."""
        if state := self._state_of(endpoint):
            state.failures = state.ejections = 0
            state.ejected_until = 0.0

    def failed(self, endpoint: Endpoint, skill: Skill) -> None:
        """A call got no answer: there was no connection, it broke, or the deadline passed in silence.

        The fifth in a row ejects the endpoint, unless it is the last usable one of the skill.
        """
        state = self._state_of(endpoint)
        if state is None:
            return
        state.failures += 1
        if state.failures < FAILURES_TO_EJECT or not self.has_other(skill, endpoint):
            return
        seconds = min(EJECT_SECONDS * 2.0**state.ejections, MAX_EJECT_SECONDS)
        state.ejected_until = self._clock.monotonic() + seconds
        state.ejections += 1
        state.failures = 0
        _log.warning("endpoint is ejected", agent=state.agent, address=endpoint.address, seconds=seconds)

    def has_other(self, skill: Skill, endpoint: Endpoint) -> bool:
        """Whether a call of the skill could go to another usable endpoint than this."""
        return any(self._is_usable(one) for one in self._of(skill) if one != endpoint)

    def report_health(self, endpoint: Endpoint, *, serving: bool) -> None:
        """What the endpoint says of itself; False also while there is no connection to ask it over."""
        state = self._state_of(endpoint)
        if state is not None and state.serving != serving:
            state.serving = serving
            _log.info("endpoint serves" if serving else "endpoint does not serve", **_names(state, endpoint))
            self._changed()

    def report_silence(self, endpoint: Endpoint, *, silent: bool) -> None:
        """Whether the endpoint leaves a question for its health without any answer."""
        state = self._state_of(endpoint)
        if state is not None and state.silent != silent:
            state.silent = silent
            _log.warning("endpoint is silent" if silent else "endpoint answers again", **_names(state, endpoint))
            self._changed()

    def _of(self, skill: Skill) -> list[Endpoint]:
        self._refresh()
        mine = self._by_agent.get(skill.agent, ())
        return list(chain.from_iterable(one.endpoints for one in mine if one.serves(skill)))

    def _state_of(self, endpoint: Endpoint) -> _State | None:
        self._refresh()
        return self._states.get(endpoint)

    def _is_usable(self, endpoint: Endpoint) -> bool:
        state = self._states[endpoint]
        return state.healthy and state.ejected_until <= self._clock.monotonic()

    def _state_name(self, endpoint: Endpoint) -> EndpointState:
        state = self._states[endpoint]
        if not state.serving:
            return EndpointState.NOT_SERVING
        if state.silent:
            return EndpointState.SILENT
        return EndpointState.SERVING if self._is_usable(endpoint) else EndpointState.EJECTED

    def _why_none(self, skill: Skill) -> str:
        found = len(self._of(skill))
        if found:
            return f"none of the endpoints of `{skill.agent}` serves just now ({found} listed)"
        if skill.agent in self._by_agent:
            return f"no endpoint of `{skill.agent}` has `{skill.name}` just now as it was planned with"
        return f"no endpoint of `{skill.agent}` is known just now"

    def _refresh(self) -> None:
        listing = self._store.listing()
        if listing.revision == self._listed:
            return
        self._listed = listing.revision
        self._deployments = group((one.card, one.endpoint) for one in listing.registrations)
        self._by_agent = {}
        states: dict[Endpoint, _State] = {}
        for deployment in self._deployments:
            name = deployment.card.name
            self._by_agent.setdefault(name, []).append(deployment)
            states |= {one: self._states.get(one) or _State(name) for one in deployment.endpoints}
        self._states = states
        self._changed()

    def _changed(self) -> None:
        self._revision += 1
        self._change.set()
        self._change = asyncio.Event()


def _names(state: _State, endpoint: Endpoint) -> Mapping[str, str]:
    return {"agent": state.agent, "address": endpoint.address}
