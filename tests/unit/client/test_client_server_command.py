"""`ci server` with servers of all kinds."""

import json

import pytest
from client_scripted_server import error, reply_json

HEALTH = {"status": "healthy", "service": "ci-runner", "version": "9.9"}
FIELDS = [
    *("job", "command", "priority", "retries", "timeout", "install", "git", "tty", "color"),
    *("image", "env", "artifacts", "cpu", "memory", "labels", "private", "notify"),
]
FACTS = {
    "version": "9.9", "authentication": True, "user": "ann@example.com", "tenant": "acme",
    "role": "submitter", "executor": "docker", "image": "ci-runner:latest",
    "limits": {
        "upload_bytes": 100 << 20, "unpacked_bytes": 2 << 30, "files": 1000, "concurrent_jobs": 4,
        "concurrent_jobs_per_tenant": 2, "live_jobs_per_user": None, "priority": 5,
        "artifacts": 10, "artifacts_mb": 20,
        "timeout_seconds": {"default": 3600.0, "max": None},
        "memory_mb": {"default": None, "max": 512}, "cpu_percent": {"default": None, "max": None},
        "pids": {"default": 4096, "max": None}, "log_mb": {"default": 100, "max": 100},
        "new": {"default": 1},
    },
}  # fmt: skip


@pytest.fixture
def newest(server):
    server.on("GET /health", reply_json(HEALTH))
    server.on("GET /ready", reply_json({"status": "ready"}))
    server.on("GET /server", reply_json(FACTS))
    server.on("GET /limits", reply_json({"fields": [*FIELDS, "newer"]}))
    return server


def test_a_server(newest, run):
    code, out, err = run("server")
    assert (code, err) == (0, "")
    lines = out.decode().splitlines()
    for line in (
        f"Server:    {newest.url}",
        "State:     ready",
        "You:       ann@example.com (tenant acme, role submitter)",
        "Jobs run:  in containers, default image ci-runner:latest",
        "Upload:    100 MiB packed, 2,048 MiB unpacked, 1,000 files",
        "Timeout:   3,600 s by default",
        "Memory:    no limit by default, at most 512 MiB",
        "At once:   4 jobs, 2 of your tenant",
    ):
        assert line in lines, lines
    assert lines[1].startswith("Version:   9.9; this ci is ")


def test_as_json(newest, run):
    code, out, err = run("server", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["address"] == newest.url
    assert (told["ready"], told["why_not_ready"], told["unknown_fields"]) == (True, None, [])
    assert {name: told[name] for name in FACTS} == FACTS


def test_one_that_is_not_ready(newest, run):
    newest.on("GET /ready", error(503, "not_ready", "the container engine does not answer"))
    code, out, _ = run("server")
    assert code == 3
    assert "State:     not ready: the container engine does not answer" in out.decode()


def test_an_older_one(newest, run):
    newest.on("GET /server", error(404, "not_found", "nothing here"))
    newest.on("GET /limits", reply_json({"max_upload_bytes": 1 << 20, "fields": FIELDS[:9]}))
    code, out, err = run("server")
    assert (code, err) == (0, "")
    assert "older than this ci" in out.decode()
    assert "it does not support image, env, artifacts, cpu, memory, labels" in out.decode()
    assert "1 MiB packed" in out.decode()


def test_the_oldest(newest, run):
    for path in ("/server", "/limits"):
        newest.on(f"GET {path}", error(404, "not_found", "nothing here"))
    code, out, err = run("server")
    assert (code, err) == (0, "")
    assert "State:   ready" in out.decode()


def test_one_that_does_not_know_us(newest, run):
    newest.on("GET /server", error(401, "unauthenticated", "who are you?"))
    code, out, err = run("server")
    assert code == 2
    assert "State:   ready" in out.decode()
    assert "requires authentication" in err


def test_a_viewer_is_not_asked_what_only_submitters_are_told(newest, run):
    newest.on("GET /server", reply_json(FACTS | {"role": "viewer"}))
    newest.on("GET /limits", error(403, "forbidden", "not yours"))
    assert run("server")[0] == 0


def test_what_is_no_ci_server(newest, run):
    newest.on("GET /health", reply_json(["something", "else"]))
    code, out, err = run("server")
    assert (code, out) == (3, b"")
    assert "not from a CI server" in err


def test_one_that_is_not_there(run):
    code, out, err = run("server", "--server", "http://127.0.0.1:9")
    assert (code, out) == (3, b"")
    assert "Cannot reach the server" in err


def test_https_in_place_of_http(newest, run):
    code, _, err = run("server", "--server", newest.url.replace("http:", "https:"))
    assert code == 3
    assert "Use http:// in the address" in err


def test_what_a_server_says_does_nothing_to_the_terminal(newest, run):
    newest.on("GET /server", reply_json(FACTS | {"user": "a\x1b[2J\nState: ready"}))
    code, out, _ = run("server")
    assert code == 0
    assert b"\x1b" not in out
    assert out.count(b"State") == 2
    assert b"\nState: ready" not in out
