"""The database, or the data directory, goes away under a running server, and comes back."""

import shutil

import pytest

from support import events, projects
from support.accepted_jobs import Watcher
from support.engine import engine, release
from support.instances import Instance
from support.nothing_left import assert_nothing_left
from support.storage_losses import (
    data_deleted,
    data_moved,
    data_read_only,
    data_unmounted,
    database_immutable,
    database_moved,
    database_replaced,
)

NO_ENGINE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}


def refuses(server, code, *words):
    """Submissions are answered 503, at once and not only after a while, and /ready says why."""
    answer = server.http.post("/submit-async", **server.form(projects.ANY))
    assert answer.status_code == 503, answer.text
    error = answer.json()["error"]
    assert error["code"] == code
    ready = server.http.get("/ready")
    assert (ready.status_code, ready.json()["error"]["code"]) == (503, "not_ready")
    for word in words:
        assert word in error["message"]
        assert word in ready.text
    assert str(server.directory) not in answer.text + ready.text
    assert server.http.get("/health").status_code == 200


def state_of(server, job_id):
    """Of a job's container. By its name: the database cannot be asked for the server's."""
    with engine() as client:
        return client.api.inspect_container(f"{server.prefix}{job_id}")["State"]["Status"]


def said(server, *, times, words):
    """The server's log says this so often, and has no traceback."""
    log = server.log_path.read_text()
    assert log.count(words) == times, log
    assert "Traceback" not in log, log


DATABASE_LOSSES = pytest.mark.parametrize(
    ("lose", "what"),
    [
        (database_moved, "deleted or moved"),
        (database_immutable, "read-only"),
        (database_replaced, "replaced"),
    ],
)


@DATABASE_LOSSES
def test_a_database_that_is_gone_takes_no_job_and_works_when_it_is_back(own_server, lose, what):
    server = own_server(environment=NO_ENGINE).start()
    before = server.submit(projects.ANY)
    with lose(server):
        refuses(server, "database_unavailable", what)
        assert server.http.get(f"/jobs/{before}").status_code == 200
        cancel = server.http.delete(f"/jobs/{before}")
        assert cancel.json()["error"]["code"] == "database_unavailable"
        assert server.stored_files() == [f"{before}.zip"]
    server.submit(projects.ANY)
    server.terminate()
    server.start()
    assert server.rows() == 2
    said(server, times=1, words="no job is accepted, started or finished")


def test_a_database_that_was_deleted_for_good_is_told_at_the_next_start(own_server):
    server = own_server(environment=NO_ENGINE).start()
    server.submit(projects.ANY)
    for path in server.directory.glob("ci.db*"):
        if path.is_file():
            path.unlink()
    refuses(server, "database_unavailable", "deleted or moved")
    server.terminate()
    with pytest.raises(pytest.fail.Exception, match="there is no database"):
        server.start()


@pytest.mark.docker
@DATABASE_LOSSES
def test_a_job_that_ends_meanwhile_is_recorded_when_the_database_is_back(own_server, lose, what):
    server = own_server().start().ready()
    running = server.submit(projects.ANY, projects.WAITING)
    server.under_way(running, b"waiting\n")
    with lose(server):
        release(server, running)
        server.log_has(running, b"went on\n")
        server.until(
            lambda: state_of(server, running),
            lambda state: state == "exited",
            "the container's end",
        )
        refuses(server, "database_unavailable", what)
    assert server.finished(running)["success"] is True
    assert server.log(running) == b"waiting\nwent on\n"
    assert server.run(projects.ANY, ["true"])[0]["success"] is True
    assert_nothing_left(server)
    said(server, times=1, words="no job is accepted, started or finished")


# ---------------------------------------------------------------------- the data directory


DATA_LOSSES = pytest.mark.parametrize(
    ("lose", "what"),
    [(data_moved, "is gone"), (data_unmounted, "was replaced"), (data_deleted, "is gone")],
)


@pytest.mark.parametrize(
    ("lose", "what"),
    [
        (data_moved, "is gone"),
        (data_unmounted, "was replaced"),
        (data_deleted, "is gone"),
        (data_read_only, "is read-only"),
    ],
)
def test_without_its_data_directory_a_server_takes_no_job(own_server, lose, what):
    server = own_server(environment=NO_ENGINE).start()
    with lose(server):
        refuses(server, "data_directory_unavailable", what)
    job_id = server.submit(projects.ANY)
    assert server.http.delete(f"/jobs/{job_id}").status_code == 202
    assert server.finished(job_id)["status"] == "cancelled"
    said(server, times=1, words=f"ci.db.data {what}")


@DATA_LOSSES
def test_logs_are_unavailable_and_not_missing(own_server, tmp_path, lose, what):
    job_id = Instance(tmp_path / "own").add(log=b"hello\n")
    server = own_server(environment=NO_ENGINE, log_compress_seconds=10**6).start()
    with lose(server):
        for path in (
            "logs",
            "logs?tail=1",
            "logs?follow=true",
            "stream",
            "stream?from_beginning=1",
        ):
            answer = server.http.get(f"/jobs/{job_id}/{path}")
            assert answer.status_code == 503, path
            assert what in answer.json()["error"]["message"]
    assert server.log(job_id) == b"hello\n"
    told = events.stream(server.http, job_id, params={"from_beginning": True})
    assert events.logged(told) == b"hello\n"


