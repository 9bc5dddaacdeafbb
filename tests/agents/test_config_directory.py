"""The configuration directory: what is found in it, and that nothing outside it is ever read."""

import hashlib
import os
from pathlib import Path

import pytest

from agent_svcs.config_agent.checking import check_component
from agent_svcs.config_agent.directory import MAX_FILE_BYTES, ConfigDirectory
from agentmesh import errors


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file that nobody may see, next to the directory."""
    path = tmp_path / "outside.yaml"
    path.write_text("outside: true\n")
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "components"
    path.mkdir()
    (path / "web.yaml").write_text("port: 80\n")
    return path


@pytest.mark.parametrize(
    "component",
    [
        "", ".", "..", "../outside", "..\\outside", "a/../../outside", "./web", "web/", "/etc/passwd", "//etc/passwd",
        "C:\\web", "~/web", "$HOME", "web\0", "\0", "web\0.yaml", "web\n", "\nweb", " web", "web ", "web.yaml/../web",
        "%2e%2e%2foutside", "file:///etc/passwd", ".hidden", "-web", "_web", "x" * 65, "x" * 100_000, "*", "we?",
        "w[e]b",
        "\u2025", "\u2025/outside", "\uff0e\uff0e/outside", "\uff0e\uff0e\uff0foutside", "..\u2215outside",
        "..\u2044outside",
        "\u2024\u2024/outside", "w\u0435b", "web\u200d", "web\u202e", "we\u0301b", "\ud800",
    ],
)  # fmt: skip
def test_what_is_no_plain_name_is_refused(root: Path, outside: Path, component: str) -> None:
    assert outside.exists()
    with pytest.raises(errors.ArgumentsInvalid) as raised:
        ConfigDirectory(root).find(component)
    assert [violation.path for violation in raised.value.violations] == ["arguments.component"]
    assert len(raised.value.message) < 200


@pytest.mark.parametrize("component", ["outside", "components", "web.yaml", "web.schema", "WEB", "etc.passwd", "a..b"])
def test_a_plain_name_that_is_not_there_is_not_found(root: Path, outside: Path, component: str) -> None:
    assert outside.exists()
    (root / "web.schema.json").write_text("{}")
    with pytest.raises(errors.NotFound, match="web"):
        ConfigDirectory(root).find(component)


def test_a_link_out_of_the_directory_is_not_followed(root: Path, outside: Path) -> None:
    (root / "relative.yaml").symlink_to(Path("..") / "outside.yaml")
    (root / "absolute.yaml").symlink_to(outside)
    (root / "twice.yaml").symlink_to("relative.yaml")
    (root / "web.schema.json").symlink_to(outside)
    directory = ConfigDirectory(root)
    assert list(directory.files()) == ["web"]
    assert not directory.has_schema("web")
    for component in ("relative", "absolute", "twice"):
        with pytest.raises(errors.NotFound):
            directory.find(component)
        with pytest.raises(errors.SkillFailed, match="no such regular file"):
            directory.read(f"{component}.yaml")


def test_a_link_that_took_the_place_of_a_file_after_it_was_found_is_not_followed(root: Path, outside: Path) -> None:
    directory = ConfigDirectory(root)
    found = directory.find("web")
    (root / "web.yaml").unlink()
    (root / "web.yaml").symlink_to(outside)
    with pytest.raises(errors.SkillFailed):
        directory.read(found.name)


def test_a_link_inside_the_directory_is_followed(root: Path) -> None:
    versions = root / "..2026_11_22"
    versions.mkdir()
    (versions / "app.yaml").write_text("port: 81\n")
    (root / "..data").symlink_to(versions.name)
    (root / "app.yaml").symlink_to(Path("..data") / "app.yaml")
    assert check_component(ConfigDirectory(root), "app").config == {"port": 81}


def test_links_in_a_circle_directories_and_pipes_are_no_configuration(root: Path) -> None:
    (root / "circle.yaml").symlink_to("circle.yaml")
    (root / "dangling.yaml").symlink_to("nothing.yaml")
    (root / "folder.yaml").mkdir()
    os.mkfifo(root / "pipe.yaml")
    directory = ConfigDirectory(root)
    assert list(directory.files()) == ["web"]
    for name in ("circle.yaml", "dangling.yaml", "folder.yaml", "pipe.yaml", "nothing.yaml"):
        with pytest.raises(errors.SkillFailed):
            directory.read(name)


def test_names_that_no_argument_could_have_are_not_listed(root: Path) -> None:
    for name in (".hidden.yaml", "a b.yaml", "\uff0e.yaml", "readme.md", "noext", ".yaml", "x" * 65 + ".yaml"):
        (root / name).write_text("a: 1\n")
    assert list(ConfigDirectory(root).files()) == ["web"]


def test_two_files_of_one_component_are_a_mistake_that_is_told(root: Path) -> None:
    (root / "web.toml").write_text("port = 81\n")
    assert [one.name for one in ConfigDirectory(root).files()["web"]] == ["web.toml", "web.yaml"]
    with pytest.raises(errors.SkillFailed, match=r"web has several files: web\.toml, web\.yaml"):
        ConfigDirectory(root).find("web")


def test_a_file_over_the_limit_is_not_read(root: Path) -> None:
    (root / "web.yaml").write_bytes(b"#" * MAX_FILE_BYTES)
    assert ConfigDirectory(root).read("web.yaml").data == b"#" * MAX_FILE_BYTES
    (root / "web.yaml").write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(errors.SkillFailed, match=f"has {MAX_FILE_BYTES + 1} bytes, at most {MAX_FILE_BYTES} are read"):
        ConfigDirectory(root).read("web.yaml")


def test_errors_name_no_directory_of_the_machine(root: Path) -> None:
    directory = ConfigDirectory(root / "missing")
    with pytest.raises(errors.SkillFailed) as raised:
        directory.files()
    assert raised.value.message == "the configuration directory cannot be read: No such file or directory"
    with pytest.raises(errors.SkillFailed) as raised:
        ConfigDirectory(root).read("gone.yaml")
    assert str(root) not in raised.value.message


def test_the_hash_and_the_time_are_those_of_the_content(root: Path) -> None:
    os.utime(root / "web.yaml", (1_700_000_000, 1_700_000_000))
    checked = check_component(ConfigDirectory(root), "web")
    assert checked.sha256 == hashlib.sha256(b"port: 80\n").hexdigest()
    assert checked.modified_at == "2023-11-14T22:13:20Z"
    assert checked.size_bytes == len("port: 80\n")
