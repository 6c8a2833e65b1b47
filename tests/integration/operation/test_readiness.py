"""/health and /ready, and what happens to jobs while a part is down."""

import pytest

from ci_server.telemetry.service import VERSION
from support import events, projects

HEALTHY = {"status": "healthy", "service": "ci-runner", "version": VERSION}
NO_ENGINE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}


@pytest.mark.docker
def test_a_server_that_works(server):
    health, ready = server.http.get("/health"), server.http.get("/ready")
    assert (health.status_code, health.json()) == (200, HEALTHY)
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})


def not_ready(server, *words):
    """Wait for a 503 that says all this."""
    answer = server.until(
        lambda: server.http.get("/ready"),
        lambda answer: answer.status_code == 503 and all(word in answer.text for word in words),
        f"/ready with 503 and {words}",
    )
    assert answer.json()["error"]["code"] == "not_ready"
    assert server.http.get("/health").status_code == 200


def test_without_an_engine_jobs_wait_and_can_be_cancelled(own_server):
    server = own_server(environment=NO_ENGINE).start()
    not_ready(server, "engine does not respond")
    job_id = server.submit(projects.ANY)
    other = server.submit(projects.ANY)
    assert server.http.delete(f"/jobs/{job_id}").status_code == 202
    assert server.finished(job_id)["status"] == "cancelled"
    assert server.job(other)["status"] == "queued"
    not_ready(server, "engine does not respond")


@pytest.mark.docker
def test_jobs_that_waited_for_the_engine_run_once_it_is_there(own_server):
    server = own_server(environment=NO_ENGINE).start()
    not_ready(server, "container engine")
    job_id = server.submit(projects.ANY, ["echo", "at last"])
    server.terminate()
    del server.environment["DOCKER_HOST"]
    server.start().ready()
    assert server.finished(job_id)["success"] is True
    assert server.log(job_id) == b"at last\n"


def test_below_the_disk_floor_uploads_are_refused(own_server):
    server = own_server(environment=NO_ENGINE, min_free_disk_mb=1 << 30).start()
    not_ready(server, "disk is nearly full")
    for path in ("/submit", "/submit-stream", "/submit-async"):
        answer = server.http.post(path, **server.form(projects.ANY))
        assert answer.status_code == 507
        assert answer.json()["error"]["code"] == "disk_full"
    assert server.rows() == 0
    assert server.stored_files() == []


def test_every_problem_is_named(own_server):
    server = own_server(controller="external", min_free_disk_mb=1 << 30).start()
    not_ready(server, "no controller is running", "disk is nearly full")


@pytest.mark.docker
def test_an_external_controller_runs_what_waited(own_server):
    server = own_server(controller="external").start()
    not_ready(server, "no controller is running")
    job_id = server.submit(projects.ANY, ["echo", "from outside"])
    assert server.job(job_id)["status"] == "queued"
    controller = server.spawn_controller()
    assert server.finished(job_id)["success"] is True
    assert server.log(job_id) == b"from outside\n"
    server.ready()
    later, _ = server.run(projects.ANY, ["true"])
    assert later["success"] is True
    controller.terminate()
    assert controller.wait(60) == 0


@pytest.mark.docker
def test_an_external_controllers_jobs_are_live_and_can_be_cancelled(own_server):
    server = own_server(controller="external").start()
    server.spawn_controller()
    server.ready()
    job_id = server.submit(projects.ANY, projects.ENDLESS)
    path, params = f"/jobs/{job_id}/stream", {"from_beginning": True}
    with events.streaming(server.http, "GET", path, params=params) as stream:
        assert next(event for event in stream if event.type == "log").data["data"] == "started\n"
        server.wait_status(job_id, "running")
        assert server.http.delete(f"/jobs/{job_id}").status_code == 202
        assert list(stream)[-1].data["status"] == "cancelled"


def test_a_controller_that_dies_is_missed(own_server):
    server = own_server(controller="external", environment=NO_ENGINE).start()
    controller = server.spawn_controller()
    not_ready(server, "container engine")
    controller.kill()
    not_ready(server, "no controller is running")


def test_by_default_the_database_is_in_the_working_directory(own_server):
    server = own_server(controller="external")
    del server.environment["CI_DB_PATH"]
    server.start()
    job_id = server.submit(projects.ANY)
    assert (server.directory / "ci_jobs.db").stat().st_size > 0
    (package,) = server.directory.glob("ci_jobs*/packages/*.zip")
    assert package.stem == job_id


def test_a_database_that_is_none_is_told_at_the_start(own_server):
    server = own_server(environment=NO_ENGINE)
    server.database.write_text("this is a letter, not a database\n" * 100)
    with pytest.raises(pytest.fail.Exception, match="cannot use the database"):
        server.start()
    assert server.process.returncode != 0


@pytest.mark.docker
def test_an_existing_empty_database_file_is_fine(own_server):
    server = own_server()
    server.database.touch()
    job, _ = server.start().ready().run(projects.ANY, ["true"])
    assert job["success"] is True
