"""What config_agent hides: secrets by the name of their key and by their looks, and nothing that only resembles one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_svcs.config_agent.masking import MASK, mask_config, mask_text, path_text
from agent_svcs.config_agent.secret_names import is_secret_name
from agentmesh.jsonvalues import Json, JsonObject


@pytest.mark.parametrize(
    "name",
    [
        "password", "Password", "db_password", "dbPassword", "DB-PASSWORD", "PGPASSWORD", "passwd", "pwd", "pass",
        "passphrase", "secret", "client_secret", "clientSecret", "SECRET_KEY_BASE", "token", "access_token",
        "authToken",
        "X-Auth-Token", "refreshtoken_secret", "api_key", "apiKey", "apikey", "API-KEY", "x.api.key", "private_key",
        "privateKey", "signing_key", "encryption-keys", "ssh_key", "tls.key", "aws_access_key_id", "credentials",
        "authorization", "Cookie", "dsn", "connectionString", "connection_string", "storage_account_key", "otp", "pin",
        "keytab", "id_rsa_pem", "jwt", "password_hash", "rootPasswordHash2",
    ],
)  # fmt: skip
def test_a_key_that_names_a_secret_is_known(name: str) -> None:
    assert is_secret_name(name)
    assert mask_config({name: "v"}).config == {name: MASK}


@pytest.mark.parametrize(
    "name",
    [
        "", "host", "user", "username", "author", "authors", "key", "keys", "primary_key", "keyboard", "monkey",
        "passive",
        "bypass_cache", "tokenizer", "compass", "password_file", "token_path", "secret_dir", "pinned", "spin", "salted",
        "cookies_file", "keepalive", "max_steps", "description", "public_url",
    ],
)  # fmt: skip
def test_a_key_that_names_none_is_shown(name: str) -> None:
    assert not is_secret_name(name)
    assert mask_config({name: "plain"}).config == {name: "plain"}


def test_numbers_under_a_secrets_name_are_hidden_unless_they_are_quantities() -> None:
    config: JsonObject = {"pin": 1234, "password": 1.5, "max_tokens": 4096, "token_ttl": 60, "tokens_per_minute": 9000}
    assert mask_config(config).config == {**config, "pin": MASK, "password": MASK}


@pytest.mark.parametrize("value", [None, True, False, ""])
def test_that_a_secret_is_unset_or_switched_on_stays_visible(value: Json) -> None:
    masked = mask_config({"password": value})
    assert (masked.config, masked.paths) == ({"password": value}, [])


def test_everything_inside_a_section_of_secrets_is_hidden_and_each_place_is_named() -> None:
    config: JsonObject = {"credentials": {"user": "u", "more": [{"a": "x"}, "y", 5]}, "open": "o"}
    masked = mask_config(config)
    assert masked.config == {"credentials": {"user": MASK, "more": [{"a": MASK}, MASK, MASK]}, "open": "o"}
    assert masked.paths == ["credentials.user", "credentials.more[0].a", "credentials.more[1]", "credentials.more[2]"]


def test_a_section_about_authentication_is_searched_and_not_hidden_as_a_whole() -> None:
    assert mask_config({"auth": {"type": "oidc", "client_secret": "s"}}).config == {
        "auth": {"type": "oidc", "client_secret": MASK}
    }


def test_environments_as_lists_and_command_lines_are_searched() -> None:
    config: JsonObject = {
        "env": [{"name": "DB_PASSWORD", "value": "hunter2"}, {"name": "PORT", "value": "80"}, "API_KEY=hunter2", "A=b"],
        "args": ["serve", "--token", "hunter2", "--port", "80", "--password=hunter2"],
    }
    assert mask_config(config).config == {
        "env": [{"name": "DB_PASSWORD", "value": MASK}, {"name": "PORT", "value": "80"}, f"API_KEY={MASK}", "A=b"],
        "args": ["serve", "--token", MASK, "--port", "80", f"--password={MASK}"],
    }


# Assembled, so that no scanner takes this file for a leak.
GITHUB = "gh" + "p_" + "a1" * 18
JSON_WEB_TOKEN = "ey" + "J" + "hbGciOiJI" + "." + "ey" + "JzdWIiOiIx" + "." + "SflKxwRJSMeKKF2QT4"
PRIVATE_KEY = "-----BEGIN RSA PRIVATE" + " KEY-----\nMIIhunter2\nhunter2==\n-----END RSA PRIVATE" + " KEY-----"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://user:hunter2@db:5432/app", f"postgres://{MASK}@db:5432/app"),
        ("redis://:hunter2@cache:6379,redis://:hunter2@other:6379", f"redis://{MASK}@other:6379"),
        ("amqp://u:hun/ter2@ss@host/v", f"amqp://{MASK}@host/v"),
        (f"https://{GITHUB}@example.org/x.git", f"https://{MASK}@example.org/x.git"),
        ("https://example.org/?a=1&api_key=hunter2&b=2", f"https://example.org/?a=1&api_key={MASK}&b=2"),
        ("Server=db;User=sa;Password=hunt,er2;Timeout=5", f"Server=db;User=sa;Password={MASK};Timeout=5"),
        ("run --user bob --token hunter2 --verbose", f"run --user bob --token {MASK} --verbose"),
        ('say "password": "hunter2 hunter2" twice', f'say "password": {MASK} twice'),
        ("options=password=hunter2", f"options=password={MASK}"),
        ("Authorization: Bearer hunter2hunter2", f"Authorization: {MASK}"),
        ("curl -H 'X: Basic aHVudGVyMg=='", f"curl -H 'X: {MASK}'"),
        (f"before {PRIVATE_KEY} after", f"before {MASK} after"),
        (PRIVATE_KEY.partition("-----END")[0], MASK),
        (f"jwt is {JSON_WEB_TOKEN}", f"jwt is {MASK}"),
        (GITHUB, MASK),
        ("sk" + "-proj-" + "abcdefgh12345678", MASK),
        ("AK" + "IA" + "ABCDEFGHIJKLMNOP", MASK),
        ("$2b$12$abcdefghijklmnopqrstuv", MASK),
    ],
)
def test_secrets_are_found_inside_text(text: str, shown: str) -> None:
    assert mask_text(text) == shown
    assert mask_config({"note": text}).config == {"note": shown}


@pytest.mark.parametrize(
    "text",
    [
        "http://example.org:8080/path",
        "127.0.0.1:50051",
        "unix:/run/agentmesh.sock",
        "user@example.org",
        "the token is checked by the gateway",
        "2026-11-22T10:00:00Z",
        "sha256:" + "0123456789abcdef" * 4,
        "key: value",
        "task-force",
        "%(asctime)s %(message)s",
    ],
)
def test_ordinary_text_is_left_as_it_is(text: str) -> None:
    assert mask_text(text) == text


def test_a_secret_that_is_a_key_is_hidden_and_no_entry_is_lost() -> None:
    masked = mask_config({GITHUB: "a", GITHUB[:-1] + "z": "b", "c": {GITHUB: {"password": "x"}}})
    assert masked.config == {MASK: "a", MASK + "*": "b", "c": {MASK: {"password": MASK}}}
    assert GITHUB not in str(masked)
    assert path_text(["c", GITHUB, 3, "d"]) == f"c.{MASK}[3].d"


@given(st.text(max_size=200))
def test_masking_what_is_masked_changes_nothing_more_of_a_value(text: str) -> None:
    once = mask_config({"password": text, "note": text}).config
    assert mask_config(once).config["password"] == once["password"]
    assert text not in str(once["password"]) or text in ("", "*", "**", "***")


@pytest.mark.parametrize(
    "piece",
    ["://a:", "ey" + "J-", "a=", "--a ", "-----BEGIN PRIVATE KEY-----", "sk-", '"', "x.", "password=a,", "Bearer "],
)
def test_hostile_text_as_long_as_a_file_may_be_is_searched_to_its_end(piece: str) -> None:
    hostile = piece * (128 * 1024 // len(piece))  # where the time grew with the square, the test would time out
    assert mask_text(f"{hostile}\nlast_password=hunter2").find("hunter2") == -1
