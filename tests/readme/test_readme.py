"""What the README shows works: its Python and shell blocks run against a mesh of real processes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import json_format

from agentmesh.v1 import card_pb2
from tests.e2e.card_server import serving_card
from tests.go_tools import find_go_tool
from tests.readme.mesh import AMesh, mesh_of_processes

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DEFAULT_ADDRESS = "127.0.0.1:50051"
DEFAULT_HTTP = "127.0.0.1:50052"
FOREIGN_AGENT = "127.0.0.1:50061"
AGENT = "agent.serve()"
BIN = Path(sys.executable).parent

GRPCURL = f"""#!/bin/sh
# Stands in for grpcurl where there is none: the same request through `buf curl`.
[ "$1 $2" = "-plaintext -d" ] || exit 64
exec {BIN}/buf curl --protocol grpc --http2-prior-knowledge -d "$3" "http://$4/$5"
"""

CURL = f"""#!{sys.executable}
# Stands in for curl where there is none: the same request through urllib.
import sys, urllib.request
from pathlib import Path
given, headers, data = sys.argv[1:], {{}}, None
while len(given) > 1:
    option = given.pop(0)
    if option == "-H":
        name, value = given.pop(0).split(": ", 1)
        headers[name] = value
    elif option == "-d":
        data = given.pop(0)
        data = (Path(data[1:]).read_text() if data.startswith("@") else data).encode()
    elif option not in ("-s", "-sN"):
        sys.exit(64)
sys.stdout.write(urllib.request.urlopen(urllib.request.Request(given[0], data, headers)).read().decode())
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_every_block_is_of_a_kind_that_is_run_or_shows_output() -> None:
    kinds = set(re.findall(r"^```(\w+)$", README, re.MULTILINE))
    assert kinds == {"python", "sh", "console"}
    shown = [line for block in blocks("console") for line in block.splitlines() if line.startswith("$ ")]
    assert shown == ["$ make demo", "$ make bench-loop"], "these are run by people, and their output is quoted"


@pytest.fixture(scope="module")
def mesh() -> Iterator[AMesh]:
    with mesh_of_processes() as running:
        yield running


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty folder whose `bin` has grpcurl if `make tools` built it, and those programs that this machine lacks."""
    (tmp_path / "bin").mkdir()
    if (grpcurl := find_go_tool("grpcurl")) is not None:
        (tmp_path / "bin" / "grpcurl").symlink_to(grpcurl)
    for name, text in (("grpcurl", GRPCURL), ("curl", CURL)):
        program = tmp_path / "bin" / name
        if not program.exists() and shutil.which(name) is None:
            program.write_text(text)
            program.chmod(program.stat().st_mode | stat.S_IEXEC)
    return tmp_path


def run(command: list[str], place: Path, mesh: AMesh) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=place,
        env={
            **os.environ,
            "PATH": os.pathsep.join([str(BIN), str(place / "bin"), os.environ["PATH"]]),
            "AGENTMESH_ORCHESTRATOR_ADDRESS": mesh.address,
            "AGENTMESH_TRACE_API_URL": mesh.traces,
        },
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.parametrize("block", [b for b in blocks("python") if AGENT not in b], ids=["client", "stubs", "events"])
def test_python_of_callers_runs(block: str, place: Path, mesh: AMesh) -> None:
    assert DEFAULT_ADDRESS in block
    done = run([sys.executable, "-c", block.replace(DEFAULT_ADDRESS, mesh.address)], place, mesh)
    assert done.returncode == 0, done.stderr
    assert "cpu" in done.stdout.lower()


@pytest.mark.parametrize(
    "block", [b for b in blocks("sh") if FOREIGN_AGENT not in b], ids=["cli", "grpcurl", "curl", "plan", "model"]
)
def test_shell_of_callers_runs(block: str, place: Path, mesh: AMesh) -> None:
    done = run(["bash", "-c", script_of(block, mesh)], place, mesh)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout
    assert "no trace" not in done.stderr


async def test_an_agent_in_another_language_is_a_member_by_curl_alone(place: Path, mesh: AMesh) -> None:
    (block,) = (block for block in blocks("sh") if FOREIGN_AGENT in block)
    card = json.loads(block.partition("<<'JSON'\n")[2].partition("\nJSON\n")[0])["card"]
    async with serving_card(json_format.ParseDict(card, card_pb2.AgentCard())) as address:
        script = script_of(block, mesh).replace(FOREIGN_AGENT, address)
        done = await asyncio.to_thread(run, ["bash", "-c", script], place, mesh)
    assert done.returncode == 0, done.stdout + done.stderr
    for said in ("leaseId", "heartbeatInterval", "expiresAt"):
        assert f'"{said}"' in done.stdout


def script_of(block: str, mesh: AMesh) -> str:
    return "set -euo pipefail\n" + block.replace(DEFAULT_ADDRESS, mesh.address).replace(DEFAULT_HTTP, mesh.http)


def test_the_agent_of_the_readme_is_ten_lines_and_answers(place: Path, mesh: AMesh) -> None:
    (block,) = (block for block in blocks("python") if AGENT in block)
    assert len([line for line in block.splitlines() if line.strip()]) <= 10
    (place / "weather.py").write_text(block)
    with mesh.with_agent(place / "weather.py"):
        (place / "plan.json").write_text(
            '{"steps": [{"id": "t", "skill": "weather_agent__get_temperature", "arguments": {"city": "Oslo"}}]}'
        )
        done = run(["agentmesh", "run", "--raw", "--json", "plan.json"], place, mesh)
    assert done.returncode == 0, done.stderr
    assert "21.5" in done.stdout
