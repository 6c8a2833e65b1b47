"""The engine goes away for a while, as it does when it is restarted with live restore."""

import pytest

from support import engine, events, projects
from support.failing_engine import FailingEngine

pytestmark = pytest.mark.docker

COUNTING = """
import os, time
number = 0
while not os.path.exists('go'):
    number += 1
    print('line', number)
    time.sleep(0.005)
print('counted', number)
"""


@pytest.fixture
def proxy(tmp_path):
    target = engine.socket_path()
    if target is None:
        pytest.skip("the engine is not at a unix socket")
    proxy = FailingEngine(tmp_path / "engine.sock", target)
    proxy.restore()
    yield proxy
    proxy.cut()


def test_a_running_job_goes_on_and_its_log_is_whole(own_server, proxy):
    server = own_server(environment={"DOCKER_HOST": proxy.docker_host}, reconcile_seconds=0.5)
    server.start().ready()
    job_id = server.submit(projects.ANY, projects.python(COUNTING))
    path, params = f"/jobs/{job_id}/stream", {"from_beginning": True}
    with events.streaming(server.http, "GET", path, params=params) as stream:
        server.under_way(job_id, b"line 20\n")
        for _ in range(2):
            proxy.cut()
            size = len(server.log(job_id))
            server.until(
                lambda: server.http.get("/ready"),
                lambda answer: answer.status_code == 503 and "engine" in answer.text,
                "/ready that names the engine",
            )
            assert server.job(job_id)["status"] == "running"
            proxy.restore()
            server.ready()
            server.until(
                lambda size=size: len(server.log(job_id)) > size + 500, what="more of the log"
            )
        engine.release(server, job_id)
        got = list(stream)
    assert (got[-1].type, got[-1].data["success"]) == ("complete", True)
    assert events.logged(got) == server.log(job_id)
    *lines, end = server.log(job_id).decode().splitlines()
    assert lines == [f"line {number}" for number in range(1, len(lines) + 1)]
    assert end == f"counted {len(lines)}"


def test_a_job_that_ends_during_the_outage(own_server, proxy):
    server = own_server(environment={"DOCKER_HOST": proxy.docker_host}, reconcile_seconds=0.5)
    server.start().ready()
    job_id = server.submit(projects.ANY, projects.python(COUNTING + "raise SystemExit(9)"))
    server.under_way(job_id, b"line 20\n")
    proxy.cut()
    engine.release(server, job_id)
    server.until(
        lambda: engine.containers_of(server)[job_id]["State"],
        lambda state: state == "exited",
        "the container's end",
    )
    assert server.job(job_id)["status"] == "running"  # the result is never guessed
    proxy.restore()
    job = server.finished(job_id)
    assert (job["status"], job["exit_code"], job["reason"]) == ("completed", 9, "exit")
    *lines, end = server.log(job_id).decode().splitlines()
    assert lines == [f"line {number}" for number in range(1, len(lines) + 1)]
    assert end == f"counted {len(lines)}"
    server.until(lambda: engine.containers_of(server), lambda found: not found, "no container")


def test_a_job_cancelled_during_the_outage_is_stopped_after_it(own_server, proxy):
    server = own_server(environment={"DOCKER_HOST": proxy.docker_host}, reconcile_seconds=0.5)
    server.start().ready()
    job_id = server.submit(projects.ANY, projects.ENDLESS)
    server.under_way(job_id, b"started")
    proxy.cut()
    assert server.http.delete(f"/jobs/{job_id}").status_code == 202
    server.until(lambda: server.http.get("/ready").status_code == 503, what="503")
    assert server.job(job_id)["status"] == "running"
    proxy.restore()
    assert server.finished(job_id)["status"] == "cancelled"
    server.until(lambda: engine.containers_of(server), lambda found: not found, "no container")


def test_a_job_waits_for_an_engine_that_fails_for_a_while(own_server, proxy):
    """At every request there is from a launch to the removal, once or twice."""
    server = own_server(environment={"DOCKER_HOST": proxy.docker_host}, reconcile_seconds=0.2)
    server.start().ready()
    for message, times in (("could not find bridge docker0", 2), (None, 1)):
        requests = [("POST", "/start"), ("GET", "/archive"), ("DELETE", "/containers/[^/]+")]
        for method, path in requests:
            proxy.fail(method, path, times, message)
        job_id = server.submit(projects.ANY, projects.python("print('ran'); exit(3)"))
        job = server.finished(job_id)
        assert (job["status"], job["exit_code"]) == ("completed", 3), job
        assert server.log(job_id) == b"ran\n"
        server.until(lambda times=times: len(proxy.failed) >= 3 * times, what="all failures")
        proxy.failed.clear()
