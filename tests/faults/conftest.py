"""Repetition with seeds, servers to break, and the table of what came of it."""

import random

import pytest

from support.accepted_jobs import AcceptedJobs, SeededJob
from support.nothing_left import assert_nothing_left
from support.reliability import ReliabilityTable, describe
from support.server_fixtures import own_server, pytest_runtest_makereport

__all__ = ["own_server", "pytest_runtest_makereport"]

DEFAULT_REPEATS = 2


def pytest_addoption(parser):
    group = parser.getgroup("faults")
    group.addoption("--fault-repeats", type=int, help=f"random points a fault ({DEFAULT_REPEATS})")
    group.addoption("--first-seed", type=int, default=0, help="where these points begin (0)")
    group.addoption("--fault-state", metavar="FILE", help="append each finished run to this file")
    group.addoption("--write-reliability", action="store_true", help="write docs/reliability.md")


def pytest_configure(config):
    config.addinivalue_line("markers", "fault(title, does, asserts): a row of docs/reliability.md")
    if not hasattr(config, "workerinput"):
        write = config.getoption("--write-reliability", default=False)
        table = ReliabilityTable(write, config.getoption("--fault-state", default=None))
        config.pluginmanager.register(table, "reliability-table")


def pytest_generate_tests(metafunc):
    if "seed" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("fault")
        usual = marker.kwargs.get("repeats", DEFAULT_REPEATS)
        repeats = metafunc.config.getoption("--fault-repeats", default=None) or usual
        first = metafunc.config.getoption("--first-seed", default=0)
        metafunc.parametrize("seed", range(first, first + repeats), ids=lambda seed: f"seed{seed}")


def pytest_collection_modifyitems(items):
    for item in items:
        describe(item)


@pytest.fixture
def dice(request, seed):
    """Random points that are the same whenever the test is run with the same seed."""
    return random.Random(f"{request.node.originalname}:{seed}")


@pytest.fixture
def make_server(own_server):
    """A function that makes a server whose temporary files can be counted."""

    def make(**settings):
        environment = settings.pop("environment", {})
        server = own_server(**settings)
        temporary = server.directory / "tmp"
        temporary.mkdir()
        server.environment.update({"TMPDIR": str(temporary), **environment})
        return server

    return make


@pytest.fixture
def settled():
    """A function that checks a server after its fault: see docs/reliability.md."""

    def check(accepted, server, layers=0, volumes=False, **table):
        rows = accepted.settle()
        after = AcceptedJobs(server)
        after.submit(SeededJob("after the fault", count=3), **table)
        (row,) = after.settle().values()
        assert (row["status"], row["success"]) == ("completed", True), row
        assert_nothing_left(server, layers, volumes)
        return rows

    return check
