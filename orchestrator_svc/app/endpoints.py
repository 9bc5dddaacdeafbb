"""Endpoints: which of them a call goes to. Keeps what is known of each; sends nothing and runs no task.

Health (what the endpoint says of itself), silence (it does not even answer a question for its health) and ejection
(calls to it keep failing) all take an endpoint out of the choice. Only health is final: where every serving endpoint
is silent or ejected, these are called all the same, for there is nothing better.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Mapping
from itertools import chain, count
from typing import Final, TypeAlias

import structlog

from agentmesh.errors import NoEndpoint
from orchestrator_svc.app import metrics
from orchestrator_svc.app.endpoint_record import FAILURES_TO_EJECT, EndpointRecord
from orchestrator_svc.app.endpoint_status import EndpointState, EndpointStatus
from orchestrator_svc.app.ports.agent_store import AgentStore, Endpoint
from orchestrator_svc.app.ports.clock import Clock
from orchestrator_svc.core.catalog import Skill
from orchestrator_svc.core.deployments import Deployment, group

MAX_WAIT_SECONDS: Final = 5.0
"""How long a call that meets no endpoint waits for one: an agent that is restarted takes a few seconds."""

Draw: TypeAlias = Callable[[list[Endpoint], int], list[Endpoint]]

_log = structlog.get_logger(__name__)


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
        self._records: dict[Endpoint, EndpointRecord] = {}  # replaced as a whole: read in other threads
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
        return {endpoint: record.agent for endpoint, record in self._records.items()}

    def statuses(self) -> Mapping[Endpoint, EndpointStatus]:
        """How every endpoint that is listed does now."""
        self._refresh()
        now = self._clock.monotonic()
        return {one: record.status(now) for one, record in self._records.items()}

    def seen(self) -> Mapping[Endpoint, tuple[str, EndpointState]]:
        """Agent and state of every endpoint, as of the last look at the listing. Reads only, so in any thread."""
        now = self._clock.monotonic()
        return {one: (record.agent, record.status(now).state) for one, record in self._records.items()}

    async def follow(self) -> None:
        """Keep up with the listing until cancelled, so that whoever waits for a change hears of it.

        Metrics show the endpoints for as long.
        """
        with metrics.shown(self):
            while True:
                self._refresh()
                await self._store.changed(self._listed)

    async def changed(self, revision: int) -> None:
        """Return when the revision is another than this; at once if it is. Any number may wait; see `follow`."""
        while self.revision == revision:
            await self._change.wait()

    def is_healthy(self, endpoint: Endpoint) -> bool:
        """Whether it serves, as far as is known, and is not silent. An endpoint that is not listed is not healthy."""
        record = self._record_of(endpoint)
        return record is not None and record.healthy

    def pick(self, skill: Skill, tried: Collection[str] = ()) -> Endpoint | None:
        """Choose where a call of the skill goes: of two drawn by chance, to the one with fewer calls in flight.

        Between equals it is the one that was not picked for longer, so few calls are spread as evenly as many.

        Args:
            skill: As it was planned with: only endpoints are chosen whose schemas and effect are the same.
            tried: Addresses that this call was sent to before; they come last.

        Returns:
            None if no endpoint of the skill serves.
        """
        serving = [one for one in self._of(skill) if self._records[one].serving]
        usable = [one for one in serving if self._is_usable(one)]
        fresh = [one for one in usable if one.address not in tried]
        spare = [one for one in serving if one.address not in tried]
        # One failure says less of an endpoint that was tried than silence, or failures in a row, of one that was not.
        candidates = fresh or usable or spare or serving
        if not candidates:
            return None
        drawn = self._draw(candidates, min(2, len(candidates)))
        chosen = min(drawn, key=lambda one: (self._records[one].in_flight, self._records[one].picked))
        self._records[chosen].picked = next(self._picks)
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
        if record := self._record_of(endpoint):
            record.in_flight += 1

    def ended(self, endpoint: Endpoint) -> None:
        """A call that began there is over, however it ended."""
        if record := self._record_of(endpoint):
            # It may have left, and come back under its lease, while the call was there.
            record.in_flight = max(0, record.in_flight - 1)

    def answered(self, endpoint: Endpoint) -> None:
        """The endpoint has answered a call, be it with an error: what was held against it is forgotten."""
        if record := self._record_of(endpoint):
            record.forgive()

    def failed(self, endpoint: Endpoint, skill: Skill) -> None:
        """A call got no answer: there was no connection, it broke, or the deadline passed in silence.

        The fifth in a row ejects the endpoint, unless it is the last usable one of the skill.
        """
        record = self._record_of(endpoint)
        if record is None:
            return
        record.failures += 1
        if record.failures < FAILURES_TO_EJECT or not self.has_other(skill, endpoint):
            return
        seconds = record.eject(self._clock.monotonic())
        _log.warning("endpoint is ejected", agent=record.agent, address=endpoint.address, seconds=seconds)

    def has_other(self, skill: Skill, endpoint: Endpoint) -> bool:
        """Whether a call of the skill could go to another usable endpoint than this."""
        return any(self._is_usable(one) for one in self._of(skill) if one != endpoint)

    def report_health(self, endpoint: Endpoint, *, serving: bool) -> None:
        """What the endpoint says of itself; False also while there is no connection to ask it over."""
        record = self._record_of(endpoint)
        if record is not None and record.serving != serving:
            record.serving = serving
            _log.info("endpoint serves" if serving else "endpoint does not serve", **_names(record, endpoint))
            self._changed()

    def report_silence(self, endpoint: Endpoint, *, silent: bool) -> None:
        """Whether the endpoint leaves a question for its health without any answer."""
        record = self._record_of(endpoint)
        if record is not None and record.silent != silent:
            record.silent = silent
            _log.warning("endpoint is silent" if silent else "endpoint answers again", **_names(record, endpoint))
            self._changed()

    def _of(self, skill: Skill) -> list[Endpoint]:
        self._refresh()
        mine = self._by_agent.get(skill.agent, ())
        return list(chain.from_iterable(one.endpoints for one in mine if one.serves(skill)))

    def _record_of(self, endpoint: Endpoint) -> EndpointRecord | None:
        self._refresh()
        return self._records.get(endpoint)

    def _is_usable(self, endpoint: Endpoint) -> bool:
        return self._records[endpoint].is_usable(self._clock.monotonic())

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
        records: dict[Endpoint, EndpointRecord] = {}
        for deployment in self._deployments:
            name = deployment.card.name
            self._by_agent.setdefault(name, []).append(deployment)
            records |= {one: self._records.get(one) or EndpointRecord(name) for one in deployment.endpoints}
        self._records = records
        self._changed()

    def _changed(self) -> None:
        self._revision += 1
        self._change.set()
        self._change = asyncio.Event()


def _names(record: EndpointRecord, endpoint: Endpoint) -> Mapping[str, str]:
    return {"agent": record.agent, "address": endpoint.address}
