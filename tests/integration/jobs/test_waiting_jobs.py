"""Jobs that wait say why: in what is told of them, and in their stream."""

import json

import pytest

from support import engine, events, projects
from support.administration import Caller, create_key, create_user


@pytest.fixture
def server(own_server):
    """With two places, of which each tenant may have one."""
    return own_server(max_concurrent_jobs=2, max_jobs_per_tenant=1).start().ready()


@pytest.fixture
def callers(server):
    """Of three tenants."""
    made = []
    for name in ("ann", "bob", "carl"):
        email = f"{name}@{name}.example"
        create_user(server, email, "--tenant", f"tenant-of-{name}")
        made.append(Caller(server, create_key(server, email)))
    return made


def submitted(server, caller, command, priority=0):
    form = server.form(projects.ANY, command)
    form["data"] = {"spec": json.dumps({"command": command, "priority": priority})}
    return caller.submit(form)


def until(server, caller, job_id, good, what):
    return server.until(lambda: caller.ask("GET", f"/jobs/{job_id}").json(), good, what)


@pytest.mark.docker
def test_each_tenant_learns_of_its_own_jobs_only(server, callers):
    ann, bob, carl = callers
    running = [submitted(server, caller, projects.WAITING) for caller in (ann, bob)]
    for caller, job_id in zip((ann, bob), running, strict=True):
        job = until(server, caller, job_id, lambda job: job["status"] == "running", "it runs")
        assert job["waiting"] is None

    def told(caller, job_id, reason, message, ahead):
        expected = {"reason": reason, "message": message, "ahead": ahead}
        until(server, caller, job_id, lambda job: job["waiting"] == expected, f"{expected}")

    limit = "your tenant runs 1 of 1 jobs"
    first, second = (submitted(server, ann, ["true"]) for _ in range(2))
    told(ann, first, "tenant_limit", limit, 0)
    told(ann, second, "tenant_limit", f"{limit}, 1 job ahead", 1)
    urgent = submitted(server, ann, ["true"], priority=9)
    told(ann, urgent, "tenant_limit", limit, 0)
    told(ann, second, "tenant_limit", f"{limit}, 2 jobs ahead", 2)
    others = submitted(server, carl, ["true"])
    told(carl, others, "server_full", "the server has reached its limit of running jobs", 0)
    assert bob.status(f"/jobs/{others}") == 404
    for job_id in running:
        engine.release(server, job_id)
    for caller, job_id in ((ann, second), (carl, others)):
        job = until(server, caller, job_id, lambda job: job["success"] is not None, "its end")
        assert (job["success"], job["waiting"]) == (True, None)


def test_an_engine_that_is_down_is_told_in_the_stream(own_server):
    server = own_server(environment={"DOCKER_HOST": "unix:///nonexistent/docker.sock"}).start()
    server.until(
        lambda: server.http.get("/ready").text, lambda text: "engine" in text, "the engine is down"
    )
    job_id = server.submit(projects.ANY, ["true"])
    server.until(
        lambda: server.job(job_id)["waiting"], lambda seen: seen is not None, "a reason to wait"
    )
    expected = {
        "reason": "engine_down",
        "message": "the container engine does not respond",
        "ahead": 0,
    }
    with events.streaming(server.http, "GET", f"/jobs/{job_id}/stream") as stream:
        assert next(stream).data == {"type": "status", "status": "queued", "position": 1}
        told = next(stream)
        assert (told.data, told.id) == ({"type": "waiting", **expected}, "0")
        server.http.delete(f"/jobs/{job_id}")
        assert events.types(list(stream)) == ["complete"]
    assert server.job(job_id)["waiting"] is None
    assert server.http.get("/jobs").json()[0]["waiting"] is None


def test_without_a_controller(own_server):
    server = own_server(controller="external").start()
    job_id = server.submit(projects.ANY, ["true"])
    assert server.job(job_id)["waiting"]["reason"] == "no_controller"
