"""Lists of agents, page by page: one entry a deployment, ordered by name, version and digest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, total_ordering
from typing import Final, TypeAlias

from agentmesh.card_messages import card_from_json
from agentmesh.v1 import registry_service_pb2 as pb
from orchestrator_svc.api.page_tokens import PageTokens, not_a_token
from orchestrator_svc.api.times import timestamp
from orchestrator_svc.app.endpoint_status import EndpointStatus
from orchestrator_svc.app.ports.agent_store import Endpoint, Listing, Registration
from orchestrator_svc.core.card import Card
from orchestrator_svc.core.versions import Precedence, precedence

MAX_PAGE_BYTES: Final = 3 * 1024 * 1024
"""Clients take 4 MiB unless they were told otherwise. A single deployment that is larger is a page of its own."""

Statuses: TypeAlias = Mapping[Endpoint, EndpointStatus]
"""An endpoint that is not in it came a moment ago: nothing is said of how it does."""

_TOKENS: Final = PageTokens("agents")


@total_ordering
@dataclass(frozen=True)
class _HighestFirst:
    """Orders versions the other way round; those of equal precedence, which differ after a `+`, by their text."""

    version: str

    @cached_property
    def _key(self) -> tuple[Precedence, str]:
        return precedence(self.version), self.version

    def __lt__(self, other: _HighestFirst) -> bool:
        return other._key < self._key


_Place: TypeAlias = tuple[str, _HighestFirst, str]


@dataclass(frozen=True)
class Deployment:
    """The endpoints of an agent whose cards are equal."""

    card: Card
    registrations: tuple[Registration, ...]
    """Ordered by address."""

    @cached_property
    def place(self) -> _Place:
        return self.card.name, _HighestFirst(self.card.version), self.card.digest

    def message(self, statuses: Statuses) -> pb.RegisteredAgent:
        return pb.RegisteredAgent(
            card=card_from_json(self.card.source),
            card_digest=self.card.digest,
            endpoints=[endpoint_message(one, statuses) for one in self.registrations],
        )


def deployments_of(listing: Listing) -> tuple[Deployment, ...]:
    """Group what is listed, in the order of lists."""
    groups: dict[str, list[Registration]] = {}
    for registration in listing.registrations:
        groups.setdefault(registration.card.digest, []).append(registration)
    found = (Deployment(group[0].card, tuple(group)) for group in groups.values())
    return tuple(sorted(found, key=lambda deployment: deployment.place))


def page_of_agents(
    listing: Listing, request: pb.ListAgentsRequest, fingerprint: str, statuses: Statuses
) -> pb.ListAgentsResponse:
    """One page.

    Args:
        listing: Who is listed.
        request: Which page.
        fingerprint: Of the catalog that all of them make.
        statuses: How they do.

    Raises:
        RequestInvalid: The page token is none of this list.
    """
    after = _place_of(_TOKENS.position_of(request.page_token)) if request.page_token else None
    left = [one for one in deployments_of(listing) if after is None or one.place > after]
    return next(_pages(left, fingerprint, request.page_size or len(left), statuses))


def all_pages(
    deployments: Iterable[Deployment], fingerprint: str, statuses: Statuses
) -> Iterator[pb.ListAgentsResponse]:
    """Every page, as large as they may be; at least one."""
    left = list(deployments)
    return _pages(left, fingerprint, len(left), statuses)


def endpoint_message(registration: Registration, statuses: Statuses) -> pb.Endpoint:
    message = pb.Endpoint(
        address=registration.address,
        registered_at=timestamp(registration.registered_at),
        last_heartbeat_at=timestamp(registration.last_heartbeat_at),
        expires_at=timestamp(registration.expires_at),
    )
    if status := statuses.get(registration.endpoint):
        message.state = pb.EndpointState.Value(f"ENDPOINT_STATE_{status.state}")
        message.calls_in_flight = status.calls_in_flight
    return message


def _pages(
    deployments: list[Deployment], fingerprint: str, page_size: int, statuses: Statuses
) -> Iterator[pb.ListAgentsResponse]:
    page, size = pb.ListAgentsResponse(catalog_fingerprint=fingerprint), 0
    for index, deployment in enumerate(deployments):
        message = deployment.message(statuses)
        if page.agents and (len(page.agents) == page_size or size + message.ByteSize() > MAX_PAGE_BYTES):
            page.next_page_token = _TOKENS.token_of(_bytes_of(deployments[index - 1]))
            yield page
            page, size = pb.ListAgentsResponse(catalog_fingerprint=fingerprint), 0
        page.agents.append(message)
        size += message.ByteSize()
    yield page


def _bytes_of(deployment: Deployment) -> bytes:
    card = deployment.card
    return bytes.fromhex(card.digest) + f"{card.name} {card.version}".encode()


def _place_of(position: bytes) -> _Place:
    """Of a deployment that need not be listed any more."""
    try:
        name, version = position[32:].decode().split(" ")
        precedence(version)
    except ValueError:
        raise not_a_token() from None
    return name, _HighestFirst(version), position[:32].hex()
