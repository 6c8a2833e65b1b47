"""Which server is chosen, and which key goes to it: all sources of both, crossed."""

import itertools
import json
import ssl

import pytest

from ci_client.errors import ConfigError, UsageError
from ci_client.library.config import SourceKind, load_config
from ci_client.library.server_address import DEFAULT_SERVER, origin
from ci_client.library.transport import open_http

OPTION, VARIABLE = "https://option.example", "https://variable.example"
USUAL, WORK, STRANGE = "https://usual.example", "https://work.example", "https://strange.example"
BELONGS = {"ci_usual": USUAL, "ci_work": WORK}
"""The server that each stored key was stored for."""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for name in ("CI_SERVER_URL", "CI_API_KEY", "CI_PROFILE", "CI_ALLOW_HTTP", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "project").mkdir()
    return tmp_path


@pytest.fixture
def configure(home):
    def configure(text):
        path = home / ".config/ci-runner/config.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(text)
        return path

    return configure


@pytest.fixture
def load(home, monkeypatch):
    """The configuration in a project whose table names this server, if any."""

    def load(project=None, variables=(), **asked):
        table = "" if project is None else f"[tool.ci]\nserver = {json.dumps(project)}\n"
        (home / "project/pyproject.toml").write_text(table)
        with monkeypatch.context() as patch:
            for name, value in dict(variables).items():
                if value is not None:
                    patch.setenv(name, value)
            return load_config(project=home / "project", **asked)

    return load


def user_file(usual, usual_key, work_key):
    top = f'server = "{usual}"\n' if usual else ""
    top += 'api_key = "ci_usual"\n' if usual and usual_key else ""
    work = 'api_key = "ci_work"\n' if work_key else ""
    return f'{top}\n[profiles.work]\nserver = "{WORK}"\n{work}'


def named(option, variable, profile, env_profile, usual, project):
    """The server, who named it, and whether it is the project's choice alone; `None` for two that
    do not go together.
    """
    if option:
        return None if profile else (option, SourceKind.OPTION, False)
    if profile:
        return WORK, SourceKind.PROFILE, False
    if variable:
        return None if env_profile else (variable, SourceKind.ENVIRONMENT, False)
    if env_profile:
        return WORK, SourceKind.PROFILE, False
    if project == WORK:
        return WORK, SourceKind.PROJECT, False
    if usual:
        return USUAL, SourceKind.PROFILE, False
    if project:
        return project, SourceKind.PROJECT, True
    return DEFAULT_SERVER, SourceKind.DEFAULT, False


def expected_key(server, source, is_projects, profile, given_key, env_key, stored):
    """By name; an error where a key would go to a server that only the project names."""
    if is_projects:
        return "refused" if given_key or env_key else None
    own = next((key for key, place in stored.items() if place == server), None)
    if source is SourceKind.PROJECT:
        return given_key or own
    return given_key or (profile and own) or env_key or own


STORED = list(itertools.product([None, USUAL], [False, True], [False, True]))


@pytest.mark.parametrize("stored", STORED)
def test_every_source_of_a_server_with_every_source_of_a_key(configure, load, stored):
    usual, usual_key, work_key = stored
    configure(user_file(usual, usual_key, work_key))
    keys = {"ci_usual": USUAL} if usual and usual_key else {}
    keys |= {"ci_work": WORK} if work_key else {}
    seen = set()
    for option, variable, profile, env_profile, project, given_key, env_key in itertools.product(
        [None, OPTION],
        [None, VARIABLE],
        [None, "work"],
        [None, "work"],
        [None, STRANGE, WORK, USUAL],
        [None, "ci_option"],
        [None, "ci_variable"],
    ):
        asked = {"server_url": option, "profile": profile, "api_key": given_key}
        variables = {"CI_SERVER_URL": variable, "CI_PROFILE": env_profile, "CI_API_KEY": env_key}
        case = (asked, variables, project)
        wanted = named(option, variable, profile, env_profile, usual, project)
        key = wanted and expected_key(*wanted, profile, given_key, env_key, keys)
        if wanted is None or key == "refused":
            with pytest.raises(ConfigError) as told:
                load(project, variables, **asked)
            assert "ci_" not in str(told.value), case
            seen.add("refused")
            continue
        found = load(project, variables, **asked)
        assert (found.server_url, found.server_source.kind, found.is_projects_choice) == wanted
        assert found.api_key == key, case
        assert BELONGS.get(str(key), found.server_url) == found.server_url, case
        seen.add(found.server_source.kind)
    assert seen >= {*SourceKind} - {SourceKind.DEFAULT if usual else None}


