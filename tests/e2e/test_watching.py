"""Watching a job from the command line: every byte, once, whoever watches, whatever happens."""

import hashlib
import json
import subprocess

import pytest

from ci_client.library.sse_reader import log_bytes
from support import engine, projects
from support.command_line import command, environment

pytestmark = pytest.mark.docker

HARD = (
    b"plain\n\r\n10%\r100%\r\n\x1b[31mred\x1b[0m\x00\n\xff\xfe\xc3( \xe2\x82\n"
    + "\u2713 \u65e5\u672c\u2028\x85\n".encode()
    + bytes(range(256)) * 40
    + b"\nno end \xe2\x82"
)


def test_stdout_is_the_logs_bytes_whichever_way(server, user, project):
    (project / "content").write_bytes(HARD)
    done = user.run("submit", "--path", project, "--", "cat", "content")
    assert (done.code, done.out) == (0, HARD)
    job_id = done.job_id
    for arguments in (["wait", "--all"], ["logs"], ["logs", "-f"], ["logs", "--tail", "9999"]):
        done = user.run(*arguments, job_id)
        assert (done.code, done.out) == (0, HARD), arguments
    last_two = b"".join(HARD.splitlines(keepends=True)[-1:])
    assert user.run("logs", "--tail", "1", job_id).out.endswith(last_two[-50:])
    assert server.log(job_id) == HARD


def test_tail_and_follow(server, user):
    script = "seq 20; while [ ! -e go ]; do sleep 0.02; done; seq 21 23"
    job_id = server.submit(projects.ANY, projects.shell(script))
    server.log_has(job_id, b"20\n")
    assert user.run("logs", "--tail", "3", job_id).out == b"18\n19\n20\n"
    assert user.run("logs", "--tail", "0", job_id).out == b""
    following = user.start("logs", "-f", "--tail", "2", job_id)
    following.until_out(b"19\n20\n")
    engine.release(server, job_id)
    done = following.end()
    assert (done.code, done.out) == (0, b"19\n20\n21\n22\n23\n")


def test_several_logs_after_each_other_and_together(server, user):
    script = "printf 'half a '; while [ ! -e go ]; do sleep 0.02; done; printf 'line\\nno end'"
    slow = server.submit(projects.ANY, projects.shell(script))
    server.log_has(slow, b"half a ")
    quick, _ = server.run(projects.ANY, projects.shell("printf 'a\\r\\nb'; exit 3"))
    done = user.run("logs", slow, quick["job_id"])
    assert (done.code, done.out) == (0, b"half a a\r\nb")
    assert done.err == f"==> test {slow[:8]} <==\n==> test {quick['job_id'][:8]} <==\n"
    following = user.start("logs", "-f", slow[:8], quick["job_id"])
    following.until_out(b"| b\n")
    following.until_err(f"test {quick['job_id'][:8]} | ✗ failed: exit code 3")
    engine.release(server, slow)
    done = following.end()
    of_slow, of_quick = (f"test {job_id[:8]} | ".encode() for job_id in (slow, quick["job_id"]))
    assert done.code == 1
    assert done.out == b"".join(
        (of_quick, b"a\r\n", of_quick, b"b\n", of_slow, b"half a line\n", of_slow, b"no end\n")
    )
    assert f"test {slow[:8]} | ✓ passed" in done.err


def test_wait_without_all_is_what_follows(server, user):
    job_id = server.submit(projects.ANY, projects.WAITING)
    server.under_way(job_id, b"waiting")
    waiting = user.start("wait", job_id)
    waiting.until_err("running")
    engine.release(server, job_id)
    done = waiting.end()
    assert (done.code, done.out) == (0, b"went on\n")


