"""The project around the code: locks, targets, what the tree may not contain, what the wheel contains."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
LOCKS = sorted((ROOT / "locks").glob("*.lock"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# Assembled, so that this file does not contain what it looks for.
REGISTRY_HOSTS = [
    "pypi" + r"\.org",
    "python" + "hosted",
    r"registry\.npm" + "js",
    r"deb\.deb" + "ian",
    r"proxy\.gol" + "ang",
]
HOME_DIRECTORIES = ["/ro" + "ot/", "/Use" + "rs/", "/wo" + "rk/"]


def _files() -> Iterator[Path]:
    """Every file of a clean clone, and what a developer has not committed yet; without environments, caches, builds."""
    not_ours = {"__pycache__", "build", "dist", "node_modules"}
    for directory, names, files in os.walk(ROOT):
        names[:] = [n for n in names if n not in not_ours and (not n.startswith(".") or n == ".ci")]
        yield from (Path(directory, name) for name in files)


def _pins(lock: Path) -> dict[str, set[tuple[str, str]]]:
    """Name -> its (version, marker) pairs: one name has several when versions differ between Pythons."""
    pins: dict[str, set[tuple[str, str]]] = {}
    for name, version, marker in re.findall(r"^([\w.-]+)==([^ ;\\]+)(?: ; ([^\\]*))?", lock.read_text(), re.MULTILINE):
        pins.setdefault(canonicalize_name(name), set()).add((version, marker.strip()))
    return pins


def _declared(*extras: str) -> list[Requirement]:
    optional = PROJECT["optional-dependencies"]
    return [Requirement(text) for text in [*PROJECT["dependencies"], *(t for e in extras for t in optional[e])]]


def _make(*arguments: str, directory: Path = ROOT) -> str:
    return subprocess.run(["make", *arguments], cwd=directory, capture_output=True, text=True, check=True).stdout


def test_no_file_names_a_registry_host_or_a_directory_of_somebodys_machine() -> None:
    forbidden = [*REGISTRY_HOSTS, *(rf"(?<![\w.]){re.escape(home)}" for home in [*HOME_DIRECTORIES, f"{ROOT}/"])]
    needle = re.compile("|".join(forbidden).encode())
    assert [str(path.relative_to(ROOT)) for path in _files() if needle.search(path.read_bytes())] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_pin_has_a_hash_and_no_address(lock: Path) -> None:
    text = lock.read_text()
    entries = [e for e in re.split(r"\n(?=\S)", text.strip()) if not e.startswith("#")]
    assert entries
    assert [e.splitlines()[0] for e in entries if "--hash=sha256:" not in e or "==" not in e] == []
    assert "://" not in text
    assert "--index-url" not in text


def test_the_runtime_lock_is_part_of_the_development_lock() -> None:
    runtime, development = _pins(ROOT / "locks/runtime.lock"), _pins(ROOT / "locks/dev.lock")
    assert {name: {v for v, _ in pins} for name, pins in runtime.items()} == {
        name: {v for v, _ in development[name]} for name in runtime
    }


@pytest.mark.parametrize(("lock", "extras"), [("runtime", ["offline"]), ("dev", ["offline", "dev"])])
def test_a_lock_pins_every_declared_dependency_at_an_allowed_version(lock: str, extras: list[str]) -> None:
    pins = _pins(ROOT / f"locks/{lock}.lock")
    for requirement in _declared(*extras):
        versions = pins[canonicalize_name(requirement.name)]
        assert all(Version(version) in requirement.specifier for version, _ in versions), requirement


def test_every_declared_dependency_has_its_reason_beside_it() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    begin = lines.index("dependencies = [")
    end = lines.index("[project.scripts]")
    unexplained = [
        line.strip()
        for previous, line in zip(lines[begin:end], lines[begin + 1 : end], strict=False)
        if re.match(r'\s+"', line) and "#" not in line and not re.match(r"\s+#", previous)
    ]
    assert unexplained == []


def test_make_help_has_a_line_for_every_target() -> None:
    declared = set(re.findall(r"^\.PHONY: (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = {m[1] for m in re.finditer(r"^  (\S+) +\S.+$", _make("help"), re.MULTILINE)}
    assert shown == declared
    assert {"help", "setup", "protos", "format", "lint", "type", "test", "check", "demo", "up", "ask", "clean"} <= shown


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files that `make -n` reads, in a directory where nothing has been made yet."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "locks", tmp_path / "locks")
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    return tmp_path


@pytest.mark.parametrize("target", ["demo", "up", "ask", "record"])
def test_running_the_mesh_first_installs_the_runtime_and_nothing_for_developers(clone: Path, target: str) -> None:
    commands = _make("-n", target, "Q=anything", directory=clone)
    assert "locks/runtime.lock" in commands
    assert "locks/dev.lock" not in commands


@pytest.mark.parametrize("target", ["test", "check", "lint", "type", "format", "protos", "bench-loop", "bench-routing"])
def test_development_first_installs_the_development_tools(clone: Path, target: str) -> None:
    assert "locks/dev.lock" in _make("-n", target, directory=clone)


def test_an_old_python_is_refused_in_one_line(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\ncase "$2" in *print*) echo "python3 is 3.8";; *) exit 1;; esac\n')
    old.chmod(0o755)
    bash = shutil.which("bash")
    assert bash is not None
    answer = subprocess.run(
        [bash, str(ROOT / "tools/find_python.sh")],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1
    assert answer.stderr == "agentmesh needs Python 3.11, 3.12 or 3.13; python3 is 3.8 on this machine\n"


def test_every_vendored_directory_has_its_licence_and_its_source() -> None:
    vendored = ROOT / "third_party/protos"
    readme = (vendored / "README.md").read_text()
    for directory in (d for d in vendored.iterdir() if d.is_dir()):
        assert "Apache License" in (directory / "LICENSE").read_text()
        assert f"`{directory.name}/LICENSE`" in readme


def test_the_wheel_has_the_packages_the_stubs_and_the_licences(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "agentmesh/py.typed",
        "agentmesh/v1/agent_service_pb2_grpc.pyi",
        "orchestrator_svc/__init__.py",
        "agent_svcs/__init__.py",
        "buf/validate/validate_pb2.py",
        "cel/expr/checked_pb2.py",
    } <= names
    assert {name.split("/")[0] for name in names} == {
        "agentmesh", "orchestrator_svc", "agent_svcs", "buf", "cel", f"agentmesh-{PROJECT['version']}.dist-info",
    }  # fmt: skip
    licences = [name for name in names if name.endswith("LICENSE")]
    assert len(licences) == 1 + len(list((ROOT / "third_party/protos").glob("*/LICENSE")))


def test_the_vendored_stubs_load_beside_the_libraries_that_use_their_messages() -> None:
    script = (
        "import cel_expr_python, grpc_reflection.v1alpha.reflection, protovalidate;"
        "import buf.validate.validate_pb2, cel.expr.checked_pb2, google.rpc.error_details_pb2"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)


def test_a_test_cannot_leave_this_machine() -> None:
    with socket.socket() as tcp, pytest.raises(BaseException, match=r"192\.0\.2\.1"):
        tcp.connect(("192.0.2.1", 80))
    with pytest.raises(BaseException, match=r"example\.com"):
        socket.getaddrinfo("example.com", 80)