def test_what_is_refused_says_what_to_do(load):
    with pytest.raises(ConfigError) as told:
        load("https://x.example/a;b", {"CI_API_KEY": "ci_mine"})
    assert "only this project's pyproject.toml names the server" in str(told.value)
    assert "ci login --server 'https://x.example/a;b'" in str(told.value)


def test_capitals_in_the_scheme_do_not_switch_off_encryption(load):
    found = load(server_url="HTTPS://A.example").server_url
    assert found == "https://A.example"
    with open_http("HTTPS://A.example") as http:
        assert http._transport._pool._ssl_context.verify_mode is ssl.CERT_REQUIRED


def test_two_names_for_one_server_do_not_contradict(configure, load):
    configure(user_file(USUAL, True, True))
    assert load(server_url=f"{WORK}:443/", profile="work").api_key == "ci_work"
    variables = {"CI_SERVER_URL": WORK.upper(), "CI_PROFILE": "work"}
    assert load(variables=variables).api_key == "ci_work"


def test_the_profile_that_is_usual(configure, load):
    configure('profile = "work"\n' + user_file(USUAL, True, True))
    assert (load().server_url, load().api_key, load().server_option) == (WORK, "ci_work", "")
    assert load(profile="default").server_option == " --profile default"
    assert load(project=STRANGE).passed_over == STRANGE
    assert load(project=WORK).passed_over is None
    configure('profile = "wrok"\n' + user_file(USUAL, True, True))
    with pytest.raises(ConfigError, match=r"profile: there is no profile 'wrok'.*mean work\?"):
        load()
    assert load(server_url=OPTION).server_url == OPTION


@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_mistyped_profile(configure, load, how):
    path = configure(user_file(USUAL, True, True))
    asked = {"profile": "wrk"} if how == "option" else {"variables": {"CI_PROFILE": "wrk"}}
    with pytest.raises(ConfigError) as told:
        load(**asked)
    assert f"there is no profile 'wrk' in {path}. Did you mean work?" in str(told.value)
    assert "default, work" in str(told.value)


@pytest.mark.parametrize(
    "text",
    [
        "profiles = 3",
        "[profiles]\nwork = 3",
        "[profiles.work]",
        '[profiles.work]\napi_key = "x"',
        '[profiles.work]\nserver = "https://a"\nsever = "b"',
        '[profiles."a b"]\nserver = "https://a"',
        'server = "https://a"\n[profiles.default]\nserver = "https://b"',
        'profile = ""',
        "profile = 3",
    ],
)
def test_a_broken_profile_is_told_with_the_file(configure, load, text):
    path = configure(text)
    with pytest.raises(ConfigError, match=str(path)):
        load()


def test_two_configuration_files_are_one_too_many(configure, load, home):
    configure(user_file(USUAL, True, True))
    (home / ".ci").mkdir()
    (home / ".ci/config").write_text('server = "https://old.example"\n')
    with pytest.raises(ConfigError, match="two configuration files"):
        load()


