"""A limit that cannot be kept is told: at the start of the job's log, and by the doctor."""

import docker
import pytest

from ci_controller.executors.docker.storage import why_unbounded
from support import projects

TABLE = '[tool.ci.jobs.test]\ncommand = "echo hello"\n{limits}\n'


@pytest.fixture
def engine_that_cannot():
    client = docker.from_env(version="auto")
    try:
        if not why_unbounded(client.info()):
            pytest.skip("this engine perhaps can bound the size of containers")
    finally:
        client.close()


def told(server, limits=""):
    """What the log has before the job's own output."""
    job, log = server.run(projects.table(TABLE.format(limits=limits)))
    assert job["success"] is True
    assert job["log_size"] == len(log)
    assert log.endswith(b"hello\n")
    return log.removesuffix(b"hello\n").decode().splitlines()


@pytest.mark.docker
@pytest.mark.usefixtures("engine_that_cannot")
def test_the_disk_space_of_containers(own_server):
    server = own_server(max_work_mb=100).start().ready()
    for _ in range(2):
        (line,) = told(server)
        assert line.startswith("ci: CI_MAX_WORK_MB is not enforced: the engine's storage (")
    done = server.admin("doctor")
    assert done.returncode == 0, done.stdout
    assert "note: not enforced: CI_MAX_WORK_MB: the engine's storage (" in done.stdout


@pytest.mark.docker
def test_a_limit_that_is_not_set_is_not_spoken_of(own_server):
    server = own_server().start().ready()
    assert told(server) == []
    assert "enforced" not in server.admin("doctor").stdout
