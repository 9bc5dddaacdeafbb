"""A skill: a function with its contract, made and checked where the function is decorated."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import protovalidate
from google.protobuf.message import Message

from agentmesh import errors
from agentmesh.agent.arguments import Arguments
from agentmesh.agent.results import Results
from agentmesh.agent.signature import Signature, SkillDefinitionError, read_signature
from agentmesh.card_messages import effect_to_message
from agentmesh.cards import (
    MAX_NAME_CHARACTERS,
    MAX_SKILL_ID_CHARACTERS,
    Effect,
    is_name,
    skill_digest,
    skill_id,
)
from agentmesh.transport.structs import to_struct
from agentmesh.v1 import card_pb2

NAME_RULE: Final = f"lower-case words joined by single underscores, at most {MAX_NAME_CHARACTERS} characters"


@dataclass(frozen=True, slots=True)
class Skill:
    """One function of an agent."""

    name: str
    function: Callable[..., object]
    is_async: bool
    """Whether the function is a coroutine function; others run in threads."""
    effect: Effect
    arguments: Arguments
    results: Results
    timeout_seconds: float | None
    """Time for one call; None: as long as the caller waits."""
    message: card_pb2.Skill
    """As the card has it; not to be changed."""
    digest: str
    """Of schemas and effect, as `ExecuteRequest.skill_digest`."""


def define_skill(
    function: Callable[..., object],
    *,
    agent: str,
    effect: Effect | str,
    name: str | None = None,
    tags: Sequence[str] = (),
    examples: Sequence[str] = (),
    timeout_seconds: float | None = None,
    reports_progress: bool = False,
) -> Skill:
    """Make a skill of a function.

    Raises:
        SkillDefinitionError: If the function, or what is said of it, cannot stand in a card.
    """
    signature = read_signature(function)
    known_effect = _effect(signature, effect)
    known_name = _name(signature, agent, name)
    arguments = Arguments(signature)
    results = Results(signature)
    message = card_pb2.Skill(
        name=known_name,
        description=signature.description,
        effect=effect_to_message(known_effect),
        tags=_texts(signature, "tags", tags),
        examples=_texts(signature, "examples", examples),
        reports_progress=reports_progress,
    )
    try:
        message.input_schema.CopyFrom(to_struct(arguments.schema))
        message.output_schema.CopyFrom(to_struct(results.schema))
    except errors.ResultError as error:
        raise SkillDefinitionError(f"{signature.name}(): a schema cannot stand in a card: {error.message}") from None
    if timeout_seconds is not None:
        message.timeout.FromNanoseconds(round(_seconds(signature, timeout_seconds) * 1e9))
    problems = broken_rules(message)
    if problems:
        raise SkillDefinitionError(f"{signature.name}(): {'; '.join(problems)}")
    return Skill(
        name=known_name,
        function=function,
        is_async=inspect.iscoroutinefunction(function),
        effect=known_effect,
        arguments=arguments,
        results=results,
        timeout_seconds=timeout_seconds,
        message=message,
        digest=skill_digest(arguments.schema, results.schema, known_effect),
    )


def broken_rules(message: Message) -> list[str]:
    """Return what the rules of card.proto find, each with the field's path."""
    found = []
    for violation in protovalidate.collect_violations(message):
        place = violation.proto.field
        path = ".".join(element.field_name for element in place.elements) if place else ""
        found.append(f"{path} {violation.proto.message}".strip())
    return found


def _effect(signature: Signature, effect: Effect | str) -> Effect:
    try:
        return Effect(effect)
    except ValueError:
        raise SkillDefinitionError(f"{signature.name}(): effect {effect!r} is none of {', '.join(Effect)}") from None


def _name(signature: Signature, agent: str, name: str | None) -> str:
    known = signature.name if name is None else name
    if not is_name(known):
        raise SkillDefinitionError(f"{signature.name}(): {known!r} cannot name a skill: {NAME_RULE}")
    identifier = skill_id(agent, known)
    if len(identifier) > MAX_SKILL_ID_CHARACTERS:
        raise SkillDefinitionError(
            f"{signature.name}(): the id {identifier} has {len(identifier)} characters, "
            f"at most {MAX_SKILL_ID_CHARACTERS} are allowed"
        )
    return known


def _seconds(signature: Signature, timeout_seconds: object) -> float:
    if not isinstance(timeout_seconds, int | float) or not math.isfinite(timeout_seconds):
        raise SkillDefinitionError(f"{signature.name}(): timeout_seconds {timeout_seconds!r} is no number of seconds")
    return max(-1.0, min(timeout_seconds, 1e6))  # beyond what a card takes, and within what a Duration holds


def _texts(signature: Signature, what: str, texts: Sequence[str]) -> Sequence[str]:
    if isinstance(texts, str):
        raise SkillDefinitionError(f"{signature.name}(): {what} is a list of texts, not one text")
    return texts
