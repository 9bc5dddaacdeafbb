"""What a version promises: the contract of a skill stays while endpoints with that version are listed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agentmesh.errors import Violation, ViolationReason
from agentmesh.jsonvalues import digest
from orchestrator_svc.core.card import Card
from orchestrator_svc.core.catalog import Skill


def contract_changes(card: Card, listed: Iterable[Card]) -> tuple[Violation, ...]:
    """Return where the card gives a skill other schemas or another effect than a listed card of the same version.

    Texts may differ, and skills may come and go: neither changes what a call means.
    """
    same_version = {other.digest: other for other in listed if (other.name, other.version) == (card.name, card.version)}
    same_version.pop(card.digest, None)
    known = {skill.name: skill for other in same_version.values() for skill in other.skills}
    return tuple(
        violation
        for index, skill in enumerate(card.skills)
        if skill.name in known
        for violation in _differences(f"card.skills[{index}]", skill, known[skill.name])
    )


def _differences(path: str, skill: Skill, known: Skill) -> Iterator[Violation]:
    if skill.digest == known.digest:
        return
    for field in ("input_schema", "output_schema", "effect"):
        if digest(getattr(skill, field)) != digest(getattr(known, field)):  # in Python, 1 and true are equal
            message = f"`{skill.id}` is listed with another {field} under version {skill.agent_version}"
            yield Violation(f"{path}.{field}", ViolationReason.SKILL_CHANGED, message)
