"""The bridge of an engine disappears: it answers everything, and refuses every start."""

import pytest

from support import projects
from support.engine import containers_of
from support.own_dockerd import IMAGE, own_dockerd

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

REFUSED_STARTS = 4
"""Of probes, in the daemon's log, for which the bridge stays away: tried with the same pauses, a
job would have been given up by then.
"""


@pytest.fixture
def dockerd(tmp_path_factory, monkeypatch, request):
    # All workers of one run share it, because to load the image takes long.
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if hasattr(request.config, "workerinput") else base
    with own_dockerd(shared / "dockerd", bridge=True) as daemon:
        monkeypatch.setenv("DOCKER_HOST", daemon.docker_host)
        yield daemon


@pytest.fixture
def server(dockerd, own_server):
    """Closed before the engine is."""
    assert dockerd
    return own_server(image=IMAGE, reconcile_seconds=0.2).start().ready()


def disturbed(server):
    """Wait until /ready says so."""
    server.until(
        lambda: server.http.get("/ready"),
        lambda answer: answer.status_code == 503 and "engine_disturbed" in answer.text,
        "/ready with 503 and engine_disturbed",
    )


def refused(dockerd):
    return dockerd.log_path.read_text().count("could not find bridge docker0: route ip+net")


def until_refused(server, dockerd, times):
    wanted = refused(dockerd) + times
    server.until(lambda: refused(dockerd), lambda count: count >= wanted, "more refusals", 120)


def echoing(server, count):
    return [server.submit(projects.ANY, ["echo", f"job {number}"]) for number in range(count)]


def assert_all_ran(server, jobs):
    for number, job_id in enumerate(jobs):
        job = server.finished(job_id)
        assert (job["status"], job["success"], job["attempt"]) == ("completed", True, 1), job
        assert server.log(job_id) == f"job {number}\n".encode()


def test_all_jobs_wait_for_the_bridge_and_run_when_it_is_back(server, dockerd):
    under_way = server.submit(projects.ANY, projects.python("print('went on')\ninput = 0"))
    assert server.finished(under_way)["success"]
    dockerd.cut_bridge()
    jobs = echoing(server, 6)
    disturbed(server)
    until_refused(server, dockerd, REFUSED_STARTS)
    assert {server.job(job)["status"] for job in jobs} == {"initializing", "queued"}
    dockerd.mend_bridge()
    assert_all_ran(server, jobs)
    server.ready()
    server.until(lambda: containers_of(server), lambda found: not found, "no container is left")


def test_a_single_job_waits_too_and_a_restart_and_a_cancel_change_nothing(server, dockerd):
    dockerd.cut_bridge()
    (job_id,) = echoing(server, 1)
    disturbed(server)
    server.kill()
    server.start()
    disturbed(server)
    cancelled = server.submit(projects.ANY)
    assert server.http.delete(f"/jobs/{cancelled}").status_code == 202
    assert server.finished(cancelled)["status"] == "cancelled"
    until_refused(server, dockerd, REFUSED_STARTS)
    assert server.job(job_id)["status"] == "initializing"
    dockerd.mend_bridge()
    assert_all_ran(server, [job_id])
    server.ready()
    server.until(lambda: containers_of(server), lambda found: not found, "no container is left")


def test_jobs_of_an_image_that_is_refused_fail_alone(server, dockerd):
    """Their project cannot be put where it belongs; as many as there are slots, and the engine is
    well.
    """
    odd = image_with_a_file_for_workspace(dockerd)
    table = f'[tool.ci.jobs.test]\ncommand = "true"\nimage = "{odd}"\n'
    bad = [server.submit(projects.table(table)) for _ in range(4)]
    assert_all_ran(server, echoing(server, 6))
    for job_id in bad:
        job = server.finished(job_id)
        assert (job["status"], job["reason"]) == ("failed", "launch_failed"), job
    assert server.http.get("/ready").status_code == 200


def image_with_a_file_for_workspace(dockerd):
    spoil = ["sh", "-c", "rm -rf /workspace; touch /workspace"]
    with dockerd.client() as client:
        made = client.api.create_container(IMAGE, spoil, user="0", working_dir="/")
        client.api.start(made["Id"])
        assert client.api.wait(made["Id"])["StatusCode"] == 0
        image = client.api.commit(made["Id"])["Id"]
        client.api.remove_container(made["Id"], v=True)
    return image
