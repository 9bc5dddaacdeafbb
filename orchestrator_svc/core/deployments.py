"""Deployments: the endpoints of an agent whose cards are equal, and what a catalog shows of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Generic, TypeVar

from orchestrator_svc.core.card import Card
from orchestrator_svc.core.catalog import Skill
from orchestrator_svc.core.versions import precedence

E = TypeVar("E")
"""Whatever stands for an endpoint."""


@dataclass(frozen=True)
class Deployment(Generic[E]):
    """Endpoints that have equal cards, in the order in which they were given."""

    card: Card
    endpoints: tuple[E, ...]

    @cached_property
    def by_name(self) -> Mapping[str, Skill]:
        """The skills of the card by their names, which are without the agent's."""
        return MappingProxyType({skill.name: skill for skill in self.card.skills})

    def serves(self, skill: Skill) -> bool:
        """Whether a call that was planned with this skill can be answered here: it has the same schemas and effect."""
        own = self.by_name.get(skill.name) if skill.agent == self.card.name else None
        return own is not None and own.digest == skill.digest


def group(endpoints: Iterable[tuple[Card, E]]) -> tuple[Deployment[E], ...]:
    """Return the deployments that the endpoints make, ordered by agent, version (highest first) and card digest."""
    cards: dict[str, Card] = {}
    members: dict[str, list[E]] = {}
    for card, endpoint in endpoints:
        cards.setdefault(card.digest, card)
        members.setdefault(card.digest, []).append(endpoint)
    found = [Deployment(card, tuple(members[digest])) for digest, card in cards.items()]
    found.sort(key=lambda one: one.card.digest)
    found.sort(key=lambda one: precedence(one.card.version), reverse=True)
    found.sort(key=lambda one: one.card.name)
    return tuple(found)


def skills_shown(deployments: Iterable[Deployment[E]], usable: Callable[[E], bool]) -> dict[str, Skill]:
    """Return the skills of a catalog by their ids.

    Of several deployments that have a skill, the one with the highest version is shown that has a usable endpoint; if
    none has, the one with the highest version. Different skills of an agent may so come from different versions.

    Args:
        deployments: In the order of `group`.
        usable: Whether a call would be sent to the endpoint now.
    """
    shown: dict[str, Skill] = {}
    fallback: dict[str, Skill] = {}
    for deployment in deployments:
        found = shown if any(map(usable, deployment.endpoints)) else fallback
        for skill in deployment.card.skills:
            found.setdefault(skill.id, skill)
    return fallback | shown
