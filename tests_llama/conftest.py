"""One llama.cpp server for all tests: it needs seconds to load its model."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests_llama.llama_server import llama_server

pytest_plugins = ["tests.conftest"]


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of the server."""
    with llama_server(tmp_path_factory.mktemp("llama") / "log") as base_url:
        yield base_url
