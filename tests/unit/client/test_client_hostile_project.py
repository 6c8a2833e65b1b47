"""A project whose table names a server of its author: real servers note what they are sent."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from client_scripted_server import JOB, error, reply, reply_json, scripted_server

from ci_client import functions as library
from ci_client.client import Client
from ci_client.errors import ClientError, ConfigError
from ci_client.models import ModelClient

STORED, VARIABLE = "ci_stored", "ci_variable"


@pytest.fixture
def evil():
    """The author's."""
    with scripted_server() as server:
        server.on("GET /jobs", reply_json([]))
        server.on("GET /limits", reply_json({"fields": ["labels", "git"]}))
        server.on("POST /submit-async", reply_json({"job_id": JOB}))
        yield server


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The current directory, of a user without any configuration."""
    for name in ("CI_SERVER_URL", "CI_API_KEY", "CI_PROFILE", "CI_ALLOW_HTTP", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    project = tmp_path / "project"
    project.mkdir()
    (project / "test_a.py").write_text("def test(): pass\n")
    monkeypatch.chdir(project)
    return project


@pytest.fixture
def logged_in(server, project):
    """To the user's own server."""
    path = project.parent / ".config/ci-runner/config.toml"
    path.parent.mkdir(parents=True)
    path.touch(mode=0o600)
    path.write_text(f'[profiles.mine]\nserver = "{server.url}"\napi_key = "{STORED}"\n')
    server.on("GET /jobs", reply_json([]))
    return server


def names(project, address):
    (project / "ci.toml").write_text(f"server = {json.dumps(address)}\n")


def keys_sent_to(server):
    return [asked.headers.get("authorization") for asked in server.requests]


def whoami(kind=Client):
    with kind() as client:
        return client.whoami()


