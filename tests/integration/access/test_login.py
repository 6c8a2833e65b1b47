"""`ci login`, `ci logout` and `ci whoami` with a real server, on a terminal and through pipes."""

import json
import stat
import tomllib

import httpx
import pytest

from support.administration import create_key, create_user, succeed
from support.command_line import CommandLine
from support.live_server import LiveServer

ROLES = ("viewer", "submitter", "admin")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server with one user, and without a controller."""
    with LiveServer(tmp_path_factory.mktemp("guarded"), controller="external") as server:
        create_user(server, "ann@example.com", "--tenant", "acme")
        yield server.start()


@pytest.fixture(scope="module")
def keys(guarded):
    """By role."""
    return {role: create_key(guarded, "ann@example.com", "--role", role) for role in ROLES}


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def line(guarded, tmp_path, home):
    """Of somebody who has configured nothing, in an empty directory."""
    (tmp_path / "empty").mkdir()
    line = CommandLine("", tmp_path / "empty")
    variables = {"HOME": str(home), "XDG_CONFIG_HOME": ""}
    run, on_terminal = line.run, line.on_terminal
    line.run = lambda *arguments, **more: run(*arguments, **{**variables, **more})
    line.on_terminal = lambda *arguments, **more: on_terminal(*arguments, **{**variables, **more})
    yield line
    line.close()


def stored(home):
    path = home / ".config/ci-runner/config.toml"
    return tomllib.loads(path.read_text()) if path.exists() else None


@pytest.mark.parametrize("columns", [80, 120])
def test_on_a_terminal(guarded, keys, line, home, columns):
    terminal = line.on_terminal("login", "--server", guarded.url, columns=columns)
    terminal.until_shown(f"API key for {guarded.url}: ".encode())
    terminal.type(keys["submitter"] + "\n")
    code, shown = terminal.end()
    assert code == 0, shown
    assert keys["submitter"] not in shown, "it was echoed"
    assert f"Logged in to {guarded.url}. You are ann@example.com (tenant acme, role " in shown
    assert stored(home) == {"server": guarded.url, "api_key": keys["submitter"]}
    path = home / ".config/ci-runner/config.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]
    assert line.run("list").code == 0


@pytest.mark.parametrize(
    ("typed", "code", "says"),
    [
        ("\x03", 130, "Interrupted: nothing was stored."),
        ("\x04", 2, "No API key was given"),
        ("\n", 2, "No API key was given"),
        ("ci_wrong\n", 2, "does not accept this API key"),
        ("two words\n", 2, "API key is malformed"),
    ],
)
def test_what_is_typed_is_no_key(guarded, line, home, typed, code, says):
    terminal = line.on_terminal("login", "--server", guarded.url)
    terminal.until_shown(b"API key for")
    terminal.type(typed)
    found, shown = terminal.end()
    assert (found, says in shown) == (code, True), shown
    assert "ci_wrong" not in shown
    assert "two words" not in shown
    assert stored(home) is None


@pytest.mark.parametrize("role", ROLES)
def test_through_a_pipe_and_who_one_is(guarded, keys, line, home, role):
    done = line.run("login", "--server", guarded.url, stdin=f"{keys[role]}\r\n".encode())
    assert (done.code, done.err) == (0, "")
    assert keys[role] not in done.text
    done = line.run("whoami")
    assert done.text.splitlines()[:4] == [
        f"Server:  {guarded.url} (profile default)",
        "User:    ann@example.com",
        "Tenant:  acme",
        f"Role:    {role}",
    ]
    assert f"Key:     {keys[role][:11]}… (a key) expires on " in done.text
    told = json.loads(line.run("whoami", "--json").text)
    assert told["key"].pop("expires_at").endswith("Z")
    assert told == {
        "server": {"url": guarded.url, "source": "profile", "source_name": "default"},
        "user": "ann@example.com",
        "tenant": "acme",
        "role": role,
        "credential": "api_key",
        "key": {
            "source": "profile",
            "source_name": "default",
            "prefix": keys[role][:11],
            "name": "a key",
        },
    }


def test_where_the_key_comes_from(guarded, keys, line):
    admin, viewer = keys["admin"], keys["viewer"]
    line.run("login", "--server", guarded.url, stdin=admin.encode())
    assert "(CI_API_KEY)" in line.run("whoami", CI_API_KEY=viewer).text
    assert "Role:    viewer" in line.run("whoami", CI_API_KEY=viewer).text
    told = line.run("whoami", "--profile", "default", CI_API_KEY=viewer).text
    assert "Role:    admin" in told
    done = line.run("whoami", "--server", guarded.url, "--api-key", viewer)
    assert f"{guarded.url} (--server)" in done.text
    assert "(--api-key)" in done.text
    done = line.run("whoami", CI_SERVER_URL=guarded.url)
    assert f"{guarded.url} (CI_SERVER_URL)" in done.text
    assert "Role:    admin" in done.text


def test_a_wrong_key_stores_nothing_and_leaves_what_was_there(guarded, keys, line, home):
    line.run("login", "--server", guarded.url, stdin=keys["viewer"].encode())
    before = stored(home)
    done = line.run("login", stdin=b"ci_wrong")
    assert (done.code, done.out) == (2, b"")
    assert "Nothing was stored." in done.err
    assert "ci_wrong" not in done.err
    assert stored(home) == before


def test_a_revoked_key(guarded, line):
    key = create_key(guarded)
    line.run("login", "--server", guarded.url, stdin=key.encode())
    succeed(guarded, "key", "revoke", key[:11])
    done = line.run("whoami")
    assert (done.code, done.out) == (2, b"")
    assert f"Server:  {guarded.url} (profile default)\nKey:     sent (profile default)" in done.err
    assert "unknown there, expired or revoked" in done.err
    assert key not in done.err


def test_profiles(guarded, keys, line, home, own_server):
    other = own_server(controller="external").start()
    line.run("login", "--server", guarded.url, stdin=keys["admin"].encode())
    named = line.run("login", "--profile", "look", "--server", guarded.url,
                     stdin=keys["viewer"].encode())  # fmt: skip
    assert "Stored as the profile look, used with --profile look" in named.text
    local = line.run("login", "--server", other.url, stdin=b"ci_not_read")
    host = other.url.removeprefix("http://").replace(":", "-")
    assert f"{other.url} needs no API key. It has no users" in local.text
    assert f"Stored as the profile {host}" in local.text
    assert "Role:    viewer" in line.run("whoami", "--profile", "look").text
    assert "Role:    viewer" in line.run("whoami", CI_PROFILE="look").text
    assert "Role:    admin" in line.run("whoami").text
    assert "Role:    admin" in line.run("whoami", "--profile", host).text, "of a local user"
    mistyped = line.run("list", "--profile", "lok")
    assert (mistyped.code, mistyped.out) == (2, b"")
    assert "there is no profile 'lok'" in mistyped.err
    assert "Did you mean look?" in mistyped.err
    again = line.run("login", "--profile", "look", stdin=keys["submitter"].encode())
    assert again.code == 0, again.err
    assert "Role:    submitter" in line.run("whoami", "--profile", "look").text
    unknown = line.run("login", "--profile", "new", stdin=keys["viewer"].encode())
    assert unknown.code == 2
    assert "`ci login --profile NAME --server URL` creates one" in unknown.err


def test_logout(guarded, keys, line, home):
    for name in ("default", "look"):
        line.run("login", "--profile", name, "--server", guarded.url, stdin=keys["viewer"].encode())
    done = line.run("logout", "--profile", "look")
    assert "Removed the key of the profile look" in done.text
    assert "`ci-admin key revoke`" in done.err
    assert "api_key" in stored(home)
    assert stored(home)["profiles"] == {"look": {"server": guarded.url}}
    for asked in (["whoami", "--profile", "look"], ["list", "--profile", "look"]):
        refused = line.run(*asked)
        assert (refused.code, refused.out) == (2, b""), "not with the key of another profile"
        assert "the profile look has no API key" in refused.err
        assert "`ci login --profile look`" in refused.err
    line.run("logout", CI_PROFILE="look")
    assert "api_key" in stored(home), "of the other profile"
    done = line.run("logout", "--profile", "look")
    assert "Removed the profile look, which had no key" in done.text
    assert stored(home).keys() == {"server", "api_key"}
    assert "there is no profile 'look'" in line.run("logout", "--profile", "look").err
    done = line.run("logout", CI_API_KEY=keys["viewer"])
    assert stored(home)["server"] == guarded.url
    assert "api_key" not in stored(home)
    assert "CI_API_KEY is set" in done.err
    done = line.run("list")
    assert done.code == 2
    assert "`ci login --profile default`" in done.err
    assert f"No key is stored for {guarded.url}." in line.run("logout").text


def test_a_server_without_users(own_server, line, home):
    server = own_server(controller="external").start()
    terminal = line.on_terminal("login", "--server", server.url)
    code, shown = terminal.end()
    assert (code, "needs no API key" in shown) == (0, True), shown
    assert stored(home) == {"server": server.url}
    done = line.run("whoami")
    assert (done.code, "User:    local" in done.text) == (0, True)
    assert "Key:     none" in done.text
    assert "needs no key: anyone who can reach it has full access" in done.err
    assert json.loads(line.run("whoami", "--json").text)["key"] is None
    assert json.loads(line.run("whoami", "--json").text)["credential"] == "local"


def test_the_route(guarded, keys):
    headers = {"Authorization": f"Bearer {keys['admin']}"}
    answer = httpx.get(f"{guarded.url}/whoami", headers=headers, trust_env=False, timeout=60)
    told = answer.json()
    assert told["key"].pop("expires_at") > "2026"
    assert told == {
        "user": "ann@example.com",
        "tenant": "acme",
        "role": "admin",
        "credential": "api_key",
        "key": {"prefix": keys["admin"][:11], "name": "a key"},
    }
    assert httpx.get(f"{guarded.url}/whoami", trust_env=False, timeout=60).status_code == 401
