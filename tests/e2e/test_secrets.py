"""Secrets from the command line to the job, and nowhere else."""

import json
import os
import secrets as random_values
from pathlib import Path

import docker
import pytest

from ci_common.secret import Secret
from ci_controller.output.secret_forms import patterns
from ci_controller.output.secret_masker import PatternSet, mask
from support import engine

pytestmark = pytest.mark.docker

SHOW = """
import base64, os, pathlib, sys, time
token = os.environ["TOKEN"]
place = pathlib.Path(os.environ["CI_SECRETS_DIR"])
assert str(place) == "/run/secrets", place
assert sorted(path.name for path in place.iterdir()) == ["KEY", "TOKEN"]
assert (place / "TOKEN").read_text() == token
assert "KEY" not in os.environ
assert (place / "KEY").stat().st_mode & 0o777 == 0o400
assert place.stat().st_mode & 0o777 == 0o700
print("token", token)
for half in (token[:7], token[7:]):
    print(half, end="", flush=True)
    time.sleep(0.05)
print()
print("encoded", base64.b64encode(b"user:" + token.encode()).decode())
print((place / "KEY").read_text(), end="")
print("shown", flush=True)
while not os.path.exists("go"):
    time.sleep(0.05)
"""


def a_value():
    return f"s3-{random_values.token_hex(16)}"


def a_key():
    lines = [random_values.token_hex(24) for _ in range(5)]
    return "\n".join(["-----BEGIN KEY-----", *lines, "-----END KEY-----", ""])


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "deploy.key"
    path.write_text(a_key())
    return path


def files_with(directory, values):
    """The files below a directory in which one of the values, or a line of it, can be read."""
    wanted = [line.encode() for value in values for line in value.splitlines() if len(line) > 20]
    found = []
    for folder, _, names in os.walk(directory):
        for name in names:
            path = Path(folder, name)
            try:
                content = path.read_bytes()
            except OSError:  # a socket, or removed meanwhile
                continue
            found += [path for one in wanted if one in content]
    return found


def inspected(server, job_id):
    client = docker.from_env(version="auto")
    try:
        container = client.api.inspect_container(f"{server.prefix}{job_id}")
        processes = client.api.top(container["Id"])
        return json.dumps([container, processes])
    finally:
        client.close()


def test_from_the_command_line_to_the_job(own_server, user_of, project, key_file):
    token, key = a_value(), key_file.read_text()
    server = own_server(controller="external").start()
    user = user_of(server.url)
    options = ("--path", project, "--secret", "TOKEN", "--secret-file", f"KEY={key_file}")
    done = user.run("submit", "--async", *options, "--", "python", "-c", SHOW, TOKEN=token)
    assert done.code == 0, done.err
    job_id = done.text.split()[-1]

    # Queued: encrypted, in a file of its own.
    (stored,) = (server.data / "secrets").iterdir()
    assert stored.stat().st_mode & 0o777 == 0o600
    assert files_with(server.directory, [token, key]) == []

    server.spawn_controller()
    watching = user.start("wait", job_id, "--all")
    watching.until_out(b"shown\n")
    assert token not in inspected(server, job_id)
    assert key.splitlines()[2] not in inspected(server, job_id)
    assert files_with(server.directory, [token, key]) == []
    engine.release(server, job_id)
    done = watching.end()
    assert done.code == 0, done.text

    hidden = "*" * len(token)
    lines = done.text.splitlines()
    assert lines[:2] == [f"token {hidden}", hidden]
    assert lines[2].startswith("encoded ")
    assert lines[2].count("*") > len(token)
    assert lines[3:] == ["*" * len(line) for line in key.splitlines()] + ["shown"]
    assert user.run("logs", job_id).out == done.out == server.log(job_id)
    assert server.job(job_id)["secrets"] == ["TOKEN", "KEY"]

    # Ended: nothing is left of them, encrypted or not.
    server.until(lambda: not [*(server.data / "secrets").iterdir()], what="no stored secrets")
    assert files_with(server.directory, [token, key]) == []


COUNT = """
import os, sys, time
for number in range(300):
    sys.stdout.write(f"{number} {os.environ['TOKEN']} {os.environ['TOKEN'][:10]}\\n")
    sys.stdout.flush()
    time.sleep(0.01)
while not os.path.exists("go"):
    time.sleep(0.05)
print("last", os.environ["TOKEN"])
"""


