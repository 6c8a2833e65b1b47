"""`ci list`, `ci status`, `ci cancel`."""

import json
import re

import pytest

from support import projects
from support.live_server import LiveServer

pytestmark = pytest.mark.docker

PUBLISHED = ["JOB ID", "STATUS", "START TIME", "END TIME", "SUCCESS"]
HEADINGS = [*PUBLISHED, "NAME", "REASON", "USER", "PROJECT", "BRANCH", "COMMIT"]
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """A server with one passed, one failed and one running job, and nothing else."""
    with LiveServer(tmp_path_factory.mktemp("history")) as server:
        server.start().ready()
        passed, _ = server.run(projects.ANY, ["true"])
        failed, _ = server.run(projects.ANY, ["false"])
        running = server.submit(projects.ANY, projects.ENDLESS)
        server.under_way(running, b"started")
        yield server, passed["job_id"], failed["job_id"], running


def test_list(history, user_of):
    server, *job_ids = history
    done = user_of(server.url).run("list")
    assert (done.code, done.err) == (0, "")
    head, running, failed, passed = done.text.splitlines()
    assert re.split(r" {2,}", head) == HEADINGS
    found = [re.split(r" {2,}", line) for line in (passed, failed, running)]
    assert [line[0] for line in found] == job_ids
    assert [line[1] for line in found] == ["completed", "completed", "running"]
    assert [line[4] for line in found] == ["\u2713", "\u2717", "-"]
    assert {line[5] for line in found} == {"test"}
    assert [line[6] for line in found[1:]] == ["exit", "-"]
    assert all(re.fullmatch(TIME, line[2]) for line in found)
    assert found[2][3] == "-"


def test_list_as_json_is_what_the_server_says(history, user_of):
    server, *job_ids = history
    done = user_of(server.url).run("list", "--json")
    assert done.code == 0
    assert json.loads(done.out) == server.http.get("/jobs").json()
    assert [job["job_id"] for job in json.loads(done.out)] == job_ids[::-1]


def test_list_of_some(history, user_of):
    server, _, failed, running = history
    line = user_of(server.url)
    done = line.run("list", "--json", "--limit", "2")
    assert [job["job_id"] for job in json.loads(done.out)] == [running, failed]
    done = line.run("list", "--status", "running", "--json")
    assert [job["job_id"] for job in json.loads(done.out)] == [running]


def test_list_of_none(own_server, user_of):
    server = own_server(controller="external").start()
    done = user_of(server.url).run("list")
    assert (done.code, re.split(r" {2,}", done.text.strip())) == (0, HEADINGS)
    assert user_of(server.url).run("list", "--json").text == "[]\n"


def test_status(history, user_of):
    server, passed, failed, running = history
    line = user_of(server.url)
    done = line.run("status", failed)
    assert done.code == 0
    for fact in (failed, "completed", "\u2717", "exited with code 1"):
        assert fact in done.text
    assert "running" in line.run("status", running).text
    done = line.run("status", "--json", passed)
    assert json.loads(done.out) == server.job(passed)


def test_cancel(server, user):
    job_id = server.submit(projects.ANY, projects.ENDLESS)
    server.under_way(job_id, b"started")
    waiting = user.start("wait", job_id)
    waiting.until_err("running")
    done = user.run("cancel", job_id)
    assert done.code == 0
    assert "cancelled" in done.text
    assert waiting.end().code == 4
    assert server.job(job_id)["status"] == "cancelled"


def test_cancel_of_a_finished_job(history, user_of):
    server, passed, _, _ = history
    done = user_of(server.url).run("cancel", passed)
    assert (done.code, done.out) == (2, b"")
    assert "already finished" in done.err


def test_artifacts_that_match(server, user):
    script = "mkdir -p output/deep; echo a > output/a.txt; echo b > output/deep/b.txt; : > output/c"
    job, _ = server.run(projects.ANY, projects.shell(script))
    job_id = job["job_id"]
    done = user.run("artifacts", job_id, "output/**/*.txt", "--download", "got")
    assert (done.code, sorted(done.text.split())) == (
        0,
        ["got/output/a.txt", "got/output/deep/b.txt"],
    )
    assert (user.directory / "got/output/deep/b.txt").read_text() == "b\n"
    assert [
        one["path"]
        for one in json.loads(user.run("artifacts", job_id, "output/deep", "--json").out)
    ] == ["output/deep/b.txt"]
    done = user.run("artifacts", job_id, "*.txt")
    assert (done.code, done.out) == (2, b"")
    assert "matches '*.txt'. The job has 3 artifacts" in done.err
