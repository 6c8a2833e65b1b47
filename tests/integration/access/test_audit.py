"""Submitting and cancelling leave a trail that `ci-admin audit` shows, and backups carry."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from ci_admin.audit import operator_entry
from ci_common.ports.audit import AuditAction
from ci_persistence.database.database import Database
from ci_persistence.sqlite.audit import SqliteAuditLog
from support import projects

NO_ENGINE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}


@pytest.fixture
def server(own_server):
    return own_server(environment=NO_ENGINE).start()


def admin(server, *arguments, expected=0, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "ci_admin", *arguments],
        cwd=server.directory,
        env={**server.environment, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == expected, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if expected == 0 else done.stderr


def trail(server, *arguments, **environment):
    lines = admin(server, "audit", "--json", *arguments, **environment).splitlines()
    return [json.loads(line) for line in lines]


def test_submitting_and_cancelling_leave_a_trail(server):
    job_id = server.submit(projects.ANY)
    cancelled = server.http.delete(f"/jobs/{job_id}", headers={"X-Request-ID": "mine"})
    server.http.delete(f"/jobs/{job_id}")
    server.http.get("/jobs", headers={"Authorization": "Bearer guessed"})
    assert cancelled.status_code == 202
    submit, cancel, failed = trail(server)
    assert (submit["action"], submit["user"], submit["job_id"]) == ("submit", "local", job_id)
    assert (cancel["action"], cancel["request_id"]) == ("cancel", "mine")
    assert (failed["action"], failed["outcome"]) == ("authenticate", "denied")
    assert {entry["address"] for entry in (submit, cancel, failed)} == {"127.0.0.1"}
    assert trail(server, "--job", job_id, "--action", "cancel") == [cancel]
    assert trail(server, "--since", "1h", "--limit", "1") == [failed]
    assert trail(server, "--user", "nobody") == []
    text = admin(server, "audit", "--tenant", "local")
    assert f"allowed  cancel  local/local  job={job_id}" in text


def test_reading_anothers_log_and_artifacts_leaves_a_trail(server):
    job_id = server.submit(projects.ANY)
    with closing(sqlite3.connect(server.database)) as connection, connection:
        connection.execute("UPDATE jobs SET user = 'bob'")
        connection.execute(
            "INSERT INTO artifacts (job_id, path, size, sha256) VALUES (?, 'x', 1, ?)",
            (job_id, "0" * 64),
        )
    for _ in range(3):
        server.http.get(f"/jobs/{job_id}/logs")
        server.http.get(f"/jobs/{job_id}")
        server.http.get(f"/jobs/{job_id}/artifacts")
        server.http.get(f"/jobs/{job_id}/artifacts/x")
    _, log, artifact = trail(server)
    assert (log["action"], log["detail"]) == ("read_log", "of local/bob")
    assert (artifact["action"], artifact["target"]) == ("read_artifact", "x")


def test_lending_a_token_and_reading_with_it_leave_a_trail(server):
    job_id = server.submit(projects.ANY)
    for _ in range(2):
        token = server.http.post(f"/jobs/{job_id}/token").json()["token"]
        assert server.http.get(f"/jobs/{job_id}/logs", params={"token": token}).status_code == 200
    _, lent, read = trail(server)
    assert (lent["action"], lent["credential"], lent["job_id"]) == ("lend", "local", job_id)
    assert (read["action"], read["credential"]) == ("read_log", "stream-token of local")


def test_what_is_no_time_is_told(server):
    assert "is not a valid time" in admin(server, "audit", "--since", "yesterday", expected=2)


def test_an_operators_own_actions_are_recorded(server):
    async def act():
        database = Database(server.database)
        await database.open()
        try:
            await SqliteAuditLog(database).record(
                operator_entry(AuditAction.KEY_CREATE, tenant="acme", target="key\nlaptop")
            )
        finally:
            await database.close()

    asyncio.run(act())
    (entry,) = trail(server)
    assert entry["user"].startswith("os:")
    assert (entry["action"], entry["tenant"], entry["target"]) == (
        "key_create",
        "acme",
        "key\nlaptop",
    )
    (line,) = admin(server, "audit").splitlines()
    assert 'target="key\\nlaptop"' in line


def test_backups_carry_it(server):
    server.submit(projects.ANY)
    before = trail(server)
    admin(server, "backup", "b.tar")
    admin(server, "restore", "--new-instance", "b.tar", CI_DB_PATH="copy.db", CI_DATA_DIR="copy")
    assert trail(server, CI_DB_PATH="copy.db", CI_DATA_DIR="copy") == before


def test_a_refused_submission_leaves_none(server):
    server.http.post("/submit-async", **server.form(b"no zip"))
    assert trail(server) == []
