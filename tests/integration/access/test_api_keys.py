"""Users and keys made with the real `ci-admin` while a real server runs."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing

import httpx
import pytest

from support import projects
from support.administration import Caller, admin, create_key, create_user, succeed
from support.live_server import LiveServer
from support.waiting import until_sync

UNKNOWN = "ci_" + "x" * 43


@pytest.fixture
def server(own_server):
    """Without a controller: these tests are about requests, not about jobs that run."""
    return own_server(controller="external").start()


@pytest.fixture(scope="module")
def with_a_user(tmp_path_factory):
    """No server, but its database, with a user who has no keys."""
    with LiveServer(tmp_path_factory.mktemp("with-a-user")) as server:
        create_user(server)
        yield server


def keys(server):
    return json.loads(succeed(server, "key", "list", "--json"))


def execute(server, sql, *parameters):
    with closing(sqlite3.connect(server.database)) as connection, connection:
        return connection.execute(sql, parameters).fetchall()


def test_from_the_first_user_on_everybody_needs_a_key(server):
    anonymous = Caller(server, None)
    assert anonymous.status() == 200
    create_user(server)
    answer = anonymous.ask("GET", "/jobs")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] == "unauthenticated"
    assert anonymous.status("/health") == 200
    assert anonymous.status("/ready") == 503, "there is no controller"
    assert Caller(server, create_key(server)).status() == 200
    assert Caller(server, UNKNOWN).status() == 401


def test_a_revoked_key_is_worthless_from_the_next_request_on(server):
    create_user(server)
    gone, stays = create_key(server), create_key(server)
    with httpx.Client(
        base_url=server.url, headers={"Authorization": f"Bearer {gone}"}, timeout=60
    ) as kept:
        assert kept.get("/jobs").status_code == 200
        said = succeed(server, "key", "revoke", gone[:11])
        assert "is revoked" in said
        answer = kept.get("/jobs")
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_credentials"
    assert Caller(server, stays).status() == 200
    assert "was already revoked" in succeed(server, "key", "revoke", keys(server)[0]["id"])
    succeed(server, "key", "revoke", stays[:11])
    assert Caller(server, None).status() == 401, "revoking the last key opens nothing"


def test_a_key_expires_and_nobody_is_told_why_it_is_refused(server):
    create_user(server)
    key = create_key(server, "ann@example.com", "--expires", "12h")
    assert Caller(server, key).status() == 200
    past = "2020-01-01T00:00:00.000Z"
    execute(server, "UPDATE api_keys SET expires_at = ?", past)
    expired = Caller(server, key).ask("GET", "/jobs")
    unknown = Caller(server, UNKNOWN).ask("GET", "/jobs")
    assert (expired.status_code, unknown.status_code) == (401, 401)
    told, same = (answer.json()["error"] for answer in (expired, unknown))
    assert told.pop("request_id") != same.pop("request_id")
    assert told == same
    assert keys(server)[0]["state"] == "expired"


def test_roles_and_tenants(server):
    for email, tenant in (("ann@a.example", "acme"), ("bob@a.example", "acme"), ("eve@e", "evil")):
        create_user(server, email, "--tenant", tenant)
    ann = Caller(server, create_key(server, "ann@a.example"))
    bob = Caller(server, create_key(server, "bob@a.example"))
    viewer = Caller(server, create_key(server, "bob@a.example", "--role", "viewer"))
    admin_ = Caller(server, create_key(server, "bob@a.example", "--role", "admin"))
    eve = Caller(server, create_key(server, "eve@e", "--role", "admin"))
    job_id = ann.submit(server.form(projects.ANY, projects.ENDLESS))
    path = f"/jobs/{job_id}"
    told = ann.ask("GET", path).json()
    assert (told["tenant"], told["user"]) == ("acme", "ann@a.example")
    assert [caller.status(path) for caller in (ann, bob, viewer, admin_, eve)] == [
        200, 200, 200, 200, 404,
    ]  # fmt: skip
    listed = [len(caller.ask("GET", "/jobs").json()) for caller in (ann, bob, viewer, admin_, eve)]
    assert listed == [1, 1, 1, 1, 0]
    assert viewer.ask("POST", "/submit-async", **server.form(projects.ANY)).status_code == 403
    cancel = f"{path}/cancel"
    assert [c.status(cancel, "POST") for c in (eve, bob, viewer, admin_)] == [404, 403, 403, 202]


def test_the_last_use_is_noted_and_requests_do_not_wait_for_it(server):
    create_user(server)
    key = create_key(server)

    def last_use():
        return execute(server, "SELECT last_used_at FROM api_keys")[0][0]

    with closing(sqlite3.connect(server.database, isolation_level=None)) as blocker:
        blocker.execute("BEGIN IMMEDIATE")  # nobody else can write now
        assert Caller(server, key).status() == 200
        assert last_use() is None
        blocker.execute("COMMIT")
    noted = until_sync(last_use, what="the last use")
    for _ in range(20):
        assert Caller(server, key).status() == 200
    assert keys(server)[0]["last_used_at"] == noted


def test_every_worker_knows_the_keys_and_what_is_revoked(own_server):
    server = own_server(controller="external").start("--workers", "3")
    create_user(server)
    key = create_key(server)
    assert {Caller(server, key).status() for _ in range(20)} == {200}
    assert {Caller(server, None).status() for _ in range(20)} == {401}
    succeed(server, "key", "revoke", key[:11])
    assert {Caller(server, key).status() for _ in range(20)} == {401}


def test_users_may_be_made_before_there_is_a_server(own_server):
    server = own_server(controller="external")
    create_user(server)
    key = create_key(server)
    made = {path.name: path.stat().st_mode & 0o777 for path in server.directory.iterdir()}
    server.start()
    assert Caller(server, None).status() == 401
    assert Caller(server, key).status() == 200
    other = own_server("other", controller="external").start()
    for name, mode in made.items():
        if name.startswith("ci.db"):
            assert (other.directory / name).stat().st_mode & 0o777 == mode, name


def test_the_server_listens_to_others_once_there_are_users(own_server):
    server = own_server(controller="external")
    create_user(server)
    command = [sys.executable, "-m", "ci_server", "--host", "0.0.0.0", "--port", str(server.port)]
    with (
        server.log_path.open("wb") as log,
        subprocess.Popen(
            command, cwd=server.directory, env=server.environment, stdout=log, stderr=log
        ) as process,
    ):
        try:
            said = until_sync(
                server.log_path.read_text,
                lambda said: "running on" in said or process.poll() is not None,
                "the server's start",
                seconds=30,
            )
            assert "refusing" not in said
            assert Caller(server, None).status() == 401
            assert Caller(server, create_key(server)).status() == 200
        finally:
            process.terminate()


def test_backups_carry_users_and_keys(server, own_server, tmp_path):
    create_user(server)
    key, revoked = create_key(server), create_key(server)
    succeed(server, "key", "revoke", revoked[:11])
    succeed(server, "backup", tmp_path / "b.tar")
    assert key.encode() not in (tmp_path / "b.tar").read_bytes()
    for name, options in (("again", ["--new-instance"]), ("copy", ["--new-instance", "--force"])):
        other = own_server(name, controller="external")
        succeed(other, "restore", *options, tmp_path / "b.tar")
        other.start()
        assert Caller(other, None).status() == 401
        assert Caller(other, key).status() == 200
        assert Caller(other, revoked).status() == 401


@pytest.mark.docker
def test_no_key_is_anywhere_on_the_server(own_server):
    server = own_server().start().ready()
    create_user(server)
    key = create_key(server)
    caller = Caller(server, key)
    job_id = caller.submit(server.form(projects.ANY, ["sh", "-c", "env; echo done"]))
    until_sync(
        lambda: caller.ask("GET", f"/jobs/{job_id}").json()["status"],
        lambda status: status == "completed",
        "the job's end",
        seconds=60,
    )
    told = caller.ask("GET", f"/jobs/{job_id}").text
    told += caller.ask("GET", f"/jobs/{job_id}/logs").text
    told += Caller(server, key + "x").ask("GET", "/jobs").text
    told += succeed(server, "key", "list") + succeed(server, "key", "list", "--json")
    told += succeed(server, "user", "list", "--json")
    refused = admin(server, "key", "revoke", key + "x")
    assert refused.returncode == 3
    told += refused.stderr
    server.terminate()
    stored = b"".join(path.read_bytes() for path in server.directory.rglob("*") if path.is_file())
    assert b"GET /jobs" in stored, "the server's log is among them"
    secret = key[11:]
    assert secret not in told
    assert secret.encode() not in stored


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["user", "create", "--email", "ANN@example.com", "--name", "A"], 3, "is a user ann@"),
        (["user", "create", "--email", "ann", "--name", "A"], 2, "not an e-mail address"),
        (["user", "create", "--email", "b@x", "--name", "B", "--tenant", "../x"], 2, "tenant"),
        (["user", "create", "--email", "b@x"], 2, "--name"),
        (["key", "create", "--email", "b@x", "--name", "k"], 3, "ci-admin user create"),
        (["key", "create", "--email", "ann@example.com", "--name", "k", "--role", "boss"], 2,
         "'admin', 'submitter', 'viewer'"),
        (["key", "create", "--email", "ann@example.com", "--name", "k", "--expires", "0d"], 2,
         "90d, 12h or 30m"),
        (["key", "create", "--email", "ann@example.com", "--name", "k", "--expires", "9999d"], 2,
         "at most 3650d"),
        (["key", "create", "--email", "ann@example.com", "--name", ""], 2, "a name must have"),
        (["key", "list", "--email", "b@x"], 3, "no user b@x"),
        (["key", "revoke", "ci_nothing"], 3, "ci-admin key list"),
        (["key", "revoke"], 2, "KEY"),
        (["key", "rotate", "ci_nothing", "--grace", "soon"], 2, "'--grace'"),
        (["user", "disable", "b@x"], 3, "no user b@x"),
        (["user", "delete", "ann@example.com"], 3, "disable this one"),
        (["user", "rename", "ann@example.com", "ann@example.com"], 3, "is a user ann@"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_told_with_the_next_step(with_a_user, arguments, code, told):
    done = admin(with_a_user, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_looking_makes_no_database(own_server):
    server = own_server()
    done = admin(server, "user", "list")
    assert done.returncode == 3
    assert "CI_DB_PATH" in done.stderr
    assert not server.database.exists()


def test_a_user_is_disabled_renamed_and_deleted_while_the_server_runs(server):
    create_user(server)
    create_user(server, "bob@example.com")
    ann, bob = (
        Caller(server, create_key(server)),
        Caller(server, create_key(server, "bob@example.com")),
    )
    job_id = ann.submit(server.form(projects.ANY, ["true"]))
    succeed(server, "user", "disable", "ANN@example.com")
    assert (ann.status(), bob.status()) == (401, 200)
    assert keys(server)[0]["state"] == "disabled"
    assert "disabled" in succeed(server, "user", "list")
    succeed(server, "user", "enable", "ann@example.com")
    assert ann.status() == 200
    renamed = admin(server, "user", "rename", "ann@example.com", "zoe@example.com")
    assert "1 job moved to the new address" in renamed.stderr
    assert ann.ask("GET", f"/jobs/{job_id}").json()["user"] == "zoe@example.com"
    assert ann.status(f"/jobs/{job_id}/cancel", "POST") == 202
    deleted = admin(server, "user", "delete", "zoe@example.com")
    assert "1 job of zoe@example.com" in deleted.stderr
    assert ann.status() == 401
    assert bob.ask("GET", f"/jobs/{job_id}").json()["user"] == "zoe@example.com"
    entries = execute(server, "SELECT action, tenant, target FROM audit WHERE action LIKE 'user_%'")
    assert entries[2:] == [
        ("user_disable", "local", "ann@example.com"),
        ("user_enable", "local", "ann@example.com"),
        ("user_rename", "local", "ann@example.com"),
        ("user_delete", "local", "zoe@example.com"),
    ]


def test_a_rotated_key_gives_way_to_another(server):
    create_user(server)
    old = create_key(server, "ann@example.com", "--role", "viewer", "--expires", "30d")
    graced = succeed(server, "key", "rotate", old[:11], "--grace", "1h").strip()
    assert [Caller(server, key).status() for key in (old, graced)] == [200, 200]
    done = admin(server, "key", "rotate", graced[:11])
    assert "It is not shown again" in done.stderr
    last = done.stdout.strip()
    assert [Caller(server, key).status() for key in (old, graced, last)] == [200, 401, 200]
    assert {(key["role"], key["name"]) for key in keys(server)} == {("viewer", "a key")}
    assert [key["state"] for key in keys(server)] == ["live", "revoked", "live"]
    refused = admin(server, "key", "rotate", graced[:11])
    assert (refused.returncode, refused.stdout) == (3, "")
    assert "no live API key" in refused.stderr


def test_lists_for_people(own_server):
    server = own_server()
    create_user(server)
    create_key(server, "ann@example.com", "--expires", "never")
    listed = keys(server)[0]
    heading, line = succeed(server, "key", "list").splitlines()
    assert heading.split()[:3] == ["ID", "PREFIX", "NAME"]
    assert line.split()[:2] == [listed["id"], listed["prefix"]]
    assert line.split()[-3:] == ["live", "never", "-"]
    assert listed["role"] == "submitter"
    assert "ann@example.com" in succeed(server, "user", "list")
    assert json.loads(succeed(server, "user", "list", "--json"))[0]["tenant"] == "local"
