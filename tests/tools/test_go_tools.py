"""`make tools`: programs from pinned Go modules. A stand-in for `go` says what it was asked; nothing is downloaded."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.go_tools import find_go_tool, pinned_version

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "go_tools.sh"
TABLE = ROOT / "tools" / "go_tools.txt"
NAMES = ["grpcurl", "promtool", "jaeger"]

GO = f"""#!/usr/bin/env bash
echo "$* GOPROXY=${{GOPROXY-}} GONOPROXY=${{GONOPROXY-}} GOFLAGS=${{GOFLAGS-}}" >>"$CALLS"
case "$1 $2" in
  "env GOPROXY") echo "$CONFIGURED" ;;
  "mod download")
    hash=${{HASH:-$(awk -v module="${{4%@*}}" '$2 == module {{ print $6 }}' {TABLE})}}
    printf '{{\\n\\t"Dir": "%s",\\n\\t"Sum": "%s"\\n}}\\n' "$PWD" "$hash"
    ;;
  build*)
    while [ "$1" != -o ]; do shift; done
    case "$2" in */"$BROKEN") echo "main.go:1:2: undefined: something" >&2; exit 1 ;; esac
    case "$2" in */"$HANGS") echo half >"$2"; echo "$2" >&3; sleep 60 ;; esac
    echo '#!/bin/sh' >"$2" && chmod +x "$2"
    ;;
esac
"""


@dataclass(frozen=True)
class Place:
    """A machine with a stand-in for Go and an empty cache."""

    root: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
            "XDG_CACHE_HOME": str(self.root / "cache"),
            "CALLS": str(self.root / "calls"),
            "CONFIGURED": "http://proxy.invalid,direct",
            "GOFLAGS": "-mod=vendor",
            "BROKEN": "none",
            "HANGS": "none",
        }

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [SCRIPT, *arguments],
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def calls(self) -> list[str]:
        return (self.root / "calls").read_text().splitlines()

    @property
    def built(self) -> set[str]:
        return {path.name for path in (self.root / "cache").rglob("*") if path.is_file()}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(GO)
    go.chmod(0o755)
    return Place(tmp_path)


def only(*programs: str, into: Path) -> str:
    """A PATH on which there is nothing else."""
    into.mkdir()
    for name in programs:
        found = next(Path(part, name) for part in os.environ["PATH"].split(":") if Path(part, name).is_file())
        (into / name).symlink_to(found)
    return str(into)


def rows() -> Mapping[str, list[str]]:
    lines = (line.split() for line in TABLE.read_text().splitlines() if not line.startswith("#"))
    return {line[0]: line[1:] for line in lines}


def test_every_program_is_pinned_by_version_and_by_the_hash_of_its_module() -> None:
    assert list(rows()) == NAMES
    for module, version, package, tags, digest in rows().values():
        assert re.fullmatch(r"github\.com/[\w./-]+", module)
        assert re.fullmatch(r"v\d+\.\d+\.\d+", version)
        assert package.startswith("./cmd/")
        assert tags == "-" or tags.isidentifier()
        assert re.fullmatch(r"h1:[A-Za-z0-9+/]{43}=", digest)


def test_a_second_run_builds_nothing_and_asks_nobody(place: Place) -> None:
    first = place.run("build")
    assert (first.returncode, place.built) == (0, set(NAMES)), first.stderr
    before = place.calls
    second = place.run("build")
    assert (second.returncode, place.calls) == (0, before)
    assert second.stderr.splitlines() == [f"tools: {' '.join(NAMES)} in {place.root}/cache/agentmesh/tools"]


def test_modules_come_through_the_configured_proxy_alone(place: Place) -> None:
    place.run("build", "grpcurl")
    asked = [call for call in place.calls if not call.startswith("env")]
    assert [call.split()[0] for call in asked] == ["mod", "build"]
    assert all(call.endswith("GOPROXY=http://proxy.invalid GONOPROXY=none GOFLAGS=") for call in asked)


def test_a_machine_that_has_no_proxy_configured_downloads_nothing(place: Place) -> None:
    place.run("build", "grpcurl", CONFIGURED="direct")
    assert " GOPROXY=off " in place.calls[-1]


def test_where_a_program_is_is_the_same_for_scripts_and_tests(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", place.environment["XDG_CACHE_HOME"])
    assert (find_go_tool("promtool"), place.run("path", "promtool").returncode) == (None, 1)
    place.run("build", "promtool")
    assert place.run("path", "promtool").stdout.strip() == str(find_go_tool("promtool"))
    assert pinned_version("promtool") in str(find_go_tool("promtool"))


def test_one_that_cannot_be_built_does_not_keep_the_others_from_it(place: Place) -> None:
    done = place.run("build", BROKEN="promtool")
    assert (done.returncode, place.built) == (1, {"grpcurl", "jaeger"})
    assert "undefined: something\ntools: promtool was not built\n" in done.stderr
    assert done.stderr.splitlines()[-1] == "tools: missing: promtool"


def test_a_module_that_is_not_the_pinned_one_is_not_built(place: Place) -> None:
    done = place.run("build", "jaeger", HASH="h1:another=")
    assert (done.returncode, place.built) == (1, set())
    assert "the module that came is not the one that is pinned: h1:" in done.stderr
    assert not any(call.startswith("build") for call in place.calls)


def test_a_build_that_is_stopped_leaves_nothing_half_done(place: Place) -> None:
    reading, writing = os.pipe()
    process = subprocess.Popen(
        ["bash", "-c", f'exec "$0" build grpcurl 3>&{writing}', SCRIPT],
        env=place.environment | {"HANGS": "grpcurl"},
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(writing)
    with os.fdopen(reading) as said:
        assert said.readline().endswith("/grpcurl\n")
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait() != 0
    assert place.built == set()


def test_without_go_it_says_so_and_that_nothing_else_needs_it(place: Place) -> None:
    path = only("env", "bash", "dirname", "awk", "rm", into=place.root / "few")
    done = place.run("build", PATH=path)
    assert (done.returncode, place.built) == (1, set())
    assert done.stderr.startswith("tools: there is no Go on this machine")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments", [[], ["path", "nothing"], ["build", "nothing"]], ids=["none", "path", "build"])
def test_what_is_not_known_is_refused(place: Place, arguments: list[str]) -> None:
    assert place.run(*arguments).returncode == 2


@pytest.mark.parametrize(
    "script", [".ci/run", *(f"tools/{path.name}" for path in sorted((ROOT / "tools").glob("*.sh")))]
)
def test_scripts_are_understood_by_bash(script: str) -> None:
    subprocess.run(["bash", "-n", ROOT / script], check=True)
