"""`And for data_agent?`: asks again for what was asked before, with another value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.adapters.offline.filling import fill_from, literals
from orchestrator_svc.adapters.offline.skill_index import SkillIndex
from orchestrator_svc.adapters.offline.words import terms
from orchestrator_svc.core.catalog import Catalog
from orchestrator_svc.core.expressions import escape

_OPENING: Final = re.compile(
    r"\s*(?:and|or|but|then|what about|how about|(?:and |the )?same (?:again )?(?:for|with|in)|also|now)\b",
    re.IGNORECASE,
)


def is_follow_up(text: str) -> bool:
    """Whether a question that asks for nothing by itself may continue the one before it."""
    return _OPENING.match(text) is not None or not terms(text)


def again(steps: Sequence[JsonObject], text: str, catalog: Catalog, index: SkillIndex) -> list[JsonObject]:
    """The steps of the question before, once a skill, with the values of this one; those that take none are left out.

    Empty if the steps depended on each other: what a new value changes there is not clear enough.
    """
    if any(key in step for step in steps for key in ("when", "for_each", "depends_on")):
        return []
    found: dict[str, JsonObject] = {}
    skills = list(catalog.skills)
    for step in steps:
        identifier, arguments = str(step["skill"]), step["arguments"]
        known = index.arguments[skills.index(identifier)]
        skill = catalog.skills[identifier]
        values = literals(fill_from(index.mentions(text), known, skill), known, skill)
        if values and identifier not in found and isinstance(arguments, dict):
            escaped = {name: escape(value) for name, value in values.items()}
            found[identifier] = {**step, "arguments": {**arguments, **escaped}}
    return list(found.values())