def test_where_the_file_is(home, load, monkeypatch):
    for name in ("XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.setenv(name, str(home / name))
    for system, place in (
        ("linux", "XDG_CONFIG_HOME"),
        ("win32", "APPDATA"),
        ("darwin", "Library/Application Support"),
    ):
        path = home / place / "ci-runner/config.toml"
        path.parent.mkdir(parents=True)
        path.write_text(f'server = "https://{system}.example"\n')
        monkeypatch.setattr("sys.platform", system)
        assert load().server_url == f"https://{system}.example"


# ------------------------------------------------------------------ one server, or two


@pytest.mark.parametrize(
    "same",
    [
        ("https://a.example", "https://a.example:443/base"),
        ("https://a.example", "HTTPS://A.Example/"),
        ("http://a.example", "http://a.example:80"),
        ("https://[::1]", "https://[::1]:443"),
        ("https://127.0.0.1:8000", "https://127.0.0.1:8000/x"),
    ],
)
def test_addresses_of_one_server(configure, load, monkeypatch, same):
    monkeypatch.setenv("CI_ALLOW_HTTP", "true")
    for stored, project in (same, same[::-1]):
        configure(f'[profiles.work]\nserver = "{stored}"\napi_key = "ci_work"\n')
        assert load(project).api_key == "ci_work"
        assert origin(load(project).server_url) == origin(load(profile="work").server_url)


@pytest.mark.parametrize(
    "project",
    [
        "https://a.example:8443",
        "http://a.example",
        "http://a.example:443",
        "https://a.example.",
        "https://a.example.evil.example",
        "https://xa.example",
        "https://evil.example/a.example",
        "https://evil.example:443/https://a.example",
        "https://а.example",  # noqa: RUF001 - the first letter is Cyrillic
    ],
)
def test_addresses_that_only_look_like_it(configure, load, project):
    configure('[profiles.work]\nserver = "https://a.example"\napi_key = "ci_work"\n')
    assert load(project).is_projects_choice
    assert load(project).api_key is None
    with pytest.raises(ConfigError, match="was not sent: only"):
        load(project, {"CI_API_KEY": "ci_variable"})


@pytest.mark.parametrize(
    "project",
    [
        "https://a.example@evil.example",
        "https://a.example:x@evil.example",
        "https://a.example\\@evil.example",
        "https://a.example\t@evil.example",
        "https://a.exam\tple",
        "https://a.example\n.evil.example",
        "https://a.example#@evil.example",
        "https://a.example?@evil.example",
        "ftp://a.example",
        "https://",
    ],
)
def test_addresses_that_a_project_may_not_have(configure, load, project):
    configure('[profiles.work]\nserver = "https://a.example"\napi_key = "ci_work"\n')
    with pytest.raises(ConfigError, match=r"pyproject\.toml: tool\.ci\.server: "):
        load(project)


# ------------------------------------------------------------------ the project's table


@pytest.mark.parametrize("name", ["api_key", "api-key", "apikey", "API_KEY", "token", "key"])
@pytest.mark.parametrize(("file", "table"), [("ci.toml", ""), ("pyproject.toml", "[tool.ci]\n")])
def test_a_key_in_the_projects_table(home, file, table, name):
    (home / "project" / file).write_text(f'{table}{name} = "ci_secret"\n')
    with pytest.raises(UsageError, match=rf"{name}: do not put an API key.*`ci login`") as told:
        load_config(project=home / "project")
    assert "ci_secret" not in str(told.value)


@pytest.mark.parametrize("value", ["3", "true", "[]", "{}", '""'])
def test_a_server_of_the_wrong_type(home, value):
    (home / "project/ci.toml").write_text(f"server = {value}\n")
    with pytest.raises(UsageError, match=r"ci\.toml: server must be a server address"):
        load_config(project=home / "project")


def test_a_project_is_not_read_where_the_user_names_the_server(home, load):
    (home / "project/ci.toml").write_text("server = 3\n")
    assert load_config(OPTION, project=home / "project").server_url == OPTION


# ------------------------------------------------------------------ several profiles of a server

_TWINS = f"""
[profiles.bob]
server = "{WORK}"
api_key = "ci_bob"

[profiles.two]
server = "{WORK}"
"""


@pytest.mark.parametrize("default", ["bob", "two", "default"])
@pytest.mark.parametrize("extra", ["", 'api_key = "ci_of_no_server"\n'])
def test_a_profile_never_uses_the_key_of_another(configure, load, default, extra):
    configure(f'profile = "{default}"\n{extra}{_TWINS}')
    for found in (
        load(profile="two"),
        load(variables={"CI_PROFILE": "two"}),
        load(profile="two", server_url=WORK),
        load(variables={"CI_PROFILE": "two", "CI_SERVER_URL": WORK}),
    ):
        assert (found.api_key, found.profile_without_key) == (None, "two")
    assert load(profile="two", variables={"CI_API_KEY": "ci_mine"}).api_key == "ci_mine"
    assert load(profile="bob").api_key == "ci_bob"
    assert load(server_url=WORK).api_key == "ci_bob", "the only key for this server"
    if default == "two":
        assert (load().api_key, load().profile_without_key) == (None, "two")


@pytest.mark.parametrize(
    "how", [{"server_url": WORK}, {"variables": {"CI_SERVER_URL": WORK}}, {"project": WORK}]
)
def test_an_address_with_several_keys_is_ambiguous_without_a_default(configure, load, how):
    twins = _TWINS + 'api_key = "ci_two"\n'
    configure(f'profile = "two"\n{twins}')
    assert load(**how).api_key == "ci_two"
    configure(f'server = "{USUAL}"\napi_key = "ci_usual"\n{twins}')
    with pytest.raises(ConfigError, match=r"bob, two\. Choose one with --profile or CI_PROFILE"):
        load(**how)
    assert load(**how, api_key="ci_mine").api_key == "ci_mine"
    configure(twins.replace("ci_bob", "ci_two"))
    assert load(**how).api_key == "ci_two", "the same key twice is one"
