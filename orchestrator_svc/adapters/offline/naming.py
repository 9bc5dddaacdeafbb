"""Which of several fields of earlier results a question means: by their names, else by their descriptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from agentmesh.jsonvalues import Json
from orchestrator_svc.adapters.offline.words import stem, terms, words
from orchestrator_svc.core.catalog import Skill
from orchestrator_svc.core.schemas import alternatives, step_into
from orchestrator_svc.core.wiring import Source


def meant_by(texts: Sequence[str], sources: Sequence[Source], skills: Mapping[str, Skill]) -> Source | None:
    """The one source that the words mean; None if they do not tell.

    Args:
        texts: Words to go by; a later text is looked at only if the earlier ones do not tell.
        sources: Fields of results.
        skills: The skill of each step, by step id.
    """
    if len(sources) < 2:
        return sources[0] if sources else None
    # What all of them are called does not tell them apart, even if only one is described with it.
    shared = frozenset.intersection(*(name_stems(source) for source in sources))
    for text in texts:
        said = {stem(word) for word in words(text)} - shared
        named = [name_stems(source) for source in sources]
        described = (description_stems(source, skills) for source in sources)
        for stems in (named, described):
            scores = [len(of_source & said) for of_source in stems]
            best = max(scores)
            if best > 0 and scores.count(best) == 1:
                return sources[scores.index(best)]
    return None


def name_stems(source: Source) -> frozenset[str]:
    """The words of the names on the way to the field."""
    parts = [part for part in source.path if isinstance(part, str)]
    return frozenset(stem(word) for part in parts for word in words(part.replace("_", " ")))


def description_stems(source: Source, skills: Mapping[str, Skill]) -> frozenset[str]:
    """The words that carry meaning in the descriptions on the way to the field."""
    skill = skills[source.step]
    return frozenset(term for text in _descriptions(source.path, skill) for term in terms(text))


def _descriptions(path: Sequence[str | int], skill: Skill) -> Iterator[str]:
    schemas: list[Json] = [skill.output_schema]
    for part in path:
        options = [option for schema in schemas for option in alternatives(schema, skill.output_schema)]
        schemas = [step_into(option, part) for option in options]
        for schema in schemas:
            for option in alternatives(schema, skill.output_schema):
                yield str(option.get("description", ""))
            if isinstance(schema, dict):
                yield str(schema.get("description", ""))
