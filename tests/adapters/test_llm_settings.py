"""Settings that no provider serves are refused when they are made; prices go by the name of the model."""

from __future__ import annotations

import pytest

from orchestrator_svc.adapters.llm_settings import LlmSettings
from orchestrator_svc.adapters.pricing import Price, price_of

AZURE = {"azure_endpoint": "https://x.example", "azure_api_version": "v", "api_key": "k"}
TABLE = {"gpt-4o": Price(1, 1), "gpt-4o-2024-05-13": Price(2, 2), "claude": Price(3, 3)}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"models": ()}, "at least one model"),
        ({"max_attempts": 0}, "one attempt"),
        ({"api_key": "sk-1\n"}, "api_key"),
        ({"api_key": "sk-ü"}, "api_key"),
        ({"api_key": ""}, "api_key"),
        ({**AZURE, "base_url": "http://x"}, "exclude"),
        ({**AZURE, "api_key": None}, "also needs"),
        ({**AZURE, "azure_api_version": None}, "also needs"),
        ({**AZURE, "azure_deployment": "d", "models": ("a", "b")}, "one model"),
    ],
)
def test_what_cannot_work_is_refused(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as raised:
        LlmSettings(**{"models": ("a",), **settings})  # type: ignore[arg-type]  # fields by name
    assert "sk-" not in str(raised.value)


def test_the_key_is_not_in_the_text_of_settings() -> None:
    assert "sk-1" not in repr(LlmSettings(models=("a",), api_key="sk-1"))


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("gpt-4o", 1),
        ("gpt-4o-2024-05-13", 2),
        ("gpt-4o-2024-08-06", 1),
        ("gpt-4o-latest", 1),
        ("gpt-4o-0613", 1),
        ("claude@20250514", 3),
        ("claude-20250514", 3),
        ("gpt-4o-mini", None),
        ("gpt-4o-mini-2024-07-18", None),
        ("gpt-4", None),
        ("", None),
    ],
)
def test_a_dated_version_costs_what_its_model_costs_and_another_model_does_not(model: str, price: float | None) -> None:
    found = price_of(model, TABLE)
    assert (found.input_per_million if found else None) == price
