"""Files of addresses: a list, however it is written; anything else is refused in a few words."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator_svc.adapters.address_file import AddressFileInvalid, read_addresses


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("agents.yaml", "- host:1\n- unix:/run/agent.sock\n- host:1\n"),
        ("agents.yml", "[host:1, 'unix:/run/agent.sock']"),
        ("agents.json", '["host:1", "unix:/run/agent.sock"]'),
        ("agents.txt", "# ours\nhost:1\n\n  unix:/run/agent.sock  # theirs\n"),
        ("agents", "host:1\r\nunix:/run/agent.sock"),
    ],
)
def test_addresses_are_read_in_their_order_each_once(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_addresses(tmp_path / name) == ("host:1", "unix:/run/agent.sock")


@pytest.mark.parametrize("text", ["", "# nobody yet\n"])
def test_a_text_may_name_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "agents").write_text(text)
    assert read_addresses(tmp_path / "agents") == ()


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("agents.yaml", b"agents: [host:1]", "no list of addresses"),
        ("agents.yaml", b"- host: 1", "no list of addresses"),
        ("agents.json", b'["host:1", 5]', "no list of addresses"),
        ("agents.json", b'["host:1"', "does not parse"),
        ("agents.yaml", b"[" * 5000, "does not parse"),
        ("agents", b"\xff\xfe", "does not parse"),
        ("agents", b"host:1\n" * 200_000, "more than"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, name: str, content: bytes, why: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AddressFileInvalid, match=why):
        read_addresses(tmp_path / name)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(AddressFileInvalid, match="No such file"):
        read_addresses(tmp_path / "agents")
