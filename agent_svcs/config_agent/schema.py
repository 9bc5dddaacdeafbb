"""The JSON Schema beside a configuration: the defaults that it adds, and what it finds wrong."""

from __future__ import annotations

import copy
from typing import Final, TypeGuard

import jsonschema_rs

from agent_svcs.config_agent.masking import MASK, mask_text, path_text
from agent_svcs.config_agent.model import Finding
from agentmesh.jsonvalues import Json, JsonObject

MOST_FINDINGS: Final = 100
_MOST_LEVELS: Final = 20
_MOST_DEFAULTS: Final = 1000
"""A schema that contains itself could add without end."""


def add_defaults(config: JsonObject, schema: JsonObject) -> list[str]:
    """Adds to `config`, in place, every `default` under `properties` that it does not set; returns their paths."""
    added: list[str] = []
    _add(config, schema, schema, (), added)
    return added


def _add(value: Json, schema: Json, root: JsonObject, path: tuple[str | int, ...], added: list[str]) -> None:
    schema = _target(schema, root)
    if len(path) > _MOST_LEVELS or len(added) >= _MOST_DEFAULTS or not isinstance(schema, dict):
        return
    properties = schema.get("properties")
    if isinstance(value, dict) and isinstance(properties, dict):
        for name, member in properties.items():
            # What stands beside a reference says more about this one place.
            says_default = next((one for one in (member, _target(member, root)) if _has_default(one)), None)
            if name not in value and says_default is not None:
                value[name] = copy.deepcopy(says_default["default"])
                added.append(path_text((*path, name)))
            if name in value:
                _add(value[name], member, root, (*path, name), added)
    elif isinstance(value, list):
        for index, one in enumerate(value):
            _add(one, schema.get("items"), root, (*path, index), added)


def _has_default(schema: Json) -> TypeGuard[JsonObject]:
    return isinstance(schema, dict) and "default" in schema


def _target(schema: Json, root: JsonObject) -> Json:
    """What a reference within the file names; other schemas as they are."""
    for _ in range(_MOST_LEVELS):
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return schema
        schema = root
        for part in reference[2:].split("/"):
            schema = schema.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(schema, dict) else None
    return None


def check(config: JsonObject, schema: JsonObject) -> list[Finding]:
    """What is wrong with `config`, at most `MOST_FINDINGS`; no finding holds a value of it.

    Raises ValueError if the schema is none, or refers to anything outside itself.
    """
    try:
        validator = jsonschema_rs.validator_for(schema, mask=MASK, offline=True)
    except jsonschema_rs.ValidationError as error:
        raise ValueError(mask_text(error.message)) from None
    findings: list[Finding] = []
    for problem in validator.iter_errors(config):
        findings.append(Finding(path=path_text(problem.instance_path), message=mask_text(problem.message), line=None))
        if len(findings) == MOST_FINDINGS:
            break
    return findings
