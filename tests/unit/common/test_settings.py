"""Settings come from the environment, are documented, and are checked whichever executor runs."""

import inspect
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from ci_common import settings as common
from ci_common.errors import SettingsError
from ci_common.settings import EnvironmentSettings, Settings
from ci_controller.executors.docker import DockerSettings
from ci_controller.executors.registry import EXECUTORS, load_settings

ROOT = Path(__file__).resolve().parents[3]

MODELS = [
    *(model for _, model in inspect.getmembers(common, inspect.isclass) if model.model_fields),
    *(kind.settings for kind in EXECUTORS.values()),
]
FIELDS = {name: model for model in MODELS for name in model.model_fields if model is not Settings}
"""The class of each setting, by its name."""


def test_every_setting_of_the_server_is_in_one_class():
    parts = Settings.__bases__
    assert {name for name, model in FIELDS.items() if model in parts} == set(Settings.model_fields)
    assert sum(len(model.model_fields) for model in parts) == len(Settings.model_fields)


def test_no_two_executors_read_a_setting_and_the_server_none_of_theirs():
    for kind in EXECUTORS.values():
        assert issubclass(kind.settings, EnvironmentSettings)
    own = [name for kind in EXECUTORS.values() for name in kind.settings.model_fields]
    assert len({*own, *Settings.model_fields}) == len(own) + len(Settings.model_fields)


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_every_setting_is_documented_with_its_default(name):
    text = (ROOT / "docs" / "configuration.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith(f"| `CI_{name.upper()}` |")]
    assert rows, f"CI_{name.upper()} is not in docs/configuration.md"
    default = FIELDS[name].model_fields[name].default
    if default is None:
        shown = "unset" if name != "data_dir" else "beside the database"
    elif default == "":
        shown = "empty"
    else:
        shown = f"`{getattr(default, 'value', default)}`"
    cells = rows[0].split("|")
    assert shown.replace(".0`", "`") in cells[2].replace(".0`", "`")


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_every_setting_has_a_docstring(name):
    source = inspect.getsource(FIELDS[name])
    assert re.search(rf'    {name}: .*\n(?:        .*\n|    \)\n)*    """', source)


NUMBERS = [
    name for name, model in FIELDS.items() if "float" in str(model.model_fields[name].annotation)
]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e400"])
@pytest.mark.parametrize("name", NUMBERS)
def test_a_setting_is_a_finite_number(monkeypatch, name, value):
    monkeypatch.setenv(f"CI_{name.upper()}", value)
    with pytest.raises(SettingsError, match=f"CI_{name.upper()}: "):
        load_settings()


def test_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("CI_DB_PATH", "/x/other.sqlite")
    monkeypatch.setenv("CI_MAX_CONCURRENT_JOBS", "7")
    monkeypatch.setenv("CI_NO_SUCH_SETTING", "1")
    settings = Settings()
    assert settings.max_concurrent_jobs == 7
    assert settings.data_path == Path("/x/other.sqlite.data")
    monkeypatch.setenv("CI_DATA_DIR", "/y")
    assert Settings().data_path == Path("/y")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONTAINER_PREFIX", "-x"),
        ("CONTAINER_PREFIX", "a/b"),
        ("CONTAINER_PREFIX", "a b"),
        ("CONTAINER_PREFIX", "ä"),
        ("RECONCILE_SECONDS", "0"),
        ("MAX_CONCURRENT_JOBS", "0"),
        ("DEFAULT_TIMEOUT_SECONDS", "inf"),
        ("CANCEL_GRACE_SECONDS", "inf"),
        ("CANCEL_GRACE_SECONDS", "-1"),
        ("LOG_LEVEL", "LOUD"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "https://*.example.com"),
        ("CORS_ORIGINS", "https://ci.example.com/"),
        ("CORS_ORIGINS", "https://ci.example.com,null"),
        ("CORS_ORIGINS", "null"),
        ("CORS_ORIGINS", "null://"),
        ("CORS_ORIGINS", "vscode-webview://"),
        ("CORS_ORIGINS", "vscode-webview://*"),
        ("CORS_ORIGINS", "vscode-webview://1a2b3c/"),
        ("CORS_ORIGINS", "vscode-webview://1A2B3C"),
        ("CORS_ORIGINS", "VSCode-Webview://1a2b3c"),
        ("CORS_ORIGINS", "vscode-webview:1a2b3c"),
        ("CORS_ORIGINS", "1a://x"),
        ("CORS_ORIGINS", "a b://x"),
        ("CORS_ORIGINS", "https://user@ci.example.com"),
        ("CORS_ORIGINS", "http://under_score"),
        ("AUDIT_DAYS", "1"),
        ("MAX_CONNECTIONS_PER_ADDRESS", "0"),
    ],
)
def test_bad_settings_are_refused(monkeypatch, name, value):
    monkeypatch.setenv(f"CI_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        FIELDS[name.lower()]()
    with pytest.raises(SettingsError, match=f"CI_{name}: "):
        load_settings()


def test_wrong_settings_are_told_by_their_variables(monkeypatch):
    monkeypatch.setenv("CI_MAX_ENTRIES", "0")
    monkeypatch.setenv("CI_TRUSTED_PROXIES", "nginx")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    first, second = refused.value.message.split("; ", 1)
    assert first.startswith("CI_MAX_ENTRIES: Input should be")
    assert second.startswith("CI_TRUSTED_PROXIES: 'nginx' is neither an address nor a network")


def test_a_key_that_is_none_is_told_and_not_repeated(monkeypatch):
    monkeypatch.setenv("CI_SECRET_KEY", "my-passphrase")
    with pytest.raises(SettingsError, match=r"CI_SECRET_KEY: .*32 random bytes") as refused:
        load_settings()
    assert "my-passphrase" not in refused.value.message


KEYS = {"JWKS_URL": "https://keys.example/k"}
ISSUER = {"ISSUER": "https://issuer.example"}
AUDIENCE = {"AUDIENCE": "ci"}
UNCHECKED = {"CHECK_AUDIENCE": "false"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (KEYS, "CI_JWT_ISSUER and CI_JWT_AUDIENCE missing"),
        (ISSUER, "CI_JWT_AUDIENCE missing"),
        (AUDIENCE, "CI_JWT_JWKS_URL and CI_JWT_ISSUER missing"),
        (KEYS | ISSUER, "CI_JWT_AUDIENCE missing"),
        (KEYS | AUDIENCE, "CI_JWT_ISSUER missing"),
        ({"ISSUER": "accounts"} | AUDIENCE, "CI_JWT_JWKS_URL missing"),
        ({"ISSUER": "http://issuer.example"} | AUDIENCE, "CI_JWT_JWKS_URL missing"),
        ({"ISSUER": "https://issuer.example/?a=b"} | AUDIENCE, "CI_JWT_JWKS_URL missing"),
        ({"ISSUER": "https://[::1"} | AUDIENCE, "CI_JWT_JWKS_URL missing"),
        (UNCHECKED, "CI_JWT_JWKS_URL and CI_JWT_ISSUER missing"),
        (UNCHECKED | KEYS, "CI_JWT_ISSUER missing"),
        (UNCHECKED | ISSUER | AUDIENCE, "cannot be combined"),
    ],
)
def test_settings_of_jwts_that_do_not_go_together_are_told(monkeypatch, given, told):
    for name, value in given.items():
        monkeypatch.setenv(f"CI_JWT_{name}", value)
    with pytest.raises(SettingsError, match=told):
        load_settings()


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        ("https://issuer.example", "https://issuer.example/.well-known/jwks.json"),
        ("https://issuer.example/", "https://issuer.example/.well-known/jwks.json"),
        ("https://issuer.example/a/v2.0", "https://issuer.example/a/v2.0/.well-known/jwks.json"),
        ("http://127.0.0.1:8081/a/", "http://127.0.0.1:8081/a/.well-known/jwks.json"),
    ],
)
def test_where_an_issuer_has_its_keys(monkeypatch, issuer, url):
    assert load_settings().jwt_keys_url is None
    monkeypatch.setenv("CI_JWT_ISSUER", issuer)
    monkeypatch.setenv("CI_JWT_AUDIENCE", "ci")
    assert load_settings().jwt_keys_url == url
    monkeypatch.setenv("CI_JWT_JWKS_URL", "https://keys.example/k")
    assert load_settings().jwt_keys_url == "https://keys.example/k"
    assert load_settings().jwt_issuer == issuer


