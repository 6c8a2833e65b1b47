"""Which server and which key a client uses, and when it refuses to use one."""

import re

import pytest

from ci_client.errors import ConfigError
from ci_client.library.config import ServerChoice, load_config

KEY = "ci_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CI_SERVER_URL", "CI_API_KEY", "CI_ALLOW_HTTP"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def configure(home):
    def configure(content, mode=0o600):
        path = home / ".ci" / "config"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        return path

    return configure


def test_the_first_server_that_is_set_wins(configure, monkeypatch):
    assert load_config().server_url == "http://localhost:8000"
    configure('server = "https://ci.example.com/"\n', mode=0o644)
    assert load_config().server_url == "https://ci.example.com"
    monkeypatch.setenv("CI_SERVER_URL", "http://env:1/base/")
    assert load_config().server_url == "http://env:1/base"
    assert load_config("box:8000").server_url == "http://box:8000"


def test_the_first_key_that_is_set_wins(configure, monkeypatch):
    assert load_config().api_key is None
    configure('api_key = "ci_file"\n')
    assert load_config().api_key == "ci_file"
    monkeypatch.setenv("CI_API_KEY", "ci_env\n")
    assert load_config().api_key == "ci_env"
    assert load_config(api_key="ci_option").api_key == "ci_option"
    monkeypatch.setenv("CI_API_KEY", "")
    assert load_config(api_key="").api_key == "ci_file"


def test_who_watches_elsewhere_is_told_the_server_that_only_we_know(configure, monkeypatch):
    assert load_config().server_option == ""
    assert load_config("box:8000").server_option == " --server http://box:8000"
    monkeypatch.setenv("CI_SERVER_URL", "http://localhost:8000/")
    assert load_config().server_option == ""
    monkeypatch.setenv("CI_SERVER_URL", "http://env:1")
    assert load_config().server_option == " --server http://env:1"
    configure('server = "env:1/"\n')
    assert load_config().server_option == ""
    assert load_config("http://x/a;b").server_option == " --server 'http://x/a;b'"


@pytest.mark.parametrize("content", ["server = ", "server = 3", "\udcff", "api_key = 3"])
def test_a_broken_file_is_named(configure, content):
    configure(content.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError, match="config"):
        load_config()


@pytest.mark.parametrize("line", ['sever = "https://x"', "[server]\n[other]\n", "apikey = 3"])
def test_an_unknown_key_is_named_with_those_that_are_known(configure, line):
    configure(f"{line}\n")
    unknown = re.search("sever|other|apikey", line)[0]
    known = "'server', 'api_key', 'profile' and 'profiles'"
    with pytest.raises(ConfigError, match=f"unknown key '{unknown}'.*{known}"):
        load_config()


def test_a_broken_file_is_told_without_the_key_in_it(configure):
    configure(f'api_key = "{KEY}\n')
    with pytest.raises(ConfigError) as told:
        load_config()
    assert KEY not in str(told.value)


@pytest.mark.parametrize("url", ["ftp://x", "http://", ":0", "http://x:99999", "http://x/?q=1"])
def test_not_an_address(url):
    with pytest.raises(ConfigError, match="not a server address"):
        load_config(url)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_a_key_that_others_can_read_is_refused(configure, mode):
    path = configure(f'api_key = "{KEY}"\n', mode)
    for explicit in ({}, {"api_key": "ci_other"}, {"server_url": "http://127.0.0.1:1"}):
        with pytest.raises(ConfigError, match=f"chmod 600 {path}") as told:
            load_config(**explicit)
        assert KEY not in str(told.value)
    path.chmod(0o600)
    assert load_config().api_key == KEY


def test_a_file_that_is_not_needed_is_not_read(configure):
    configure(f'api_key = "{KEY}"\n', 0o644)
    assert load_config("127.0.0.1:1", "ci_x").api_key == "ci_x"


@pytest.mark.parametrize(
    ("named", "chosen", "sent"),
    [
        (None, "https://a.example", True),
        ("https://a.example", None, True),
        ("https://a.example", "https://a.example:443/base", True),
        ("https://A.example/", "https://a.example", True),
        ("https://a.example", "https://b.example", False),
        ("https://a.example", "https://a.example:8443", False),
        ("https://a.example", "http://a.example", False),
        ("http://localhost:8000", "http://localhost:9000", False),
    ],
)
def test_the_files_key_is_for_the_files_server(configure, named, chosen, sent):
    server = "" if named is None else f'server = "{named}"\n'
    configure(f'{server}api_key = "{KEY}"\n')
    assert load_config(chosen).api_key == (KEY if sent else None)


@pytest.mark.parametrize("url", ["http://ci.example.com", "ci.lan:8000", "http://192.0.2.7:80"])
def test_a_key_is_not_sent_where_everybody_can_read_it(monkeypatch, url):
    with pytest.raises(ConfigError, match="CI_ALLOW_HTTP=true") as told:
        load_config(url, KEY)
    assert KEY not in str(told.value)
    assert load_config(url).api_key is None
    monkeypatch.setenv("CI_ALLOW_HTTP", "true")
    assert load_config(url, KEY).api_key == KEY


@pytest.mark.parametrize(
    "url", ["https://ci.example.com", "http://127.0.0.1:1", "http://[::1]:1", "localhost:8000"]
)
def test_where_a_key_is_safe(url):
    assert load_config(url, KEY).api_key == KEY


@pytest.mark.parametrize("key", ["ci a", "ci_a\r\nX: y", "ci_ä", "ci_\x00", " "])
def test_what_a_header_cannot_carry_is_no_key(key):
    with pytest.raises(ConfigError, match="API key is malformed") as told:
        load_config(api_key=key)
    assert repr(key) not in str(told.value)


def test_a_key_is_not_shown_by_accident():
    assert KEY not in repr(load_config(api_key=KEY))
    assert KEY not in repr(ServerChoice(None, KEY))
