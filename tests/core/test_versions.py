"""The order of versions is that of Semantic Versioning 2.0.0."""

from __future__ import annotations

import pytest

from orchestrator_svc.core.versions import precedence

ASCENDING = (
    "0.9.10",
    "0.10.0",
    "1.0.0-1",
    "1.0.0-2",
    "1.0.0-11",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc-1",
    "1.0.0",
    "1.0.1",
    "1.2.0",
    "1.10.0",
    "2.0.0-0",
    "2.0.0",
    "10.0.0",
)


DESCENDING = ASCENDING[::-1]


def test_versions_are_ordered_as_the_standard_says() -> None:
    assert sorted(DESCENDING, key=precedence) == list(ASCENDING)
    assert len({precedence(version) for version in ASCENDING}) == len(ASCENDING)


@pytest.mark.parametrize("version", ["1.4.0+build.7", "1.4.0+a-b", "1.4.0+"])
def test_what_follows_a_plus_counts_for_nothing(version: str) -> None:
    assert precedence(version) == precedence("1.4.0")
    assert precedence("1.4.0-rc.1+build.7") == precedence("1.4.0-rc.1")


@pytest.mark.parametrize("text", ["", "1", "1.0", "1.0.0.0", "v1.0.0", "1.0.x", "1.0.0 ", "1.0.٣"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no version"):
        precedence(text)


def test_every_version_that_a_card_may_have_has_its_place() -> None:
    for version in ("1.0.0-.", "1.0.0-+x", "1.0.0-..a", "1.0.0--", "1.0.0-a+b", "00.01.002", "1.0.0-" + "9" * 57):
        precedence(version)
