"""Reads the questions and the catalogs that they are asked of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import yaml

from agentmesh.cards import Effect
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.core.catalog import Catalog, Skill

_HERE: Final = Path(__file__).parent
QUESTIONS: Final = _HERE / "questions.yaml"
HELD_OUT: Final = _HERE / "held_out.yaml"
"""Measures alone: nothing is set or chosen with it."""


@dataclass(frozen=True)
class ExpectedStep:
    """One step that the plan of a question should have; questions.yaml says what the fields mean."""

    skill: str
    needs: frozenset[str]
    when: bool | None
    """None: either."""
    for_each: bool
    arguments: JsonObject


@dataclass(frozen=True)
class RoutingQuestion:
    """A question and the plan that it should become."""

    number: int
    text: str
    kind: str
    """single, parallel, sequential or none."""
    catalog: str
    steps: Mapping[str, ExpectedStep]

    @property
    def measures(self) -> bool:
        """Even questions measure, odd ones set thresholds."""
        return self.number % 2 == 0


def load_questions(file: Path = QUESTIONS) -> tuple[RoutingQuestion, ...]:
    """Every question of a file, by number."""
    intents = yaml.safe_load(file.read_text())
    questions = [
        RoutingQuestion(
            number=number,
            text=text,
            kind=intent["class"],
            catalog=intent["catalog"],
            steps={name: _step(step) for name, step in intent["steps"].items()},
        )
        for intent in intents
        for number, text in intent["ask"].items()
    ]
    return tuple(sorted(questions, key=lambda question: question.number))


@cache
def load_catalog(name: str) -> Catalog:
    """The catalog of that name from `catalogs/`."""
    agents = json.loads((_HERE / "catalogs" / f"{name}.json").read_text())["agents"]
    return Catalog.of(
        Skill(
            agent=agent["name"],
            name=skill["name"],
            description=skill["description"],
            effect=Effect(skill["effect"]),
            input_schema=skill["input_schema"],
            output_schema=skill["output_schema"],
            agent_version=agent["version"],
            agent_description=agent["description"],
            tags=tuple(skill["tags"]),
            examples=tuple(skill["examples"]),
        )
        for agent in agents
        for skill in agent["skills"]
    )


def _step(step: JsonObject) -> ExpectedStep:
    needs = step.get("needs", [])
    when = step.get("when", False)
    arguments = step.get("arguments", {})
    assert isinstance(needs, list)
    assert isinstance(arguments, dict)
    return ExpectedStep(
        skill=str(step["skill"]),
        needs=frozenset(str(name) for name in needs),
        when=when if isinstance(when, bool) else None,
        for_each=bool(step.get("for_each", False)),
        arguments=arguments,
    )
