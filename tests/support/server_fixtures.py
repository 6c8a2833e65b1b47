"""Fixtures for the tests that need a running server; conftest.py imports them."""

import pytest

from support import projects
from support.live_server import LiveServer


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The server most tests share: the defaults, a Docker engine, the embedded controller."""
    with LiveServer(tmp_path_factory.mktemp("server")) as server:
        yield server.start().ready()


@pytest.fixture
def own_server(tmp_path):
    """A function that makes a server of the test's own, with these settings."""
    made = []

    def make(name="own", **settings):
        made.append(LiveServer(tmp_path / name, **settings))
        return made[-1]

    yield make
    for server in reversed(made):
        server.close()


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """A server that runs one job at a time."""
    with LiveServer(tmp_path_factory.mktemp("single"), max_concurrent_jobs=1) as server:
        yield server.start().ready()


@pytest.fixture
def busy(single):
    """The id of a job that occupies the only slot until it is released."""
    job_id = single.submit(projects.ANY, projects.WAITING)
    single.under_way(job_id, b"waiting")
    yield job_id
    single.http.delete(f"/jobs/{job_id}")
    single.finished(job_id)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Show what the servers said in the report of a test that failed."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            if isinstance(value, LiveServer):
                report.sections.append((f"log of {name}", value.log_tail(60)))
