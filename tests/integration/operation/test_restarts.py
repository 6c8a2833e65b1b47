"""The server dies or stops while jobs run: they go on, and nothing of them is lost."""

import threading

import httpx
import pytest

from support import engine, events, projects

pytestmark = pytest.mark.docker

COUNTING = """
import os, sys, time
number = 0
while not os.path.exists('go'):
    number += 1
    print('line', number, '\\u2713' * (number % 7))
    time.sleep(0.005)
print('the end after', number)
sys.exit(3)
"""


def whole(log):
    """Whether the log of COUNTING has every line once, in order."""
    *lines, end = log.decode().splitlines()
    numbers = [int(line.split()[1]) for line in lines]
    assert numbers == list(range(1, len(lines) + 1))
    assert end == f"the end after {len(lines)}"
    return True


def lines_beyond(server, job_id, size):
    """Wait until the log has grown by some lines beyond this size; its size then."""
    return len(
        server.until(lambda: server.log(job_id), lambda log: len(log) > size + 500, "more log")
    )


@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_a_running_job_is_adopted(own_server, how):
    server = own_server().start().ready()
    job_id = server.submit(projects.ANY, projects.python(COUNTING))
    size = lines_beyond(server, job_id, 0)
    getattr(server, how)()
    assert job_id in engine.containers_of(server)
    server.start()
    assert server.job(job_id)["status"] == "running"
    assert len(server.log(job_id)) >= size
    size = lines_beyond(server, job_id, len(server.log(job_id)))
    engine.release(server, job_id)
    job = server.finished(job_id)
    assert (job["status"], job["success"], job["exit_code"]) == ("completed", False, 3)
    assert whole(server.log(job_id))
    assert job["log_size"] == len(server.log(job_id)) > size
    server.until(lambda: engine.containers_of(server), lambda found: not found, "no container")


def test_a_job_that_ends_while_the_server_is_down(own_server):
    """Its end is found at the container: exit code, and all of the log."""
    server = own_server().start().ready()
    job_id = server.submit(projects.ANY, projects.python(COUNTING))
    lines_beyond(server, job_id, 0)
    server.kill()
    engine.release(server, job_id)
    server.until(
        lambda: engine.containers_of(server)[job_id]["State"],
        lambda state: state == "exited",
        "the container's end",
    )
    server.start()
    job = server.finished(job_id)
    assert (job["status"], job["exit_code"], job["reason"]) == ("completed", 3, "exit")
    assert whole(server.log(job_id))


def test_a_stream_resumed_over_a_kill_has_every_byte_once(own_server):
    server = own_server().start().ready()
    job_id = server.submit(projects.ANY, projects.python(COUNTING))
    joined, last_id = b"", "0"
    path = f"/jobs/{job_id}/stream"
    with events.streaming(server.http, "GET", path, params={"offset": 0}) as stream:
        while len(joined) < 2000:
            event = next(stream)
            joined += events.logged([event])
            last_id = event.id or last_id
    server.kill()
    server.start()
    released = False
    with events.streaming(server.http, "GET", path, headers={"Last-Event-ID": last_id}) as stream:
        for event in stream:
            joined += events.logged([event])
            if not released and len(joined) > 4000:
                engine.release(server, job_id)
                released = True
    assert event.type == "complete"
    assert joined == server.log(job_id)
    assert whole(joined)


def test_a_wish_to_cancel_survives_a_kill(own_server):
    server = own_server(max_concurrent_jobs=1).start().ready()
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf'); time.sleep(999)"
    running = server.submit(projects.ANY, projects.python(deaf))
    server.under_way(running, b"deaf")
    queued = server.submit(projects.ANY, ["echo", "never"])
    server.environment["CI_CANCEL_GRACE_SECONDS"] = "0"
    for job_id in (running, queued):
        assert server.http.delete(f"/jobs/{job_id}").status_code == 202
    server.kill()
    server.start()
    for job_id in (running, queued):
        assert server.finished(job_id)["status"] == "cancelled"
    assert server.log(queued) == b""


def test_finished_jobs_and_their_logs_are_still_there(own_server):
    server = own_server().start().ready()
    job, log = server.run(projects.ANY, ["echo", "for ever"])
    server.kill()
    server.start()
    assert server.job(job["job_id"]) == job
    assert server.log(job["job_id"]) == log == b"for ever\n"
    got = events.stream(server.http, job["job_id"], params={"from_beginning": True})
    assert events.logged(got) == log


def test_sigterm_ends_the_server_soon_with_streams_open(own_server):
    server = own_server().start().ready()
    job_id = server.submit(projects.ANY, projects.ENDLESS)
    server.under_way(job_id, b"started")
    opened = threading.Barrier(7)
    ended = []

    def watch(path):
        with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as http:
            try:
                with http.stream("GET", f"/jobs/{job_id}/{path}") as answer:
                    pieces = answer.iter_raw()
                    next(pieces)
                    opened.wait(20)
                    ended.append(b"complete" in b"".join(pieces))
            except httpx.TransportError:
                ended.append(False)

    paths = ["stream?from_beginning=true", "logs?follow=true"] * 3
    watchers = [threading.Thread(target=watch, args=(path,)) for path in paths]
    for watcher in watchers:
        watcher.start()
    opened.wait(20)
    server.terminate(seconds=10)
    for watcher in watchers:
        watcher.join(20)
    assert ended == [False] * 6  # cut off, and not told that the job had ended
    assert engine.containers_of(server)[job_id]["State"] == "running"
