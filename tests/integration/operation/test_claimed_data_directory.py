"""A database has one data directory: servers, controllers and commands with another are refused."""

import subprocess
import sys

import pytest

from support import events, projects
from support.instances import Instance
from support.live_server import LiveServer

NO_ENGINE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}


def refused(server):
    """Try to start; what the server said."""
    with pytest.raises(pytest.fail.Exception, match="did not start"):
        server.start()
    return server.log_tail()


def both_paths(told, server, data):
    assert str(server.data) in told
    assert str(data) in told
    assert "Traceback" not in told


@pytest.fixture
def with_job(own_server):
    """A server without an engine, with a queued job."""
    server = own_server(environment=NO_ENGINE).start()
    server.queued = server.submit(projects.ANY)
    return server


@pytest.mark.parametrize("runs", [True, False])
def test_a_second_server_with_another_directory_is_refused(with_job, tmp_path, runs):
    if not runs:
        with_job.terminate()
    data = tmp_path / "other data"
    with LiveServer(
        tmp_path / "second", environment=NO_ENGINE, db_path=with_job.database, data_dir=data
    ) as second:
        both_paths(refused(second), with_job, data)
    assert not data.exists()
    if not runs:
        with_job.start()
    assert with_job.http.get("/jobs").json()[0]["job_id"] == with_job.queued


def test_a_second_server_with_the_directory_of_another_database_is_refused(with_job, tmp_path):
    with LiveServer(tmp_path / "second", environment=NO_ENGINE, data_dir=with_job.data) as second:
        told = refused(second)
    both_paths(told, with_job, second.database)
    assert str(with_job.database) in told


def test_a_second_server_with_the_same_directory_by_another_path(with_job, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(with_job.data)
    with LiveServer(
        tmp_path / "second", environment=NO_ENGINE, db_path=with_job.database, data_dir=link
    ) as second:
        second.start()
        assert second.job(with_job.queued)["status"] == "queued"


def test_a_controller_with_another_directory_is_refused(own_server, tmp_path):
    server = own_server(environment=NO_ENGINE, controller="external").start()
    data = tmp_path / "other data"
    done = subprocess.run(
        [sys.executable, "-m", "ci_controller"],
        cwd=server.directory,
        env={**server.environment, "CI_DATA_DIR": str(data)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    both_paths(done.stderr, server, data)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command",
    [("doctor", "--fix"), ("backup", "b.tar"), ("secret", "set", "TOKEN"), ("adopt",)],
    ids=" ".join,
)
def test_commands_with_another_directory_are_refused(with_job, tmp_path, command):
    data = tmp_path / "other data"
    with_job.environment["CI_DATA_DIR"] = str(data)
    done = with_job.admin(*command, value="a value that is secret")
    assert done.returncode == 3, (done.stdout, done.stderr)
    both_paths(done.stderr, with_job, data)
    assert "Traceback" not in done.stderr
    assert not data.exists()


def test_a_restore_never_puts_aside_the_directory_of_another_database(instance, tmp_path):
    assert instance.admin("backup", tmp_path / "b.tar").returncode == 0
    other = Instance(tmp_path / "other")
    other.directory.mkdir()
    assert other.admin("restore", tmp_path / "b.tar").returncode == 0
    files = instance.files()
    assert instance.admin("adopt").returncode == 0
    third = Instance(tmp_path / "third")
    third.directory.mkdir()
    done = third.admin("restore", tmp_path / "b.tar", "--force", data_dir=instance.data)
    assert done.returncode == 3
    assert str(instance.database) in done.stderr
    assert set(files) <= set(instance.files())


@pytest.mark.parametrize("options", [(), ("--new-instance",)])
def test_a_server_starts_on_what_was_restored(with_job, tmp_path, options):
    assert with_job.admin("backup", tmp_path / "b.tar").returncode == 0
    with_job.terminate()
    with LiveServer(tmp_path / "other", environment=NO_ENGINE) as other:
        assert other.admin("restore", tmp_path / "b.tar", *options).returncode == 0
        other.start()
        assert other.job(with_job.queued)["status"] == ("failed" if options else "queued")
        other.terminate()
        done = other.admin("restore", tmp_path / "b.tar", "--force", *options)
        assert done.returncode == 0, done.stderr
        other.start()
        other.submit(projects.ANY)


def test_a_deleted_database_is_not_replaced_by_a_new_one(with_job):
    with_job.terminate()
    kept = {path: path.read_bytes() for path in with_job.directory.glob("ci.db*") if path.is_file()}
    for path in kept:
        path.unlink()
    told = refused(with_job)
    assert f"there is no database {with_job.database}" in told
    assert str(with_job.data) in told
    assert not with_job.database.exists()
    for path, content in kept.items():
        path.write_bytes(content)
    with_job.start()
    assert with_job.job(with_job.queued)["status"] == "queued"


def test_an_empty_directory_is_refused_until_it_is_adopted(with_job):
    with_job.terminate()
    with_job.data.rename(with_job.directory / "away")
    told = refused(with_job)
    both_paths(told, with_job, with_job.database)
    done = with_job.admin("adopt")
    assert (done.returncode, done.stderr) == (0, "")
    assert with_job.start().job(with_job.queued)["status"] == "queued"


# ---------------------------------------------------------------------- a log without its file


@pytest.fixture
def without_log(own_server, tmp_path):
    """A server with two finished jobs: of one, the log's file is gone, of the other its end."""
    instance = Instance(tmp_path / "own")
    gone = instance.add(log=b"line\n" * 1000)
    short = instance.add(log=b"line\n" * 1000)
    server = own_server(environment=NO_ENGINE, log_compress_seconds=10**6).start()
    instance.stores.logs.delete(gone)
    (path,) = (instance.data / "logs").rglob(f"{short}.live/*.log")
    with path.open("r+b") as log:
        log.truncate(1000)
    server.gone, server.short = gone, short
    return server


def ask(server, job_id, query="", **headers):
    return server.http.get(f"/jobs/{job_id}/logs{query}", headers=headers)


@pytest.mark.parametrize("query", ["", "?tail=10", "?follow=true"])
def test_a_log_whose_file_is_gone_is_not_answered_with_its_length(without_log, query):
    for job_id, status, code in (
        (without_log.gone, 410, "log_missing"),
        (without_log.short, 500, "log_corrupt"),
    ):
        answer = ask(without_log, job_id, query)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert str(without_log.data) not in answer.text


def test_ranges_of_a_log_that_is_not_all_there(without_log):
    short = without_log.short
    there = ask(without_log, short, Range="bytes=0-999")
    assert (there.status_code, there.content) == (206, b"line\n" * 200)
    for wanted in ("bytes=0-1000", "bytes=-1", "bytes=1000-"):
        assert ask(without_log, short, Range=wanted).json()["error"]["code"] == "log_corrupt"
        answer = ask(without_log, without_log.gone, Range=wanted)
        assert (answer.status_code, answer.json()["error"]["code"]) == (410, "log_missing")
    beyond = ask(without_log, short, Range="bytes=9999-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */5000")


def test_the_stream_of_a_log_that_is_not_all_there_tells_the_result(without_log):
    for job_id, stored in ((without_log.gone, 0), (without_log.short, 1000)):
        told = events.stream(without_log.http, job_id, params={"from_beginning": True})
        assert events.logged(told) == (b"line\n" * 1000)[:stored]
        assert told[-1].data["success"] is True
        assert f"cannot be read from byte {stored} on" in told[-1].data["message"]
