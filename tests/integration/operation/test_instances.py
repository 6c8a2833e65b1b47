"""Several servers on one engine, and several processes of one server."""

import httpx
import pytest

from support import engine, projects

pytestmark = pytest.mark.docker


def test_two_servers_never_touch_each_others_containers(own_server):
    one = own_server("one", reconcile_seconds=0.2).start().ready()
    other = own_server("other", reconcile_seconds=0.2).start().ready()
    jobs = {server: server.submit(projects.ANY, projects.WAITING) for server in (one, other)}
    for server, job_id in jobs.items():
        server.under_way(job_id, b"waiting")
        assert engine.containers_of(server).keys() == {job_id}
        assert engine.names_of(server) == {f"{server.prefix}{job_id}"}
    assert other.http.get(f"/jobs/{jobs[one]}").status_code == 404
    assert other.http.delete(f"/jobs/{jobs[one]}").status_code == 404
    one.terminate()
    one.start().ready()  # a start looks for what is left over
    other.run(projects.ANY, ["true"])
    for server, job_id in jobs.items():
        assert server.job(job_id)["status"] == "running"
        engine.release(server, job_id)
        assert server.finished(job_id)["success"] is True
        assert server.log(job_id) == b"waiting\nwent on\n"


def test_two_databases_with_the_same_prefix_are_still_apart(own_server):
    """The label with the database's own id tells them apart, not the name."""
    one = own_server("one", container_prefix="same-").start().ready()
    job_id = one.submit(projects.ANY, projects.ENDLESS)
    one.under_way(job_id, b"started")
    other = own_server("other", container_prefix="same-", reconcile_seconds=0.2).start().ready()
    other.run(projects.ANY, ["true"])
    assert one.job(job_id)["status"] == "running"
    one.http.delete(f"/jobs/{job_id}")
    assert one.finished(job_id)["status"] == "cancelled"


def test_without_a_prefix_a_container_is_named_after_its_job(own_server):
    server = own_server()
    del server.environment["CI_CONTAINER_PREFIX"]
    server.start().ready()
    job_id = server.submit(projects.ANY, projects.ENDLESS)
    server.under_way(job_id, b"started")
    assert engine.names_of(server) == {job_id}


def test_two_workers_serve_with_one_controller(own_server):
    server = own_server().start("--workers", "2").ready()
    job_ids = [server.submit(projects.ANY, ["echo", str(number)]) for number in range(6)]
    for number, job_id in enumerate(job_ids):
        job = server.finished(job_id)
        assert (job["status"], job["success"]) == ("completed", True)
        # Over several connections, so that either worker may answer.
        assert {_fresh_log(server, job_id) for _ in range(4)} == {b"%d\n" % number}
    assert server.log_path.read_text().count("controller lease acquired") == 1
    server.terminate()


def test_a_second_controller_takes_over_when_the_first_ends(own_server):
    server = own_server(controller="external").start()
    first = server.spawn_controller()
    server.ready()
    second = server.spawn_controller()
    job_id = server.submit(projects.ANY, projects.WAITING)
    server.under_way(job_id, b"waiting")
    first.terminate()
    assert first.wait(60) == 0
    engine.release(server, job_id)
    assert server.finished(job_id)["success"] is True
    assert server.log(job_id) == b"waiting\nwent on\n"
    assert second.poll() is None


def _fresh_log(server, job_id):
    answer = httpx.get(f"{server.url}/jobs/{job_id}/logs", trust_env=False, timeout=30)
    assert answer.status_code == 200
    return answer.content
