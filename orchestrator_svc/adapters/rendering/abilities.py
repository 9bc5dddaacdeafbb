"""What the mesh can do, for a question that no agent can answer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, islice
from typing import Final

from orchestrator_svc.adapters.rendering.clean import line
from orchestrator_svc.adapters.rendering.figures import NAME_CHARACTERS, and_more
from orchestrator_svc.core.catalog import Catalog, Skill

_MOST_SKILLS: Final = 15
_TEXT_CHARACTERS: Final = 200


def ability_lines(catalog: Catalog) -> Iterator[str]:
    """That nobody can answer, and what could be asked instead."""
    if not len(catalog):
        yield "No agent can answer this: none is there."
        return
    yield "No agent can answer this. What can be asked for here:"
    yield ""
    for agent, skills in groupby(islice(catalog.skills.values(), _MOST_SKILLS), key=lambda skill: skill.agent):
        of_agent = list(skills)
        yield f"- **{line(agent, NAME_CHARACTERS)}**{_described(of_agent[0].agent_description)}"
        yield from (
            f"  - {line(skill.name, NAME_CHARACTERS)}{_described(skill.description)}{_example(skill)}"
            for skill in of_agent
        )
    if len(catalog) > _MOST_SKILLS:
        yield f"- {and_more(len(catalog) - _MOST_SKILLS)}"


def _described(text: str) -> str:
    return f": {line(text, _TEXT_CHARACTERS)}" if text.strip() else ""


def _example(skill: Skill) -> str:
    return f' For example: "{line(skill.examples[0], _TEXT_CHARACTERS)}"' if skill.examples else ""
