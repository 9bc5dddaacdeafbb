"""Reads the configuration from variables and an optional file, and reports everything that is wrong with it at once.

A variable wins over the file; an empty variable counts as unset, as container files write it. Variables of agents share
the prefix, so a name that is not ours is refused only where it begins like one of ours, and is a warning elsewhere.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from agentmesh.env import EnvironmentInvalid
from agentmesh.telemetry.setup import NOTHING, TelemetrySettings, read_telemetry_settings
from orchestrator_svc.config.addresses import without_password
from orchestrator_svc.config.allowed import allowed
from orchestrator_svc.config.file import FileInvalid, read_file
from orchestrator_svc.config.settings import Config, ConflictsFound, variable_of

PREFIX: Final = "AGENTMESH_"
FILE_VARIABLE: Final = "AGENTMESH_CONFIG_FILE"
FALLBACK_KEY: Final = "OPENAI_API_KEY"

_FIELDS: Final = {variable_of(name): name for name in Config.model_fields}
_OUR_FIRST_WORDS: Final = frozenset(name.partition("_")[0] for name in Config.model_fields)
_SECRETS: Final = frozenset({"llm_api_key", "caller_tokens"})
"""What is wrong with them is said without anything of the value."""
_OTHERS: Final = re.compile(r"AGENTMESH_(ORCHESTRATOR_|TOKEN$|([A-Z0-9]+_)*AGENT_)")
"""Variables of clients, of every agent, and of one agent (`AGENTMESH_WEATHER_AGENT_KEY`)."""
_SHOWN_CHARACTERS: Final = 60


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong."""

    name: str
    """The variable, or the place in the file."""
    message: str

    def __str__(self) -> str:
        return f"{self.name} {self.message}"


class ConfigInvalid(ValueError):
    """The configuration cannot be used; its text has one problem a line."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration and where it comes from."""

    config: Config
    sources: Mapping[str, str]
    """Field -> the variable, or the file, that set it; a field that is not here has its default."""
    warnings: tuple[str, ...]
    """To be logged once, at the start."""
    telemetry: TelemetrySettings
    """Of OTEL_*, which no field and no file has: every process of a mesh reads the same."""


def read_config(environment: Mapping[str, str]) -> LoadedConfig:
    """Read the configuration.

    Args:
        environment: Names and values, as of the process; tests pass a dict.

    Raises:
        ConfigInvalid: With every problem, those of OTEL_* among them.
    """
    given = {name: value.strip() for name, value in environment.items() if value.strip()}
    values: dict[str, object] = {}
    sources: dict[str, str] = {}
    problems: list[Problem] = []
    if FILE_VARIABLE in given:
        path = given[FILE_VARIABLE]
        try:
            values, unknown = read_file(path, tuple(Config.model_fields))
        except FileInvalid as invalid:
            problems.append(Problem(FILE_VARIABLE, str(invalid)))
        else:
            problems += [Problem(f"{key} in {path}", _unknown(key, Config.model_fields)) for key in unknown]
            sources = dict.fromkeys(values, path)
    if FALLBACK_KEY in given:
        values.setdefault("llm_api_key", given[FALLBACK_KEY])
        sources.setdefault("llm_api_key", FALLBACK_KEY)
    for variable, field in _FIELDS.items():
        if variable in given:
            values[field] = given[variable]
            sources[field] = variable
    unknown_problems, warnings = _unknown_variables(given)
    problems += unknown_problems
    config, invalid_values = _validated(values, sources)
    problems += invalid_values
    telemetry, telemetry_problems = _telemetry(environment)
    problems += telemetry_problems
    if config is None or problems:
        raise ConfigInvalid(tuple(dict.fromkeys(problems)))
    return LoadedConfig(config, sources, (*warnings, *_doubts(config, sources)), telemetry)


