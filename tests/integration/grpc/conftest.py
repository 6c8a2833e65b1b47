"""The server that these tests share; its jobs are processes."""

import pytest

from support.job_worker import WorkerServer


@pytest.fixture(scope="session")
def worker(tmp_path_factory, python_for_jobs):
    directory = tmp_path_factory.mktemp("worker")
    with WorkerServer(directory, python=python_for_jobs, max_concurrent_jobs=20) as server:
        yield server
        check_log(server)


@pytest.fixture
def client(worker):
    """An admin of acme."""
    with worker.client() as client:
        yield client


@pytest.fixture
def own_worker(tmp_path, python_for_jobs):
    """A function that makes a server of the test's own, with these settings."""
    made = []

    def make(**settings):
        made.append(WorkerServer(tmp_path / f"own{len(made)}", python=python_for_jobs, **settings))
        return made[-1]

    yield make
    for server in made:
        server.live.close()
        check_log(server)


def check_log(server):
    """Whatever clients do is no defect of the server."""
    assert "Traceback" not in server.live.log_path.read_text()
