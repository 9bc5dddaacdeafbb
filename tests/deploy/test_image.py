"""deploy/Dockerfile with .dockerignore: what goes into the image is enough, and is all of agentmesh."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from fnmatch import fnmatch
from pathlib import Path

from orchestrator_svc.config import read_config
from tests.deploy.compose_file import ROOT

DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
STAGES = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]


def _committed() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def _in_context(name: str) -> bool:
    """As .dockerignore has it: the last line that matches the path, or a directory above it, decides."""
    inside = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#") and _matches(Path(name), line.removeprefix("!")):
            inside = line.startswith("!")
    return inside


def _matches(path: Path, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return any(fnmatch(part, pattern.removeprefix("**/")) for part in path.parts)
    pairs = zip(path.parts, Path(pattern).parts, strict=False)
    return len(path.parts) >= len(Path(pattern).parts) and all(fnmatch(part, one) for part, one in pairs)


def test_the_context_has_no_more_than_the_image_needs() -> None:
    tops = {Path(name).parts[0] for name in _committed() if _in_context(name)}
    files = {"pyproject.toml", "README.md", "LICENSE"}
    assert tops == {"agentmesh", "orchestrator_svc", "agent_svcs", "third_party", "locks", "deploy"} | files
    assert not any(
        _in_context(name) for name in (".git/config", ".venv/bin/python", "agentmesh/.env", "locks/dev.lock")
    )


def test_every_file_that_is_copied_is_in_the_context() -> None:
    copied = [words.split()[:-1] for words in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)]
    sources = [source for words in copied for source in words]
    kept = [name for name in _committed() if _in_context(name)]
    assert [source for source in sources if not any(name.startswith(source) for name in kept)] == []


def test_the_wheel_that_it_installs_has_everything_of_the_packages(tmp_path: Path) -> None:
    for name in filter(_in_context, _committed()):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    installed = set(zipfile.ZipFile(wheel).namelist())
    packages = ("agentmesh/", "orchestrator_svc/", "agent_svcs/")
    assert {name for name in _committed() if name.startswith(packages)} <= installed


def test_it_runs_as_a_user_that_is_a_number_and_not_root() -> None:
    user = re.findall(r"^USER (\d+):(\d+)$", STAGES[-1], re.MULTILINE)
    assert len(user) == 1
    assert "0" not in user[0]


def test_what_is_installed_is_pinned() -> None:
    assert "--require-hashes --requirement locks/runtime.lock" in DOCKERFILE
    (base,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}", base)
    assert all(stage.startswith("${PYTHON_IMAGE} ") for stage in STAGES)


def test_the_ports_are_those_where_it_listens_by_default() -> None:
    config = read_config({}).config
    (ports,) = re.findall(r"^EXPOSE (.*)$", DOCKERFILE, re.MULTILINE)
    assert ports.split() == [str(address).rpartition(":")[2] for address in (config.listen, config.http_address)]


def test_the_signal_that_stops_it_is_the_one_that_drains() -> None:
    assert re.findall(r"^STOPSIGNAL (\w+)$", DOCKERFILE, re.MULTILINE) == ["SIGTERM"]