def _telemetry(environment: Mapping[str, str]) -> tuple[TelemetrySettings, tuple[Problem, ...]]:
    try:
        return read_telemetry_settings(environment), ()
    except EnvironmentInvalid as invalid:
        parts = (problem.partition(": ") for problem in invalid.problems)
        return NOTHING, tuple(Problem(name, message) for name, _, message in parts)


def _validated(values: Mapping[str, object], sources: Mapping[str, str]) -> tuple[Config | None, tuple[Problem, ...]]:
    """Conflicts are looked for also where single values are wrong: those are then left out."""
    try:
        return Config.model_validate(values), ()
    except ValidationError as error:
        details = error.errors(include_url=False)
    wrong = {str(detail["loc"][0]) for detail in details if detail["loc"]}
    problems = [_problem(detail, values, sources) for detail in details if detail["loc"]]
    if wrong:
        try:
            Config.model_validate({field: value for field, value in values.items() if field not in wrong})
        except ValidationError as error:
            details = error.errors(include_url=False)
    for detail in details:
        found = detail.get("ctx", {}).get("error")
        if isinstance(found, ConflictsFound):
            problems += [
                Problem(_named(conflict.fields[0], sources), conflict.message)
                for conflict in found.conflicts
                if wrong.isdisjoint(conflict.fields)
            ]
    return None, tuple(problems)


def _problem(detail: ErrorDetails, values: Mapping[str, object], sources: Mapping[str, str]) -> Problem:
    field, *inner = (str(part) for part in detail["loc"])
    name = _named(field, sources)
    reason = detail["msg"].removeprefix("Value error, ")
    if field in _SECRETS:
        # The words of a ValueError are of our code, or of the JSON parser, and neither quotes the value.
        why = f" ({reason})" if detail["type"] == "value_error" else ""
        return Problem(name, f"is not allowed{why}; allowed: {allowed(field)}")
    if inner:
        return Problem(name, f"at {'.'.join(inner)}: {reason.lower()}; allowed: {allowed(field)}")
    shown = repr(without_password(str(values[field])))
    shown = shown if len(shown) <= _SHOWN_CHARACTERS else shown[:_SHOWN_CHARACTERS] + "..."
    return Problem(name, f"is {shown}; allowed: {allowed(field)}")


def _named(field: str, sources: Mapping[str, str]) -> str:
    """What to change: the variable, also for a default, or the place in the file."""
    source = sources.get(field, variable_of(field))
    return source if source in (variable_of(field), FALLBACK_KEY) else f"{field} in {source}"


def _unknown_variables(given: Iterable[str]) -> tuple[list[Problem], list[str]]:
    problems, warnings = [], []
    known = (*_FIELDS, FILE_VARIABLE)
    for name in sorted(given):
        if not name.startswith(PREFIX) or name in known or _OTHERS.match(name):
            continue
        words = name.removeprefix(PREFIX).lower()
        if words.partition("_")[0] in _OUR_FIRST_WORDS:
            problems.append(Problem(name, _unknown(name, known)))
        else:
            warnings.append(f"{name} {_unknown(name, known)}; ignored")
    return problems, warnings


def _unknown(name: str, known: Iterable[str]) -> str:
    """The prefix that all names share is left out: it would make every name look close. The first word counts most."""
    names = {known_name.removeprefix(PREFIX): known_name for known_name in known}
    word = name.removeprefix(PREFIX)
    akin = [one for one in names if one.partition("_")[0] == word.partition("_")[0]]
    close = difflib.get_close_matches(word, akin, n=1) or difflib.get_close_matches(word, tuple(names), n=1)
    return f"is no setting{f'; did you mean {names[close[0]]}?' if close else ''}"


def _doubts(config: Config, sources: Mapping[str, str]) -> list[str]:
    """What is allowed and probably not meant."""
    if config.llm_base_url and "llm_models" not in sources:
        models = ", ".join(config.llm_models)
        return [f"AGENTMESH_LLM_MODELS is not set: {without_password(config.llm_base_url)} is asked for {models}"]
    return []
