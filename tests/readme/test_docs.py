"""What the documents name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
_PATH = re.compile(r"`((?:[\w.-]+/)+[\w.-]*)`")
_LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
_TARGET = re.compile(r"\bmake ([a-z][a-z-]*)\b")
_OF_THE_ENVIRONMENT = ".venv/"
_HOMES = (ROOT, ROOT / "orchestrator_svc")
"""Paths are told from the root, or within the orchestrator from there."""


def _name(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_every_path_exists(document: Path) -> None:
    named = [path for path in _PATH.findall(document.read_text()) if not path.startswith(_OF_THE_ENVIRONMENT)]
    assert [path for path in named if not any((home / path).exists() for home in _HOMES)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_every_link_leads_somewhere(document: Path) -> None:
    links = _LINK.findall(document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_every_make_target_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    quoted = re.findall(r"`[^`\n]+`|^\$ .*$", document.read_text(), re.MULTILINE)
    named = {target for text in quoted for target in _TARGET.findall(text)}
    assert named <= targets
