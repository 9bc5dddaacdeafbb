"""The configuration: read once from a mapping, everything wrong reported at once, nothing secret shown."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from orchestrator_svc.config import Config, ConfigInvalid, Source, read_config, settings_of


def _problems(environment: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigInvalid) as caught:
        read_config(environment)
    return [str(problem) for problem in caught.value.problems]


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    loaded = read_config({})
    assert loaded.warnings == ()
    assert loaded.config == Config()
    values = {setting.variable: setting.value for setting in settings_of(loaded)}
    assert values["AGENTMESH_LISTEN"] == "127.0.0.1:50051"
    assert values["AGENTMESH_MAX_ASK_SECONDS"] == "60"
    assert values["AGENTMESH_ROUTE_SHARE"] == "0.4"
    assert values["AGENTMESH_LLM_API_KEY"] == ""
    assert not loaded.config.llm_configured


def test_every_setting_is_read_from_its_variable() -> None:
    environment = {
        "AGENTMESH_LISTEN": "[::1]:0",
        "AGENTMESH_ALLOW_PLAINTEXT": "1",
        "AGENTMESH_HTTP_LISTEN": "unix:/run/mesh-http.sock",
        "AGENTMESH_HTTP_ALLOWED_ORIGINS": "https://console.example, http://localhost:3000",
        "AGENTMESH_CALLER_TOKENS": '{"billing": "0123456789abcdef"}',
        "AGENTMESH_REGISTRY_URL": "redis://:hidden@registry.example:6379/0",
        "AGENTMESH_ALLOWED_ADDRESSES": "10.0.0.0/8, .svc.cluster.local, unix:",
        "AGENTMESH_AGENTS_FILE": "/etc/agentmesh/agents.yaml",
        "AGENTMESH_LOG_LEVEL": "DEBUG",
        "AGENTMESH_CAPTURE_CONTENT": "1",
        "AGENTMESH_MAX_ASK_SECONDS": "1.5",
        "AGENTMESH_SKILL_TIMEOUT_SECONDS": "2",
        "AGENTMESH_DRAIN_SECONDS": "0",
        "AGENTMESH_MAX_STEPS": "3",
        "AGENTMESH_MAX_FAN_OUT": "4",
        "AGENTMESH_MAX_CONCURRENT_CALLS": "5",
        "AGENTMESH_RUNS_KEPT": "6",
        "AGENTMESH_REPLAY_SECONDS": "60",
        "AGENTMESH_CATALOG_GRACE_SECONDS": "5",
        "AGENTMESH_STREAM_STALL_SECONDS": "3",
        "AGENTMESH_MAX_CONCURRENT_ASKS": "7",
        "AGENTMESH_ADMISSION_WAIT_SECONDS": "0",
        "AGENTMESH_MAX_ATTEMPTS": "1",
        "AGENTMESH_RETRY_BACKOFF_SECONDS": "0.2",
        "AGENTMESH_RETRY_MAX_BACKOFF_SECONDS": "5",
        "AGENTMESH_RETRY_SHARE": "0",
        "AGENTMESH_RETRY_BURST": "0",
        "AGENTMESH_BUDGET_LLM_CALLS": "1",
        "AGENTMESH_BUDGET_TOKENS": "5000",
        "AGENTMESH_BUDGET_COST_USD": "0.5",
        "AGENTMESH_BUDGET_AGENT_CALLS": "9",
        "AGENTMESH_PLAN_CACHE_SECONDS": "30",
        "AGENTMESH_PLAN_CACHE_BYTES": "1000",
        "AGENTMESH_ROUTE_SHARE": "0.5",
        "AGENTMESH_SYNTHESIS_RESERVE_SECONDS": "7",
        "AGENTMESH_SYNTHESIS_RESERVE_SHARE": "0.25",
        "AGENTMESH_ROUTER_MAX_TOOLS": "8",
        "AGENTMESH_LLM_BASE_URL": "http://127.0.0.1:9/v1",
        "AGENTMESH_LLM_API_KEY": "key",
        "AGENTMESH_LLM_MODELS": "first, second",
        "AGENTMESH_LLM_MAX_ATTEMPTS": "2",
        "AGENTMESH_LLM_PRICES": '{"first": {"input_per_million": 1, "output_per_million": 2.5}}',
        "AGENTMESH_LLM_RESULT_CAP_BYTES": "1024",
        "AGENTMESH_LLM_TRACE_CONTEXT": "1",
    }
    azure = {"AGENTMESH_LLM_AZURE_ENDPOINT", "AGENTMESH_LLM_AZURE_DEPLOYMENT", "AGENTMESH_LLM_AZURE_API_VERSION"}
    loaded = read_config(environment)
    assert {s.variable for s in settings_of(loaded) if s.source is Source.DEFAULT} == azure
    config = loaded.config
    assert config.llm_models == ("first", "second")
    assert config.llm_prices["first"].output_per_million == 2.5
    assert config.caller_tokens["billing"].get_secret_value() == "0123456789abcdef"
    assert config.http_allowed_origins == ("https://console.example", "http://localhost:3000")
    assert config.registry_url == "redis://:hidden@registry.example:6379/0"
    assert config.allowed_addresses == ("10.0.0.0/8", ".svc.cluster.local", "unix:")
    assert config.agents_file == "/etc/agentmesh/agents.yaml"
    assert config.log_level == "debug"
    assert config.capture_content
    assert config.max_ask_seconds == 1.5
    assert config.llm_configured


def test_the_configuration_cannot_be_changed() -> None:
    config = read_config({"AGENTMESH_LLM_PRICES": "{}"}).config
    with pytest.raises(ValidationError, match="frozen"):
        config.max_steps = 1
    with pytest.raises(TypeError):
        config.llm_prices["a"] = None  # type: ignore[index]


def test_every_problem_is_reported_at_once_with_its_variable_and_what_is_allowed() -> None:
    assert _problems(
        {
            "AGENTMESH_LISTEN": "0.0.0.0:50051",
            "AGENTMESH_MAX_STEPS": "many",
            "AGENTMESH_ROUTE_SHARE": "nan",
            "AGENTMESH_DRAIN_SECONDS": "-1",
            "AGENTMESH_LOG_LEVEL": "loud",
            "AGENTMESH_LLM_BASE_URL": "ftp://somewhere",
            "AGENTMESH_LLM_AZURE_ENDPOINT": "https://somewhere",
            "AGENTMESH_LLM_PRICES": '{"m": {"input_per_million": -1, "output_per_million": 0}}',
        }
    ) == [
        "AGENTMESH_LOG_LEVEL is 'loud'; allowed: debug, info, warning, error",
        "AGENTMESH_DRAIN_SECONDS is '-1'; allowed: a number, 0 to 3600",
        "AGENTMESH_MAX_STEPS is 'many'; allowed: a whole number, 1 to 1000",
        "AGENTMESH_ROUTE_SHARE is 'nan'; allowed: a number, more than 0 and less than 1",
        "AGENTMESH_LLM_BASE_URL is 'ftp://somewhere'; allowed: an http:// or https:// URL",
        "AGENTMESH_LLM_PRICES at m.input_per_million: input should be greater than or equal to 0; allowed: JSON such "
        'as {"some-model": {"input_per_million": 0.4, "output_per_million": 1.6}}',
        "AGENTMESH_LISTEN is reached by other machines, in plain text; set AGENTMESH_ALLOW_PLAINTEXT=1 to want that",
        "AGENTMESH_LLM_AZURE_ENDPOINT also needs AGENTMESH_LLM_AZURE_API_VERSION and AGENTMESH_LLM_API_KEY",
    ]


@pytest.mark.parametrize("value", ["", "50051", "localhost", "localhost:70000", "a b:1", "::1:50051", "unix:"])
def test_what_is_no_address_is_refused_unless_it_is_empty(value: str) -> None:
    if not value:
        assert read_config({"AGENTMESH_LISTEN": value}).config == Config()
        return
    (problem,) = _problems({"AGENTMESH_LISTEN": value})
    assert "allowed: host:port, [ipv6]:port or unix:/path" in problem


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:1", "[::1]:65535", "127.8.8.8:1", "unix:/run/mesh.sock"])
def test_an_address_that_only_this_machine_reaches_needs_no_consent(listen: str) -> None:
    assert read_config({"AGENTMESH_LISTEN": listen}).config.listen == listen


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "mesh.example:1"])
def test_any_other_address_needs_consent(listen: str) -> None:
    assert len(_problems({"AGENTMESH_LISTEN": listen})) == 1
    assert read_config({"AGENTMESH_LISTEN": listen, "AGENTMESH_ALLOW_PLAINTEXT": "true"}).config.listen == listen


@pytest.mark.parametrize(
    ("listen", "http"),
    [
        ("127.0.0.1:50051", "127.0.0.1:50052"),
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("[::1]:7000", "[::1]:7001"),
        ("127.0.0.1:65535", None),
        ("unix:/run/mesh.sock", None),
    ],
)
def test_http_is_served_at_the_next_port_unless_it_is_said_where(listen: str, http: str | None) -> None:
    assert read_config({"AGENTMESH_LISTEN": listen}).config.http_address == http
    assert read_config({"AGENTMESH_LISTEN": listen, "AGENTMESH_HTTP_LISTEN": "off"}).config.http_address is None
    other = {"AGENTMESH_LISTEN": listen, "AGENTMESH_HTTP_LISTEN": "127.0.0.1:8080"}
    assert read_config(other).config.http_address == "127.0.0.1:8080"


def test_http_can_be_turned_off_in_a_file_where_yaml_reads_off_as_false(tmp_path: Path) -> None:
    file = tmp_path / "mesh.yaml"
    file.write_text("http_listen: off\n")
    assert read_config({"AGENTMESH_CONFIG_FILE": str(file)}).config.http_address is None


def test_the_address_of_http_is_checked_like_the_other_one_and_differs_from_it() -> None:
    assert _problems({"AGENTMESH_HTTP_LISTEN": "0.0.0.0:80"}) == [
        "AGENTMESH_HTTP_LISTEN is reached by other machines, in plain text; "
        "set AGENTMESH_ALLOW_PLAINTEXT=1 to want that"
    ]
    assert _problems({"AGENTMESH_HTTP_LISTEN": "127.0.0.1:50051"}) == [
        "AGENTMESH_HTTP_LISTEN is where gRPC is served; choose another port"
    ]
    (problem,) = _problems({"AGENTMESH_HTTP_LISTEN": "on"})
    assert "allowed: host:port, [ipv6]:port, unix:/path, or off" in problem


@pytest.mark.parametrize("origin", ["console.example", "https://console.example/", "HTTPS://a", "https://*.example"])
def test_what_is_no_origin_is_refused(origin: str) -> None:
    (problem,) = _problems({"AGENTMESH_HTTP_ALLOWED_ORIGINS": f"https://ok.example, {origin}"})
    assert "allowed: origins such as https://console.example" in problem


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("AGENTMESH_LLM_MODLES", "AGENTMESH_LLM_MODELS"),
        ("AGENTMESH_MAX_FANOUT", "AGENTMESH_MAX_FAN_OUT"),
        ("AGENTMESH_LISTEN_ADDRESS", "AGENTMESH_LISTEN"),
    ],
)
def test_a_misspelt_variable_of_ours_is_refused_and_the_nearest_is_named(wrong: str, meant: str) -> None:
    assert _problems({wrong: "1"}) == [f"{wrong} is no setting; did you mean {meant}?"]


def test_a_variable_that_might_be_somebody_elses_is_a_warning() -> None:
    assert read_config({"AGENTMESH_DRIAN_SECONDS": "1", "AGENTMESH_WEATHER_KEY": "x"}).warnings == (
        "AGENTMESH_DRIAN_SECONDS is no setting; did you mean AGENTMESH_DRAIN_SECONDS?; ignored",
        "AGENTMESH_WEATHER_KEY is no setting; ignored",
    )


def test_variables_of_agents_and_clients_are_left_alone() -> None:
    environment = {
        "AGENTMESH_AGENT_LISTEN": "127.0.0.1:0",
        "AGENTMESH_LISTING_AGENT_KEY": "1",
        "AGENTMESH_ORCHESTRATOR_ADDRESS": "127.0.0.1:1",
        "AGENTMESH_TOKEN": "a-callers-own-token",
        "PATH": "/",
    }
    assert read_config(environment).warnings == ()


def test_the_key_of_openai_is_used_where_ours_is_unset() -> None:
    loaded = read_config({"OPENAI_API_KEY": "theirs\n"})
    assert loaded.config.llm_configured
    assert loaded.config.llm_api_key is not None
    assert loaded.config.llm_api_key.get_secret_value() == "theirs"
    both = read_config({"OPENAI_API_KEY": "theirs", "AGENTMESH_LLM_API_KEY": "ours"}).config
    assert both.llm_api_key is not None
    assert both.llm_api_key.get_secret_value() == "ours"


def test_azure_is_configured_by_its_three_parts_and_a_key() -> None:
    azure = {
        "AGENTMESH_LLM_AZURE_ENDPOINT": "https://mine.openai.azure.com",
        "AGENTMESH_LLM_AZURE_DEPLOYMENT": "router",
        "AGENTMESH_LLM_AZURE_API_VERSION": "2024-10-21",
        "AGENTMESH_LLM_API_KEY": "key",
    }
    assert read_config(azure).config.llm_configured
    assert _problems({**azure, "AGENTMESH_LLM_BASE_URL": "https://other/v1"}) == [
        "AGENTMESH_LLM_BASE_URL and AGENTMESH_LLM_AZURE_ENDPOINT exclude each other; unset one"
    ]
    assert _problems({**azure, "AGENTMESH_LLM_MODELS": "a,b"}) == [
        "AGENTMESH_LLM_AZURE_DEPLOYMENT names one deployment for several models; leave it out, and name "
        "the deployments in AGENTMESH_LLM_MODELS"
    ]
    several = {**azure, "AGENTMESH_LLM_AZURE_DEPLOYMENT": "", "AGENTMESH_LLM_MODELS": "first,second"}
    assert read_config(several).config.llm_models == ("first", "second")
    del azure["AGENTMESH_LLM_AZURE_ENDPOINT"]
    assert _problems(azure) == ["AGENTMESH_LLM_AZURE_DEPLOYMENT is set without AGENTMESH_LLM_AZURE_ENDPOINT"]


def test_a_base_url_without_a_model_is_a_warning_that_names_the_model() -> None:
    (warning,) = read_config({"AGENTMESH_LLM_BASE_URL": "http://me:hidden@127.0.0.1:9/v1"}).warnings
    assert warning == "AGENTMESH_LLM_MODELS is not set: http://me:********@127.0.0.1:9/v1 is asked for gpt-4.1-mini"


FILES = {
    "mesh.toml": 'max_steps = 5\n[llm]\nmodels = ["a", "b"]\n[llm.prices."a"]\ninput_per_million = 1\n'
    "output_per_million = 2\n",
    "mesh.yaml": "max_steps: 5\nlog_level:\nllm:\n  models: [a, b]\n  prices:\n    a: {input_per_million: 1, "
    "output_per_million: 2}\n",
    "mesh.json": '{"max_steps": 5, "llm_models": "a,b", '
    '"llm_prices": {"a": {"input_per_million": 1, "output_per_million": 2}}}',
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_sets_what_no_variable_sets(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(FILES[name])
    loaded = read_config({"AGENTMESH_CONFIG_FILE": str(path), "AGENTMESH_MAX_STEPS": "6"})
    assert loaded.config.llm_models == ("a", "b")
    assert loaded.config.llm_prices["a"].input_per_million == 1
    assert loaded.config.max_steps == 6
    origins = {s.variable: (s.source, s.origin) for s in settings_of(loaded)}
    assert origins["AGENTMESH_LLM_MODELS"] == (Source.FILE, str(path))
    assert origins["AGENTMESH_MAX_STEPS"] == (Source.ENVIRONMENT, "AGENTMESH_MAX_STEPS")
    assert origins["AGENTMESH_LOG_LEVEL"] == (Source.DEFAULT, "")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.toml", "max_steps = ", "does not parse"),
        ("a.yaml", "a: [", "does not parse"),
        ("a.yaml", "x: !!python/object/apply:os.getcwd []", "does not parse"),
        ("a.yaml", "- 1", "no mapping"),
        ("a.ini", "", "must end in .toml, .yaml, .yml, .json"),
        ("a.yaml", "llm_models: [a]\nllm: {models: [b]}", "sets llm_models twice"),
        ("a.yaml", "max_steps: yes", "max_steps in {path} is 'True'; allowed: a whole number, 1 to 1000"),
        ("a.yaml", "max_stepps: 1", "max_stepps in {path} is no setting; did you mean max_steps?"),
        ("a.yaml", "llm: {modles: [a]}", "llm_modles in {path} is no setting; did you mean llm_models?"),
        ("a.yaml", "1: 2", "1 in {path} is no setting"),
    ],
)
def test_a_wrong_file_is_one_problem_that_names_it(tmp_path: Path, name: str, content: str, said: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    (problem,) = _problems({"AGENTMESH_CONFIG_FILE": str(path)})
    assert said.format(path=path) in problem
    assert str(path) in problem


@pytest.mark.parametrize("path", ["/nowhere/mesh.yaml", "/", "bad\0name.yaml"])
def test_a_file_that_cannot_be_read_is_one_problem(path: str) -> None:
    (problem,) = _problems({"AGENTMESH_CONFIG_FILE": path})
    assert problem.startswith("AGENTMESH_CONFIG_FILE names ")
    assert "cannot be read" in problem


def test_no_secret_is_shown_anywhere() -> None:
    secret = "sk-very-secret"
    loaded = read_config({"AGENTMESH_LLM_API_KEY": secret, "AGENTMESH_LLM_BASE_URL": f"http://me:{secret}@127.0.0.1/"})
    assert secret not in repr(loaded.config.llm_api_key)
    assert secret not in repr(settings_of(loaded))
    assert secret not in repr(loaded.warnings)
    refused = _problems({"AGENTMESH_LLM_API_KEY": secret * 1000, "AGENTMESH_LLM_BASE_URL": f"ftp://me:{secret}@x/"})
    assert len(refused) == 2
    assert secret not in repr(refused)


TOKEN = "correct-horse-battery-staple"


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ({"web": TOKEN, "billing": "fifteen-letters"}, "the token of caller 2 is not of 16 to 1024 "),
        ({"web": TOKEN, "billing": TOKEN * 100}, "the token of caller 2 is not of 16 to 1024 "),
        ({"web": TOKEN.replace("-", " ")}, "the token of caller 1 is not of 16 to 1024 "),
        ({"web": TOKEN + "\u00e9"}, "the token of caller 1 is not of 16 to 1024 "),
        ({"web": TOKEN, "billing": TOKEN}, "callers 1 and 2 have the same token"),
        ({TOKEN: "billing"}, "the name of caller 1 is not one"),
        ({"anonymous": TOKEN}, "the name of caller 1 is not one"),
        ({"web": {"token": TOKEN}}, "is not allowed;"),
        ({"web": 1234567890123456, "billing": 1}, "is not allowed;"),
        ([TOKEN], "is not allowed;"),
    ],
)
def test_a_wrong_token_or_name_of_a_caller_is_one_problem_that_quotes_neither(tokens: object, said: str) -> None:
    (problem,) = _problems({"AGENTMESH_CALLER_TOKENS": json.dumps(tokens, ensure_ascii=False)})
    assert problem.startswith("AGENTMESH_CALLER_TOKENS is not allowed")
    assert said in problem
    assert not any(secret in problem for secret in (TOKEN, "fifteen", "horse", "1234"))


def test_tokens_of_callers_come_from_a_file_too_and_are_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "mesh.yaml"
    path.write_text(f"caller_tokens:\n  billing: {TOKEN}\n")
    loaded = read_config({"AGENTMESH_CONFIG_FILE": str(path)})
    assert loaded.config.caller_tokens["billing"].get_secret_value() == TOKEN
    shown = {setting.variable: setting.value for setting in settings_of(loaded)}
    assert shown["AGENTMESH_CALLER_TOKENS"] == '{"billing": "********"}'
    assert TOKEN not in repr((loaded, settings_of(loaded)))


def test_every_setting_has_a_sentence_and_says_what_is_allowed() -> None:
    for setting in settings_of(read_config({})):
        assert setting.description.endswith("."), setting.variable
        assert setting.allowed, setting.variable


def test_what_is_shown_is_what_the_variable_takes() -> None:
    environment = {
        "AGENTMESH_ALLOW_PLAINTEXT": "1",
        "AGENTMESH_LLM_MODELS": "a,b",
        "AGENTMESH_LLM_PRICES": json.dumps({"a": {"input_per_million": 0.1, "output_per_million": 2.0}}),
        "AGENTMESH_SYNTHESIS_RESERVE_SECONDS": "8.5",
    }
    shown = {s.variable: s.value for s in settings_of(read_config(environment)) if s.value}
    assert read_config(shown).config == read_config(environment).config


def test_the_password_of_the_registry_is_masked() -> None:
    loaded = read_config({"AGENTMESH_REGISTRY_URL": "rediss://mesh:hidden@registry.example/0"})
    shown = {setting.variable: setting.value for setting in settings_of(loaded)}
    assert shown["AGENTMESH_REGISTRY_URL"] == "rediss://mesh:********@registry.example/0"


@pytest.mark.parametrize(
    "url", ["registry:6379", "http://registry", "redis://", "redis:///0", "unix://", "redis://registry?password=hidden"]
)
def test_what_is_no_url_of_a_store_is_refused(url: str) -> None:
    (problem,) = _problems({"AGENTMESH_REGISTRY_URL": url})
    assert "allowed: a redis://, rediss:// or unix:// URL" in problem


@pytest.mark.parametrize("url", ["redis://registry", "rediss://u:p@[::1]:6380/3", "unix:///run/valkey.sock"])
def test_a_store_is_named_by_its_url(url: str) -> None:
    assert read_config({"AGENTMESH_REGISTRY_URL": url}).config.registry_url == url


@pytest.mark.parametrize("rule", ["10.0.0.0/33", "10.0.0.1/8", "*.example", "http://a", "unix:/run", "a b", "10.0"])
def test_what_is_no_rule_for_addresses_is_refused(rule: str) -> None:
    (problem,) = _problems({"AGENTMESH_ALLOWED_ADDRESSES": f"10.0.0.0/8, {rule}"})
    assert "allowed: CIDRs, names, suffixes such as .svc.cluster.local, and unix:" in problem