def test_a_server_that_is_killed_masks_the_rest_as_well(own_server, user_of, project):
    token = a_value()
    server = own_server().start().ready()
    options = ("--path", project, "--secret", "TOKEN")
    command = ("--", "python", "-c", COUNT)
    done = user_of(server.url).run("submit", "--async", *options, *command, TOKEN=token)
    job_id = done.text.split()[-1]
    for number in (20, 120):
        server.log_has(job_id, b"\n%d " % number)
        server.kill()
        server.start().ready()
    server.log_has(job_id, b"\n299 ")
    engine.release(server, job_id)
    assert server.finished(job_id)["success"]
    raw = "".join(f"{number} {token} {token[:10]}\n" for number in range(300)) + f"last {token}\n"
    known = PatternSet(patterns([Secret("TOKEN", token.encode())]))
    expected = mask(known, raw.encode())
    assert server.log(job_id)[-200:] == expected[-200:]
    assert server.log(job_id) == expected
    assert files_with(server.directory, [token]) == []


def test_secrets_that_the_tenant_keeps_here(own_server, user_of, tmp_path):
    project = tmp_path / "app"
    project.mkdir()
    (project / "ci.toml").write_text(
        '[jobs.publish]\ncommand = \'test "$INDEX_TOKEN" = "$EXPECTED" && cat '
        "/run/secrets/INDEX_TOKEN'\nsecrets = ['INDEX_TOKEN']\n"
    )
    server = own_server().start().ready()
    user = user_of(server.url)
    refused = user.run("submit", "publish", "--path", project)
    assert refused.code == 2, refused.err
    assert "INDEX_TOKEN" in refused.err
    assert server.rows() == 0

    token = a_value()
    done = server.admin("secret", "set", "--tenant", "local", "INDEX_TOKEN", value=f"{token}\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert "INDEX_TOKEN" in server.admin("secret", "list").stdout
    assert token not in done.stdout + server.admin("secret", "list").stdout
    options = ("--path", project, "--secret", "EXPECTED")
    done = user.run("submit", "publish", *options, EXPECTED=token)
    assert (done.code, done.out) == (0, b"*" * len(token)), done.err
    # What is sent with the job comes before what is kept here.
    other = a_value()
    options = ("--path", project, "--secret", "EXPECTED", "--secret", "INDEX_TOKEN")
    done = user.run("submit", "publish", *options, EXPECTED=other, INDEX_TOKEN=other)
    assert (done.code, done.out) == (0, b"*" * len(other)), done.err
    assert files_with(server.directory, [token, other]) == []

    assert server.admin("secret", "delete", "INDEX_TOKEN").returncode == 0
    assert server.admin("secret", "delete", "INDEX_TOKEN").returncode == 1
    assert user.run("submit", "publish", "--path", project).code == 2


def test_a_failing_test_does_not_tell_in_its_report(own_server, user_of, tmp_path):
    project = tmp_path / "app"
    project.mkdir()
    (project / "test_it.py").write_text(
        "import os\ndef test_it():\n    assert os.environ['TOKEN'] == 'x'\n"
    )
    server = own_server().start().ready()
    token = a_value()
    user = user_of(server.url)
    done = user.run("submit", "--path", project, "--secret", "TOKEN", TOKEN=token)
    assert done.code == 1
    assert token not in done.text + done.err
    job = server.job(done.job_id)
    assert job["tests"]["failed"] == 1
    assert token[:12] not in json.dumps(job)
    assert "***" in job["tests"]["failures"][0]["message"]


def test_values_on_the_command_line_are_refused(user, server, project):
    for options in (("--secret", "TOKEN=hunter2hunter2"), ("--secret", "NOT_SET_ANYWHERE")):
        done = user.run("submit", "--path", project, *options)
        assert done.code == 2, done.err
        assert "hunter2" not in done.err
    done = user.run("submit", "--path", project, "--secret", "TOKEN", TOKEN="short")
    assert done.code == 2
    assert "short" in done.err  # that it is too short
    value = a_value()
    command = ("--", "sh", "-c", f"echo {value}")
    done = user.run("submit", "--path", project, "--secret", "TOKEN", *command, TOKEN=value)
    assert done.code == 2
    assert "TOKEN" in done.err
    assert value not in done.err
