"""The catalog: an immutable snapshot of every known skill, with a fingerprint over what a planner sees of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

from agentmesh.cards import Effect, skill_digest, skill_id
from agentmesh.jsonvalues import JsonObject, digest
from orchestrator_svc.core.checker import Checker, opened


@dataclass(frozen=True)
class Skill:
    """One function of one agent, as its card describes it. Its schemas were checked when the card was registered."""

    agent: str
    name: str
    description: str
    effect: Effect
    input_schema: JsonObject = field(default_factory=dict)
    """JSON Schema of the arguments; `{}` means that it takes none."""
    output_schema: JsonObject = field(default_factory=dict)
    """JSON Schema of the result; `{}` means that nothing is known of it."""
    agent_version: str = "0.0.0"
    agent_description: str = ""
    tags: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    timeout_seconds: float | None = None
    """Time for one attempt; None: the orchestrator's default."""
    reports_progress: bool = False
    """Whether the agent says, while the skill runs, how far it has come."""

    @cached_property
    def id(self) -> str:
        return skill_id(self.agent, self.name)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over schemas and effect; equals `ExecuteRequest.skill_digest`."""
        return skill_digest(self.input_schema, self.output_schema, self.effect)

    @cached_property
    def parameters(self) -> JsonObject:
        """The input schema as one that is always an object schema."""
        return self.input_schema or {"type": "object", "properties": {}, "additionalProperties": False}

    @cached_property
    def check_arguments(self) -> Checker:
        return Checker(self.parameters)

    @cached_property
    def check_result(self) -> Checker:
        """Open-world: fields that the schema does not list are welcome."""
        schema = opened(self.output_schema)
        return Checker(schema if isinstance(schema, dict) else {})

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over everything that a planner may decide by."""
        return digest(self.as_planned())

    def as_planned(self) -> JsonObject:
        """Everything that a planner may decide by."""
        return {
            "id": self.id,
            "agent": self.agent_description,
            "description": self.description,
            "effect": self.effect.value,
            "input_schema": self.input_schema,
            "output_schema": self.output_schema,
            "tags": list(self.tags),
            "examples": list(self.examples),
        }


@dataclass(frozen=True)
class Catalog:
    """Skills by id, in the order of their ids."""

    skills: Mapping[str, Skill]

    @classmethod
    def of(cls, skills: Iterable[Skill]) -> Catalog:
        by_id = {skill.id: skill for skill in skills}
        return cls(MappingProxyType(dict(sorted(by_id.items()))))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over all that a planner sees; equal catalogs have equal fingerprints in every process."""
        return digest([skill.fingerprint for skill in self.skills.values()])

    def only(self, allowed: Iterable[str]) -> Catalog:
        """The part of the catalog whose skill ids are in `allowed`."""
        return Catalog.of(self.skills[name] for name in frozenset(allowed) & self.skills.keys())

    def within(self, limit: Effect) -> Catalog:
        """The part of the catalog whose effects are at most `limit`; made once, because every Ask wants it."""
        part = self._parts.get(limit)
        if part is None:
            part = Catalog.of(skill for skill in self.skills.values() if skill.effect.within(limit))
            self._parts[limit] = part
        return part

    @cached_property
    def _parts(self) -> dict[Effect, Catalog]:
        return {}

    def __len__(self) -> int:
        return len(self.skills)
