"""Reads, checks and masks the configuration of one component."""

from __future__ import annotations

from typing import Final

from agent_svcs.config_agent.directory import SCHEMA_SUFFIX, ConfigDirectory
from agent_svcs.config_agent.masking import mask_config, mask_text
from agent_svcs.config_agent.model import CheckedConfig, Component, Components, Finding
from agent_svcs.config_agent.parsing import Malformed, parse
from agent_svcs.config_agent.schema import add_defaults, check
from agent_svcs.instants import iso
from agentmesh import errors
from agentmesh.jsonvalues import JsonObject

MOST_COMPONENTS: Final = 500
MAX_SCHEMA_DEPTH: Final = 64
"""A schema has two levels or more for each of the configuration."""


def check_component(directory: ConfigDirectory, component: str) -> CheckedConfig:
    """The effective configuration of a component; what is wrong with it are findings, not errors.

    Raises what `ConfigDirectory.find` and `read` raise.
    """
    file = directory.find(component)
    content = directory.read(file.name)
    findings: list[Finding] = []
    config: JsonObject | None = None
    defaulted: list[str] = []
    try:
        config = parse(content.data, file.format)
    except Malformed as error:
        findings.append(_cannot_be_read(file.name, error))
    schema_file = f"{component}{SCHEMA_SUFFIX}" if directory.has_schema(component) else None
    if schema_file is not None:
        defaulted, broken = _completed(config, directory, schema_file)
        findings += broken
    masked = mask_config(config or {})
    return CheckedConfig(
        component=component,
        file=file.name,
        format=file.format,
        sha256=content.sha256,
        modified_at=iso(content.modified),
        size_bytes=len(content.data),
        schema_file=schema_file,
        valid=not findings,
        findings=findings,
        config=masked.config,
        defaulted=defaulted,
        masked=masked.paths,
    )


def _completed(
    config: JsonObject | None, directory: ConfigDirectory, schema_file: str
) -> tuple[list[str], list[Finding]]:
    """Adds the defaults of the schema to a configuration that could be read: which were added, and what breaks it."""
    defaulted: list[str] = []
    try:
        schema = parse(directory.read(schema_file).data, "json", max_depth=MAX_SCHEMA_DEPTH)
        if config is None:
            return [], []
        defaulted = add_defaults(config, schema)
        return defaulted, check(config, schema)
    except Malformed as error:
        return defaulted, [_cannot_be_read(schema_file, error)]
    except errors.SkillFailed as error:
        return defaulted, [Finding("", error.message, None)]
    except ValueError as error:
        return defaulted, [Finding("", f"{schema_file} is no usable JSON Schema: {error}", None)]


def _cannot_be_read(name: str, error: Malformed) -> Finding:
    place = f"{name}, line {error.line}" if error.line is not None else name
    return Finding("", f"{place}: {mask_text(error.message)}", error.line)


def list_all(directory: ConfigDirectory) -> Components:
    """The first `MOST_COMPONENTS` components by name. Raises what `ConfigDirectory.files` raises."""
    listed = sorted(directory.files().items())[:MOST_COMPONENTS]
    return Components(
        [
            Component(
                component=component,
                files=[one.name for one in files],
                format=files[0].format,
                size_bytes=files[0].size_bytes,
                modified_at=iso(files[0].modified),
                has_schema=directory.has_schema(component),
            )
            for component, files in listed
        ]
    )