CALLS = {
    "list": lambda project: library.list_jobs(),
    "status": lambda project: library.get_job(JOB),
    "submission": lambda project: library.submit_tests_async(project),
    "submission from elsewhere": lambda project: library.submit_tests_async(str(project)),
    "stream": lambda project: next(library.submit_tests_streaming(project)),
    "models": lambda project: whoami(ModelClient),
    "whoami": lambda project: whoami(),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("key", ["none", "stored", "variable", "both"])
def test_no_call_of_the_library_gives_the_key_away(
    evil, logged_in, project, monkeypatch, call, key
):
    if key in ("none", "variable"):
        (project.parent / ".config/ci-runner/config.toml").unlink()
    if key in ("variable", "both"):
        monkeypatch.setenv("CI_API_KEY", VARIABLE)
    names(project, evil.url)
    if call == "submission from elsewhere":
        monkeypatch.chdir(project.parent)
    with contextlib.suppress(ClientError):
        CALLS[call](project)
    assert set(keys_sent_to(evil)) <= {None}
    assert logged_in.requests == []
    assert bool(evil.requests) == (key in ("none", "stored")), "a key is refused, not left out"


def test_a_key_given_to_the_library_is_not_the_projects_to_direct(evil, project):
    names(project, evil.url)
    with pytest.raises(ConfigError, match=r"of --api-key was not sent: only ci\.toml"):
        library.list_jobs(api_key=VARIABLE)
    assert evil.requests == []
    library.list_jobs(evil.url, api_key=VARIABLE)
    assert keys_sent_to(evil) == [f"Bearer {VARIABLE}"]


@pytest.mark.parametrize("write", [
    "http://127.0.0.1:{good}@127.0.0.1:{evil}",
    "http://127.0.0.1:{good}%40127.0.0.1:{evil}",
    "http://user:pw@127.0.0.1:{evil}",
    "HTTP://LOCALHOST:{evil}",
    "http://localhost.:{evil}",
    "http://127.1:{evil}",
    "http://[::ffff:127.0.0.1]:{evil}",
    "http://[::1]:{evil}",
    "http://127.0.0.1:{evil}/http://127.0.0.1:{good}",
    "http://127.0.0.1:{evil}#127.0.0.1:{good}",
    "127.0.0.1:{evil}",
])  # fmt: skip
@pytest.mark.parametrize("variable", [False, True])
def test_however_its_address_is_written(evil, logged_in, project, monkeypatch, write, variable):
    if variable:
        monkeypatch.setenv("CI_API_KEY", VARIABLE)
    ports = {"good": logged_in.server_address[1], "evil": evil.server_address[1]}
    names(project, write.format(**ports))
    with contextlib.suppress(ClientError):
        library.list_jobs()
    assert set(keys_sent_to(evil)) <= {None}
    assert set(keys_sent_to(logged_in)) <= {f"Bearer {STORED}"}


@pytest.mark.parametrize("write", ["http://127.0.0.1:{}", "HTTP://127.0.0.1:{}/", "127.0.0.1:{}"])
def test_a_server_that_the_user_has_a_key_for(logged_in, project, monkeypatch, write):
    names(project, write.format(logged_in.server_address[1]))
    library.list_jobs()
    monkeypatch.setenv("CI_API_KEY", VARIABLE)
    library.list_jobs()
    assert keys_sent_to(logged_in) == [f"Bearer {STORED}"] * 2, "not that of another server"


def test_another_path_of_the_server_is_the_same_server(logged_in, project):
    logged_in.on("GET /base/jobs", reply_json([]))
    names(project, f"{logged_in.url}/base")
    library.list_jobs()
    assert keys_sent_to(logged_in) == [f"Bearer {STORED}"]


def test_the_users_own_server_is_not_replaced_by_a_strange_one(evil, logged_in, project):
    path = project.parent / ".config/ci-runner/config.toml"
    path.write_text(f'profile = "mine"\n{path.read_text()}')
    names(project, evil.url)
    library.list_jobs()
    assert (len(evil.requests), len(logged_in.requests)) == (0, 1)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_does_not_take_the_stored_key_elsewhere(evil, logged_in, project, status):
    logged_in.on("GET /whoami", reply(status, b"", Location=f"{evil.url}/whoami"))
    with Client(profile="mine") as client, pytest.raises(ClientError):
        client.whoami()
    assert evil.requests == []


def test_secrets_are_not_sent_to_a_server_that_only_the_project_names(evil, project):
    names(project, evil.url)
    with pytest.raises(ConfigError, match="secrets were not sent"):
        library.submit_tests_async(project, secrets={"TOKEN": "a long secret"})
    with pytest.raises(ConfigError, match="secrets were not sent"):
        library.rerun_job(JOB, secrets={"TOKEN": "a long secret"})
    assert {asked.method for asked in evil.requests} <= {"GET"}
    library.submit_tests_async(project, evil.url, secrets={"TOKEN": "a long secret"})
    assert len(evil.asked("POST /submit-async")) == 1


@pytest.fixture
def ci(evil, project):
    """Run `ci ARGUMENTS…` there, with a key on stdin."""
    names(project, evil.url)
    root = str(Path(library.__file__).parents[1])
    code = "import sys; from ci_client.cli import main; sys.argv[0] = 'ci'; main()"

    def ci(*arguments, **variables):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env={**os.environ, "PYTHONPATH": root, **variables},
            input=b"ci_piped\n",
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    return ci


def test_a_login_is_not_the_projects_to_direct(evil, ci):
    evil.on("GET /whoami", error(401, "unauthenticated", "who are you?"))
    code, out, err = ci("login")
    assert (code, out) == (2, "")
    assert f"If you trust it with your key, name it yourself: ci login --server {evil.url}" in err
    assert evil.requests == []


def test_a_submission_says_which_server_the_project_names(evil, ci):
    code, _, err = ci("submit", "--detach")
    assert code == 0, err
    assert f"Server: {evil.url}, which ci.toml of this project names." in err
    assert f"ci wait {JOB} --all --server {evil.url}" in err
    code, _, err = ci("submit", "--detach", CI_API_KEY=VARIABLE)
    assert code == 2
    assert "CI_API_KEY was not sent: only ci.toml of this project names the server" in err
    assert set(keys_sent_to(evil)) == {None}


def test_a_submission_says_that_the_projects_server_is_passed_over(evil, logged_in, ci, project):
    path = project.parent / ".config/ci-runner/config.toml"
    path.write_text(f'profile = "mine"\n{path.read_text()}')
    logged_in.on("POST /submit-async", reply_json({"job_id": JOB}))
    code, _, err = ci("submit", "--detach")
    assert code == 0, err
    assert f"the project names the server {evil.url}, for which you have no profile" in err
    assert f"so {logged_in.url} is used" in err
    assert evil.requests == []


def test_to_press_tab_asks_no_server_that_only_the_project_names(evil, logged_in, ci, project):
    def offered(*words, **variables):
        asks = {"_CI_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(("ci", *words))}
        return ci(COMP_CWORD=str(len(words)), **asks, **variables)[1].split()

    logged_in.on("GET /jobs", reply_json([{"job_id": JOB, "status": "running"}]))
    assert offered("status", "") == []
    assert evil.requests == []
    assert offered("status", "--profile", "") == ["plain,mine"]
    assert offered("status", "--profile", "mine", "") == [f"plain,{JOB[:8]}"]
    assert keys_sent_to(logged_in) == [f"Bearer {STORED}"]