def test_two_watchers_and_the_submitter_see_the_same_bytes(server, user, project):
    submitter = user.start("submit", "--path", project, "--", *projects.WAITING)
    job_id = submitter.job_id
    watchers = [submitter, *(user.start("wait", "--all", job_id) for _ in range(2))]
    for watcher in watchers:
        watcher.until_out(b"waiting\n")
    engine.release(server, job_id)
    ends = [watcher.end() for watcher in watchers]
    assert [(done.code, done.out) for done in ends] == [(0, b"waiting\nwent on\n")] * 3


def test_a_reader_that_goes_away_is_no_drama(server, user):
    """As in `ci logs ID | head -1`."""
    job, _ = server.run(projects.ANY, ["seq", "300000"])
    process = subprocess.Popen(
        [*command(), "logs", job["job_id"]],
        env=environment(server.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"1\n"
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(30) == 141
    assert said == b""


COUNTING = """
import os, time
number = 0
while not os.path.exists('go'):
    number += 1
    print('line', number, '.' * (number % 50))
    time.sleep(0.005)
print('counted', number)
"""


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_the_server_restarts_under_a_watcher(own_server, user_of, how):
    server = own_server().start().ready()
    job_id = server.submit(projects.ANY, projects.python(COUNTING))
    waiting = user_of(server.url).start("wait", "--all", job_id)
    waiting.until_out(b"line 50 ")
    getattr(server, how)()
    assert waiting.process.poll() is None
    server.start()
    seen = len(waiting.out)
    waiting.until(lambda: len(waiting.out) > seen + 2000, "more output after the restart")
    engine.release(server, job_id)
    done = waiting.end()
    assert done.code == 0
    assert done.out == server.log(job_id)
    *lines, end = done.text.splitlines()
    assert [int(line.split()[1]) for line in lines] == list(range(1, len(lines) + 1))
    assert end == f"counted {len(lines)}"


def test_a_large_log_is_whole(server, user, project):
    script = "for i in range(100_000): print(i, 'x' * (i % 60))"
    done = user.run("submit", "--path", project, "--", "python", "-c", script)
    want = b"".join(b"%d %s\n" % (i, b"x" * (i % 60)) for i in range(100_000))
    assert done.code == 0
    assert len(done.out) == len(want)
    assert hashlib.sha256(done.out).digest() == hashlib.sha256(want).digest()


# ---------------------------------------------------------------- curl


def curl_events(text):
    """The data of the events in what curl printed."""
    blocks = text.split("\n\n")
    lines = [line for block in blocks for line in block.split("\n") if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_curl_submits_and_watches_live(server, user, tmp_path):
    (tmp_path / "project.zip").write_bytes(projects.ANY)
    spec = "spec=" + json.dumps({"command": projects.WAITING})
    form = ("-F", "file=@project.zip", "--form-string", spec)
    running = user.curl(*form, f"{server.url}/submit-stream")
    running.until_out(b"waiting")  # while the job still runs
    job_id = curl_events(running.out.decode())[0]["job_id"]
    other = user.curl(f"{server.url}/jobs/{job_id}/stream?from_beginning=true")
    raw = user.curl(f"{server.url}/jobs/{job_id}/logs?follow=true")
    other.until_out(b"waiting")
    raw.until_out(b"waiting\n")
    engine.release(server, job_id)
    for watcher, types in ((running, {"job_id", "log"}), (other, {"status", "log"})):
        done = watcher.end()
        got = curl_events(done.text)
        assert done.code == 0
        assert {event["type"] for event in got[:-1]} == types
        logs = b"".join(log_bytes(event) for event in got if event["type"] == "log")
        assert logs == b"waiting\nwent on\n"
        assert (got[-1]["type"], got[-1]["success"]) == ("complete", True)
    assert raw.end().out == b"waiting\nwent on\n"


def test_curl_submits_plainly(server, user, tmp_path):
    (tmp_path / "project.zip").write_bytes(projects.FAILING)
    done = user.curl("-F", "file=@project.zip", f"{server.url}/submit").end()
    got = curl_events(done.text)
    assert done.code == 0
    assert {event["type"] for event in got[:-1]} == {"log"}
    assert got[-1]["success"] is False