@pytest.mark.parametrize("value", ["", ",", "a,", "a,,b", "a b", "a,a", "ä", "a\nb", "a" * 257])
@pytest.mark.parametrize("name", ["CI_JWT_TENANT_CLAIMS", "CI_JWT_USER_CLAIMS"])
def test_names_of_claims_that_are_none(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"{name}: must be names of claims"):
        load_settings()


def test_origins_are_a_list(monkeypatch):
    assert Settings().allowed_origins == ()
    monkeypatch.setenv("CI_CORS_ORIGINS", "https://a.example.com, http://localhost:3000,")
    assert Settings().allowed_origins == ("https://a.example.com", "http://localhost:3000")
    for origin in ("vscode-webview://1a2b3c", "chrome-extension://abc", "tauri://localhost:1420"):
        monkeypatch.setenv("CI_CORS_ORIGINS", f"https://a.example.com,{origin}")
        assert Settings().allowed_origins == ("https://a.example.com", origin)


def test_an_executor_that_is_not_there_is_told_with_those_that_are(monkeypatch):
    monkeypatch.setenv("CI_EXECUTOR", "podman")
    monkeypatch.setenv("CI_MAX_ENTRIES", "0")
    with pytest.raises(SettingsError, match="CI_MAX_ENTRIES: ") as refused:
        load_settings()
    assert "CI_EXECUTOR: Input should be 'docker' or 'process'" in refused.value.message


def test_settings_of_an_executor_that_is_not_chosen_are_checked(monkeypatch):
    monkeypatch.setenv("CI_EXECUTOR", "process")
    monkeypatch.setenv("CI_CONTAINER_PREFIX", "a b")
    monkeypatch.setenv("CI_DEPS_CACHE_MB", "-1")
    with pytest.raises(SettingsError, match="CI_CONTAINER_PREFIX: must start") as refused:
        load_settings()
    assert "; CI_DEPS_CACHE_MB: " in refused.value.message


def test_an_executor_reads_its_own(monkeypatch):
    monkeypatch.setenv("CI_IMAGE", "mine:1")
    assert DockerSettings().image == "mine:1"
    assert not hasattr(load_settings(), "image")


def test_variables_of_installations(monkeypatch):
    assert load_settings().setup_env == {}
    monkeypatch.setenv("CI_SETUP_ENV", '{"UV_DEFAULT_INDEX": "https://index.example/simple"}')
    assert load_settings().setup_env == {"UV_DEFAULT_INDEX": "https://index.example/simple"}


@pytest.mark.parametrize("value", ["A=b", "[]", '{"A": 1}', '{"a b": "c"}', '{"A": "\\u0000"}'])
def test_variables_of_installations_that_are_none(monkeypatch, value):
    monkeypatch.setenv("CI_SETUP_ENV", value)
    with pytest.raises(SettingsError, match="CI_SETUP_ENV: must"):
        load_settings()
