"""`ci login` and `ci whoami` where server, way or file are not as usual; and the file's edits."""

import json
import os
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from client_scripted_server import error, reply, reply_json, scripted_server
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci_client import functions as library
from ci_client.library.config_edit import remove_profile, store_profile
from ci_client.library.user_config import Profile, parse_user_config

KEY = "ci_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
PIPED = KEY.encode()
ANN = {"user": "ann", "tenant": "acme", "role": "admin", "credential": "jwt", "key": None}
UNKNOWN = error(401, "unauthenticated", "who are you?")


@pytest.fixture
def ci(tmp_path):
    """Run `ci ARGUMENTS…` as somebody who has configured nothing, with a key on stdin."""
    (tmp_path / "empty").mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CI_")}
    kept |= {"PYTHONPATH": str(Path(library.__file__).parents[1]), "HOME": str(tmp_path)}
    kept |= {"XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    code = "import sys; from ci_client.cli import main; sys.argv[0] = 'ci'; main()"

    def ci(*arguments, stdin=PIPED, **variables):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path / "empty",
            env={**kept, **variables},
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        assert "Traceback" not in err, err
        assert KEY not in out + err
        return done.returncode, out, err

    return ci


@pytest.fixture
def file(tmp_path):
    return tmp_path / "xdg/ci-runner/config.toml"


def answer(server, **told):
    """Once without a key, and then with one."""
    server.on("GET /whoami", UNKNOWN, reply_json({**ANN, **told}))


def keys_sent_to(server):
    return [asked.headers.get("authorization") for asked in server.requests]


def test_the_key_is_tried_before_it_is_stored(server, ci, file):
    answer(server)
    code, out, err = ci("login", "--server", server.url, stdin=f"\ufeff{KEY}\r\n".encode())
    assert (code, err) == (0, "")
    assert "You are ann (tenant acme, role admin)." in out
    assert keys_sent_to(server) == [None, f"Bearer {KEY}"]
    assert tomllib.loads(file.read_text()) == {"server": server.url, "api_key": KEY}


def test_a_server_without_users_for_a_while_costs_no_key(server, ci, file):
    answer(server)
    ci("login", "--server", server.url)
    server.on("GET /whoami", reply_json(ANN))
    code, out, _ = ci("login", "--server", server.url)
    assert (code, "needs no API key" in out) == (0, True)
    assert tomllib.loads(file.read_text()) == {"server": server.url, "api_key": KEY}


def test_a_server_that_is_too_old_to_say_who_one_is(server, ci, file):
    server.on("GET /jobs", UNKNOWN, error(401, "invalid_credentials", "no"), reply_json([]))
    code, _, err = ci("login", "--server", server.url, stdin=b"ci_wrong")
    assert (code, "Nothing was stored" in err) == (2, True)
    code, out, _ = ci("login", "--server", server.url)
    assert (code, f"{server.url} needs no API key." in out) == (0, True)
    server.on("GET /jobs", UNKNOWN, reply_json([]))
    code, out, _ = ci("login", "--server", server.url)
    assert (code, out.splitlines()[0]) == (0, f"Logged in to {server.url}.")
    code, out, err = ci("whoami")
    assert (code, out) == (
        0,
        f"Server:  {server.url} (profile default)\nKey:     sent (profile default)\n",
    )
    assert "too old to report who you are" in err
    assert json.loads(ci("whoami", "--json")[1])["user"] is None


@pytest.mark.parametrize(
    ("answers", "code", "says"),
    [
        ([reply(404, b"<html>")], 2, "There is no CI server at"),
        ([reply(200, b"<html>")], 3, "not JSON"),
        ([reply_json([1])], 3, "not who is asking"),
        ([reply_json({**ANN, "user": None})], 3, "not who is asking"),
        ([error(403, "not_local", "not from there")], 2, "not from there"),
        ([error(503, "not_ready", "later")], 3, "later"),
        ([UNKNOWN, error(403, "forbidden", "no")], 2, "no"),
        ([UNKNOWN, error(503, "not_ready", "later")], 3, "later"),
        ([UNKNOWN, reply(302, b"", Location="http://127.0.0.1:1/")], 3, "a redirect to"),
    ],
)
def test_an_answer_that_stores_nothing(server, ci, file, answers, code, says):
    server.on("GET /whoami", *answers)
    found, _, err = ci("login", "--server", server.url)
    assert (found, says in err) == (code, True), err
    assert not file.exists()


def test_a_server_that_is_not_there(ci, file):
    with scripted_server() as gone:
        url = gone.url
    code, _, err = ci("login", "--server", url)
    assert (code, "connection refused" in err) == (3, True)
    assert not file.exists()


@pytest.mark.parametrize("address", ["https://u@ci.example", "https://u:p@ci.example", "ftp://x"])
def test_an_address_that_is_not_stored(ci, file, address):
    for options in (("--server", address), ("--server", address, "--profile", "x")):
        code, _, err = ci("login", *options)
        assert (code, "server address" in err) == (2, True), err
    assert not file.exists()


@pytest.mark.parametrize("name", ["", "a b", "-x", "a/b", "x" * 65])
def test_what_cannot_name_a_profile(server, ci, file, name):
    server.on("GET /whoami", UNKNOWN, reply_json(ANN))
    code, _, err = ci("login", "--server", server.url, f"--profile={name}")
    assert (code, "is not a valid profile name" in err) == ((2, True) if name else (0, False)), err
    assert file.exists() == (not name)


def test_over_plain_http_the_key_is_not_asked_for(server, ci, file):
    """The scripted server is the proxy on the way to another machine."""
    answer(server)
    through = {"http_proxy": server.url, "NO_PROXY": "", "no_proxy": ""}
    address = ("--server", "http://ci.lan.example")
    code, _, err = ci("login", *address, **through)
    assert (code, "anyone on the way to http://ci.lan.example could read it" in err) == (2, True)
    assert keys_sent_to(server) == [None]
    answer(server)
    assert ci("login", *address, **through, CI_ALLOW_HTTP="true")[0] == 0
    assert keys_sent_to(server)[-1] == f"Bearer {KEY}"
    assert tomllib.loads(file.read_text())["server"] == "http://ci.lan.example"


def test_a_proxy_that_is_not_there(ci):
    with scripted_server() as gone:
        through = {"https_proxy": gone.url, "NO_PROXY": "", "no_proxy": ""}
    code, _, err = ci("login", "--server", "https://ci.example", **through)
    assert (code, f"through the proxy {through['https_proxy']}" in err) == (3, True)


@pytest.mark.parametrize("text", [b"", b"\n", b"a b", b"\xff", b"ci_\xc3\xa4", b"a\nb"])
def test_what_is_no_key(server, ci, file, text):
    answer(server)
    code, out, err = ci("login", "--server", server.url, stdin=text)
    assert (code, out) == (2, ""), err
    assert keys_sent_to(server) == [None]
    assert not file.exists()


def test_a_name_from_a_server_is_shown_as_text(server, ci):
    answer(server, user="ann\x1b[31m")
    assert "\\x1b[31m" in ci("login", "--server", server.url)[1]
    for command in ("whoami", "list"):
        server.on("GET /jobs", reply_json([]))
        assert "\x1b" not in ci(command)[1]


# ------------------------------------------------------------------ the file


def test_a_file_that_others_can_read_is_mended(server, ci, file):
    file.parent.mkdir(parents=True, mode=0o755)
    file.write_text(f'server = "{server.url}"\napi_key = "ci_old"\n')
    file.chmod(0o644)
    code, _, err = ci("list")
    assert (code, f"chmod 600 {file}" in err) == (2, True)
    answer(server)
    code, _, err = ci("login")
    assert code == 0, err
    assert f"Warning: {file} was readable by other users" in err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_the_file_stays_where_it_was_before(server, ci, tmp_path, file):
    old = tmp_path / ".ci/config"
    old.parent.mkdir()
    old.write_text(f'# mine\nserver = "{server.url}/"\n')
    answer(server)
    assert ci("login")[0] == 0
    assert old.read_text() == f'# mine\nserver = "{server.url}"\napi_key = "{KEY}"\n'
    assert stat.S_IMODE(old.stat().st_mode) == 0o600
    assert not file.exists()


def test_a_link_to_the_file_stays_one(server, ci, tmp_path, file):
    real = tmp_path / "dotfiles/ci.toml"
    real.parent.mkdir()
    real.write_text("")
    mode = real.parent.stat().st_mode
    file.parent.mkdir(parents=True)
    file.symlink_to(real)
    answer(server)
    assert ci("login", "--server", server.url)[0] == 0
    assert file.is_symlink()
    assert tomllib.loads(real.read_text())["api_key"] == KEY
    assert real.parent.stat().st_mode == mode


def test_a_place_that_cannot_be_written(server, ci, file, tmp_path):
    (tmp_path / "xdg").write_text("a file")
    answer(server)
    code, _, err = ci("login", "--server", server.url)
    assert (code, f"Cannot write {file}" in err) == (2, True), err
    assert "Nothing was stored" in err


COMMENTED = """# at work
profile = "work"        # the usual

[profiles.work]
# behind the VPN
server = "https://work.example"
api_key = "ci_old"

[profiles.'lab.1']   # quoted
server = "https://lab.example"
"""


def edited(path, text, profile):
    path.write_text(text)
    store_profile(parse_user_config(path, text), profile)
    return path.read_text()


def test_an_edit_changes_the_lines_of_one_profile(tmp_path):
    path = tmp_path / "config.toml"
    new = edited(path, COMMENTED, Profile("work", "https://work.example", KEY))
    assert new == COMMENTED.replace("ci_old", KEY)
    new = edited(path, COMMENTED, Profile("lab.1", "https://lab.example", KEY))
    assert new == COMMENTED + f'api_key = "{KEY}"\n'
    new = edited(path, COMMENTED, Profile("new", "https://new.example"))
    assert new == COMMENTED + '\n[profiles.new]\nserver = "https://new.example"\n'
    new = edited(path, COMMENTED, Profile("default", "https://d.example"))
    assert new == 'server = "https://d.example"\n' + COMMENTED


def test_a_profile_is_removed_and_all_else_stays(tmp_path):
    path = tmp_path / "config.toml"
    first = '# mine\nserver = "https://a.example"\n'
    last = '\n[profiles."c.d"]\nserver = "https://c.example"\n'
    path.write_text(first + '\n[profiles.b]\nserver = "https://b.example"\n' + last)
    for name, left in (("b", f"{first}\n{last}"), ("c.d", f"{first}\n\n")):
        remove_profile(parse_user_config(path, path.read_text()), name)
        assert path.read_text() == left
    path.write_text(f'{first}profiles = {{b = {{server = "https://b.example"}}}}\n')
    remove_profile(parse_user_config(path, path.read_text()), "b")
    assert tomllib.loads(path.read_text()) == {"server": "https://a.example"}


def test_an_address_that_is_no_option(ci, file):
    code, _, err = ci("login", "https://ci.example")
    assert (code, "Did you mean ci login --server https://ci.example?" in err) == (2, True)
    assert not file.exists()


@pytest.mark.parametrize(
    "text",
    [
        'profiles = {work = {server = "https://work.example", api_key = "ci_old"}}\n',
        'profiles.work.server = "https://work.example"\n',
        '[profiles]\nwork.server = "https://work.example"\n',
        '["profiles"."work"]\nserver = "https://work.example"\n',
        '[profiles.work]\n"server" = "https://work.example"',
        '[profiles.work]\nserver = """\\\n  https://work.example"""\n[profiles.b]\nserver = "b"\n',
    ],
)
def test_a_file_of_an_unusual_form_keeps_its_meaning(tmp_path, text):
    path = tmp_path / "config.toml"
    before = parse_user_config(path, text).profiles
    changed = Profile("work", "https://work.example", KEY)
    new = edited(path, text, changed)
    assert parse_user_config(path, new).profiles == {**before, "work": changed}


NAMES = st.sampled_from(["default", "work", "a.b", "x_1", "0"])
PROFILES = st.builds(
    Profile,
    NAMES,
    st.sampled_from(["https://a.example", "https://b.example/base", "http://[::1]:80"]),
    st.none() | st.sampled_from([KEY, 'ci_"quoted"\\', "ci_#"]),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(profiles=st.lists(PROFILES, max_size=8))
def test_any_sequence_of_changes(tmp_path, profiles):
    path = tmp_path / "config.toml"
    path.write_text("")
    kept = {}
    for profile in profiles:
        store_profile(parse_user_config(path, path.read_text()), profile)
        kept[profile.name] = profile
        assert parse_user_config(path, path.read_text()).profiles == kept
