"""config_agent: the effective configuration of a component, what is wrong with it, and none of its secrets."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from agent_svcs.config_agent.checking import check_component
from agent_svcs.config_agent.directory import MAX_FILE_BYTES, ConfigDirectory
from agent_svcs.config_agent.settings import SHIPPED, Settings, read_settings
from agent_svcs.config_agent.skills import build_agent
from agentmesh import errors
from agentmesh.env import EnvironmentInvalid
from agentmesh.jsonvalues import Json
from tests.agents.conftest import Serve

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "server": {"$ref": "#/$defs/server", "default": {}},
        "users": {"type": "array", "items": {"properties": {"role": {"default": "reader"}}}},
        "mode": {"enum": ["fast", "safe"]},
        "password": {"type": "string", "minLength": 12},
    },
    "$defs": {"server": {"properties": {"port": {"type": "integer", "maximum": 65535, "default": 80}}}},
}


@pytest.fixture
def directory(tmp_path: Path) -> ConfigDirectory:
    (tmp_path / "web.schema.json").write_text(json.dumps(SCHEMA))
    return ConfigDirectory(tmp_path)


def _write(directory: ConfigDirectory, tmp_path: Path, text: str) -> ConfigDirectory:
    (tmp_path / "web.yaml").write_text(text)
    return directory


def test_the_effective_configuration_is_the_file_and_the_defaults_of_its_schema(
    directory: ConfigDirectory, tmp_path: Path
) -> None:
    checked = check_component(_write(directory, tmp_path, "name: a\nusers: [{}, {role: admin}]\n"), "web")
    assert checked.config == {"name": "a", "users": [{"role": "reader"}, {"role": "admin"}], "server": {"port": 80}}
    assert checked.defaulted == ["server", "server.port", "users[0].role"]
    assert (checked.valid, checked.findings, checked.schema_file) == (True, [], "web.schema.json")
    assert (checked.file, checked.format) == ("web.yaml", "yaml")


def test_every_finding_names_its_path_and_none_tells_a_value(directory: ConfigDirectory, tmp_path: Path) -> None:
    text = "server: {port: hunter2}\nmode: hunter2\npassword: hunter2\nextra: hunter2\n"
    checked = check_component(_write(directory, tmp_path, text), "web")
    assert not checked.valid
    assert {one.path for one in checked.findings} == {"", "server.port", "mode", "password"}
    messages = " ".join(one.message for one in checked.findings)
    assert '"name" is a required property' in messages
    assert "'extra' was unexpected" in messages
    assert 'not of type "integer"' in messages
    assert "hunter2" not in messages
    assert checked.config["password"] == "***"
    assert checked.masked == ["password"]


def test_secrets_are_hidden_wherever_they_would_show(directory: ConfigDirectory, tmp_path: Path) -> None:
    secret = "gh" + "p_" + "a1" * 18
    text = f"name: x\n{secret}: 1\nserver:\n  url: https://u:{secret}@h/\n  {secret}: {{port: 1}}\n"
    checked = check_component(_write(directory, tmp_path, text), "web")
    assert checked.findings
    assert secret not in str(checked)
    broken = check_component(_write(directory, tmp_path, f"a: *{secret}\n"), "web")
    assert broken.findings
    assert secret not in str(broken)


def test_a_file_that_cannot_be_read_is_a_finding_with_its_line(directory: ConfigDirectory, tmp_path: Path) -> None:
    checked = check_component(_write(directory, tmp_path, "name: a\nserver: [1\nmode: x\n"), "web")
    (finding,) = checked.findings
    assert (finding.path, finding.line) == ("", 3)
    assert finding.message.startswith("web.yaml, line 3: ")
    assert (checked.valid, checked.config, checked.defaulted) == (False, {}, [])
    assert len(checked.sha256) == 64


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ('{"type": ', "web.schema.json, line 1: Expecting value"),
        ("[]", "web.schema.json: holds a list"),
        ('{"type": "banana"}', "web.schema.json is no usable JSON Schema"),
        ('{"pattern": "("}', "web.schema.json is no usable JSON Schema"),
        ('{"$ref": "#/nowhere"}', "web.schema.json is no usable JSON Schema"),
        ('{"$ref": "file:///etc/hosts"}', "web.schema.json is no usable JSON Schema"),
        (" " * (MAX_FILE_BYTES + 1), "at most 131072 are read"),
    ],
)
def test_a_schema_that_cannot_be_used_is_a_finding_and_the_configuration_is_shown(
    tmp_path: Path, schema: str, message: str
) -> None:
    (tmp_path / "web.yaml").write_text("name: a\n")
    (tmp_path / "web.schema.json").write_text(schema)
    checked = check_component(ConfigDirectory(tmp_path), "web")
    assert [message in one.message for one in checked.findings] == [True]
    assert checked.config == {"name": "a"}


def test_a_schema_never_makes_the_agent_call_anybody(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        (tmp_path / "web.yaml").write_text("name: a\n")
        address = f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"
        (tmp_path / "web.schema.json").write_text(json.dumps({"$ref": address}))
        assert not check_component(ConfigDirectory(tmp_path), "web").valid
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_schema_that_contains_itself_ends(tmp_path: Path) -> None:
    inner = {"$ref": "#/$defs/node", "default": {}}
    schema = {"$ref": "#/$defs/node", "$defs": {"node": {"properties": {"left": inner, "right": inner}}}}
    (tmp_path / "web.yaml").write_text("{}")
    (tmp_path / "web.schema.json").write_text(json.dumps(schema))
    assert 0 < len(check_component(ConfigDirectory(tmp_path), "web").defaulted) < 5000


def test_at_most_a_hundred_findings_are_told(directory: ConfigDirectory, tmp_path: Path) -> None:
    (tmp_path / "web.schema.json").write_text('{"additionalProperties": {"type": "integer"}}')
    text = "\n".join(f"k{i}: text" for i in range(500))
    assert len(check_component(_write(directory, tmp_path, text), "web").findings) == 100


def test_without_a_schema_the_configuration_is_shown_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "web.toml").write_text("port = 80\n")
    checked = check_component(ConfigDirectory(tmp_path), "web")
    assert (checked.config, checked.schema_file, checked.valid) == ({"port": 80}, None, True)


async def test_every_shipped_configuration_is_valid(serve: Serve) -> None:
    call = await serve(build_agent(Settings()))
    listed = (await call("list_components"))["components"]
    assert [one["component"] for one in listed] == sorted(one["component"] for one in listed)
    for one in listed:
        checked = await call("check_config", component=one["component"])
        assert checked["findings"] == []
        assert one["files"] == [checked["file"]]
        assert one["has_schema"]


async def test_another_directory_is_shown_when_the_environment_says_so(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "web.json").write_text('{"db": {"url": "postgres://u:hunter2@db/app"}}')
    call = await serve(build_agent(read_settings({"AGENTMESH_CONFIG_AGENT_DIR": str(tmp_path)})))
    checked = await call("check_config", component="web")
    assert checked["config"] == {"db": {"url": "postgres://***@db/app"}}
    assert checked["masked"] == ["db.url"]
    assert str(tmp_path) not in json.dumps(checked)


def test_a_directory_that_does_not_exist_is_refused_at_the_start(tmp_path: Path) -> None:
    assert read_settings({}).directory == SHIPPED
    with pytest.raises(EnvironmentInvalid, match=r"^AGENTMESH_CONFIG_AGENT_DIR: .* is no directory"):
        read_settings({"AGENTMESH_CONFIG_AGENT_DIR": str(tmp_path / "missing")})


@pytest.mark.parametrize("component", ["..", "/etc/passwd", "a\0b", "x" * 100_000, "\uff0e\uff0e/x", "", 7, None, {}])
async def test_what_is_no_name_is_refused_over_the_wire(serve: Serve, component: Json) -> None:
    call = await serve(build_agent(Settings()))
    with pytest.raises(errors.ArgumentsInvalid) as raised:
        await call("check_config", component=component)
    assert len(raised.value.message) < 500


async def test_an_unknown_component_is_answered_with_the_nearest(serve: Serve) -> None:
    call = await serve(build_agent(Settings()))
    with pytest.raises(errors.NotFound, match="did you mean orchestrator"):
        await call("check_config", component="orchestrater")
