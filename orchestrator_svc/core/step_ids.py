"""Ids of steps: what one may look like, and how one is made from the name of a skill."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from orchestrator_svc.core.expressions import RESERVED

MAX_STEP_ID_CHARACTERS: Final = 32
STEP_ID: Final = re.compile(rf"[a-z][a-z0-9_]{{0,{MAX_STEP_ID_CHARACTERS - 1}}}\Z")


def new_step_id(skill: str, taken: Collection[str]) -> str:
    """The name of the skill, cut to length; numbered when it is taken, or means something in expressions."""
    identifier = skill[:MAX_STEP_ID_CHARACTERS]
    number = 1 if identifier in RESERVED else 2
    while identifier in taken or identifier in RESERVED:
        suffix = f"_{number}"
        identifier = skill[: MAX_STEP_ID_CHARACTERS - len(suffix)] + suffix
        number += 1
    return identifier
