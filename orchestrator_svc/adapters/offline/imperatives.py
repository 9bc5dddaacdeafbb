"""Orders to change something: only a skill that says so of itself does it, and only an order makes it do so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from agentmesh.cards import Effect
from orchestrator_svc.adapters.offline.skill_index import Evidence
from orchestrator_svc.adapters.offline.words import CHANGE_VERBS, NOUNS_AS_WELL, stem, words
from orchestrator_svc.core.catalog import Skill

_IMPERATIVE: Final = re.compile(
    r"[\s,]*(?:(?:and|then|also|now|just|please|kindly|go ahead and|try to|let's|(?:can|could|would|will) you"
    r"|i(?:'d| would) like(?: you)? to|i want(?: you)? to|i need(?: you)? to|you (?:should|must|have to))[\s,]+)*"
    r"(?P<verb>[a-z]+)"
    r"(?P<object>\s+(?:the|an?|its|their|his|her|my|our|all|any|every|each|me|us|it|them|this|that|these|those)\b|\s{2,})?",
    re.IGNORECASE,
)
"""The first verb of an order, and whether an object that is clearly one follows; a value taken out leaves a gap."""


def permitted(text: str, skills: Sequence[Skill]) -> Evidence:
    """1 for each skill that a request may mean, 0 for the others.

    `Restart it` is for a skill that names restarting in its name or description; for any other it is no request to
    look something up either. A skill with side effects needs such an order: `how do I restart it?` is none.

    Args:
        text: The request from its first word, values taken out.
        skills: Of the catalog, in its order.
    """
    match = _IMPERATIVE.match(text)
    verb = match["verb"].lower() if match else ""
    changes = verb in CHANGE_VERBS and not (verb in NOUNS_AS_WELL and not (match and match["object"]))
    allowed = [_names(skill, verb) if changes or skill.effect is Effect.SIDE_EFFECT else True for skill in skills]
    return np.array(allowed, dtype=np.float64)


def _names(skill: Skill, verb: str) -> bool:
    own = words(f"{skill.name.replace('_', ' ')} {skill.description}")
    return stem(verb) in {stem(word) for word in own}