@pytest.mark.docker
@DATA_LOSSES
def test_a_running_job_completes_with_its_whole_log(own_server, lose, what):
    server = own_server().start().ready()
    running = server.submit(projects.ANY, projects.WAITING)
    server.under_way(running, b"waiting\n")
    watcher = Watcher(server.url, running)
    server.until(lambda: watcher.content, what="a reader that has begun")
    with lose(server):
        release(server, running)
        server.until(
            lambda: state_of(server, running),
            lambda state: state == "exited",
            "the container's end",
        )
        refuses(server, "data_directory_unavailable", what)
        assert server.job(running)["status"] == "running"
    job = server.finished(running)
    assert (job["success"], job["log_dropped"]) == (True, 0)
    assert server.log(running) == b"waiting\nwent on\n"
    watcher.join(60)
    assert (bytes(watcher.content), watcher.error) == (b"waiting\nwent on\n", None)
    assert [event["success"] for event in watcher.completes] == [True]
    assert server.run(projects.ANY, ["echo", "next"])[1] == b"next\n"
    assert_nothing_left(server)
    said(server, times=1, words=f"ci.db.data {what}")


@pytest.mark.docker
@DATA_LOSSES
def test_cancels_take_effect_meanwhile(own_server, lose, what):
    server = own_server(max_concurrent_jobs=1).start().ready()
    running = server.submit(projects.ANY, projects.ENDLESS)
    server.under_way(running, b"started\n")
    queued = server.submit(projects.ANY)
    with lose(server):
        refuses(server, "data_directory_unavailable", what)
        for job_id in (queued, running):
            assert server.http.delete(f"/jobs/{job_id}").status_code == 202
        assert server.finished(queued)["status"] == "cancelled"
        server.until(
            lambda: state_of(server, running),
            lambda state: state == "exited",
            "the container's end",
        )
    assert server.finished(running)["status"] == "cancelled"
    assert server.log(running) == b"started\n"
    assert_nothing_left(server)


@pytest.mark.docker
def test_output_of_many_megabytes_is_not_acknowledged_meanwhile(own_server):
    """More than is acknowledged at a time: what the container keeps is the rest of the log."""
    script = projects.shell(
        "echo waiting; while [ ! -e go ]; do sleep 0.02; done; "
        "yes 0123456789abcdefghijklmnopqrstuvwxyz | head -c 60000000"
    )
    server = own_server().start().ready()
    running = server.submit(projects.ANY, script)
    server.under_way(running, b"waiting\n")
    with data_deleted(server):
        release(server, running)
        server.until(
            lambda: state_of(server, running),
            lambda state: state == "exited",
            "the container's end",
        )
    job = server.finished(running)
    assert (job["success"], job["log_dropped"]) == (True, 0)
    line = b"0123456789abcdefghijklmnopqrstuvwxyz\n"
    assert server.log(running) == b"waiting\n" + (line * (60_000_000 // len(line) + 1))[:60_000_000]


@pytest.mark.docker
def test_in_an_adopted_directory_everything_goes_on_without_a_restart(own_server):
    """The files are lost for good, but what a container holds is the whole log."""
    server = own_server(max_concurrent_jobs=1).start().ready()
    finished, _ = server.run(projects.ANY, ["echo", "hello"])
    running = server.submit(projects.ANY, projects.WAITING)
    server.under_way(running, b"waiting\n")
    queued = server.submit(projects.ANY)
    shutil.rmtree(server.data)
    refuses(server, "data_directory_unavailable", "is gone")
    release(server, running)
    server.data.mkdir()
    refuses(server, "data_directory_unavailable", "was replaced")
    done = server.admin("adopt")
    assert (done.returncode, done.stderr) == (0, "")
    assert server.finished(running)["success"] is True
    assert server.log(running) == b"waiting\nwent on\n"
    assert server.finished(queued)["reason"] == "package_corrupt"
    answer = server.http.get(f"/jobs/{finished['job_id']}/logs")
    assert (answer.status_code, answer.json()["error"]["code"]) == (410, "log_missing")
    assert server.ready().run(projects.ANY, ["echo", "next"])[1] == b"next\n"


@pytest.mark.docker
def test_an_external_controller_waits_for_the_directory(own_server):
    server = own_server(controller="external").start()
    controller = server.spawn_controller()
    server.ready()
    running = server.submit(projects.ANY, projects.WAITING)
    server.under_way(running, b"waiting\n")
    with data_deleted(server):
        release(server, running)
        refuses(server, "data_directory_unavailable", "is gone")
        server.until(
            lambda: state_of(server, running),
            lambda state: state == "exited",
            "the container's end",
        )
    assert server.finished(running)["success"] is True
    assert server.log(running) == b"waiting\nwent on\n"
    assert server.run(projects.ANY, ["echo", "next"])[1] == b"next\n"
    controller.terminate()
    assert controller.wait(60) == 0
    said(server, times=2, words="ci.db.data is gone")  # once by each process
