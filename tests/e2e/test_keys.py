"""The real `ci` with keys of the real `ci-admin`, on a server that asks for them."""

import os

import pytest

from support import projects
from support.administration import Caller, create_key, create_user, succeed
from support.archives import zip_bytes
from support.command_line import CommandLine
from support.live_server import LiveServer

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server with one user."""
    with LiveServer(tmp_path_factory.mktemp("guarded")) as server:
        create_user(server)
        yield server.start().ready()


@pytest.fixture(scope="module")
def key(guarded):
    return create_key(guarded)


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "home"
    (home / ".ci").mkdir(parents=True)
    return home


@pytest.fixture
def line(guarded, tmp_path):
    line = CommandLine(guarded.url, tmp_path)
    yield line
    line.close()


def write_config(home, text, mode=0o600):
    path = home / ".ci" / "config"
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("source", ["option", "environment", "file"])
def test_each_source_of_a_key(guarded, key, line, home, project, source):
    options, environment = [], {"HOME": str(home)}
    if source == "option":
        options = ["--api-key", key]
    elif source == "environment":
        environment["CI_API_KEY"] = key
    else:
        write_config(home, f'server = "{guarded.url}"\napi_key = "{key}"\n')

    def ci(*arguments):
        name, *rest = arguments
        return line.run(name, *options, *rest, **environment)

    done = ci("submit", "--path", project, "--", "sh", "-c", "mkdir output; echo a | tee output/f")
    assert (done.code, done.out) == (0, b"a\n"), done.err
    job_id = done.job_id
    assert ci("wait", job_id, "--all").out == b"a\n"
    assert ci("logs", job_id, "--tail", "1").out == b"a\n"
    assert job_id in ci("list").text
    assert "ann@example.com" in ci("status", job_id, "--json").text
    assert ci("artifacts", job_id, "--download", "got").code == 0
    assert ci("cancel", job_id).code == 2, "it has finished"
    told = [ci("list", "--json"), ci("status", job_id), ci("logs", "no-job")]
    assert all(key not in done.err + done.text for done in told)


def test_without_a_key(line, home, project):
    for arguments in (["list"], ["submit", "--path", project]):
        done = line.run(*arguments, HOME=str(home))
        assert (done.code, done.out) == (2, b"")
        assert "requires authentication" in done.err
        assert "CI_API_KEY" in done.err


@pytest.mark.parametrize("size", [10, 20_000_000])
def test_a_wrong_key_is_told_and_not_shown(line, home, project, size):
    (project / "data.bin").write_bytes(os.urandom(size))
    wrong = "ci_" + "x" * 43
    done = line.run("submit", "--path", project, HOME=str(home), CI_API_KEY=wrong)
    assert (done.code, done.out) == (2, b"")
    assert "unknown there, expired or revoked" in done.err
    assert wrong not in done.err


def test_a_file_that_others_can_read(key, line, home):
    path = write_config(home, f'api_key = "{key}"\n', 0o644)
    done = line.run("list", HOME=str(home))
    assert (done.code, done.out) == (2, b"")
    assert f"chmod 600 {path}" in done.err
    assert key not in done.err


def test_a_key_is_not_sent_in_the_clear(key, line, home):
    done = line.run("list", "--server", "http://192.0.2.7:8000", HOME=str(home), CI_API_KEY=key)
    assert (done.code, done.out) == (2, b"")
    assert "CI_ALLOW_HTTP" in done.err
    assert key not in done.err


def test_a_viewer_may_look_but_not_submit(guarded, line, home, project):
    viewer = create_key(guarded, "ann@example.com", "--role", "viewer")
    environment = {"HOME": str(home), "CI_API_KEY": viewer}
    assert line.run("list", **environment).code == 0
    done = line.run("submit", "--path", project, **environment)
    assert (done.code, done.out) == (2, b"")
    assert "'viewer' may not submit jobs" in done.err


def test_a_key_revoked_in_the_middle_of_a_watch_ends_it_at_the_next_connection(
    own_server, user_of, home, monkeypatch
):
    server = own_server()
    create_user(server)
    server.start().ready()
    key, other = create_key(server), create_key(server)
    owner = Caller(server, other)
    job_id = owner.submit(server.form(zip_bytes({"a.txt": "a"}), projects.ENDLESS))
    monkeypatch.setenv("HOME", str(home))
    write_config(home, f'server = "{server.url}"\napi_key = "{key}"\n')
    watching = user_of(server.url).start("wait", job_id, "--all")
    watching.until_out(b"started")
    succeed(server, "key", "revoke", key[:11])
    server.kill()
    server.start()
    done = watching.end()
    assert (done.code, done.out) == (2, b"started\n")
    assert "expired or revoked" in done.err
    assert owner.status(f"/jobs/{job_id}/cancel", "POST") == 202
