"""What holds on every container engine; `--engine` chooses it (support/engine_option.py)."""

from support.bench_fixtures import bench, engine, parametrize_bench
from support.server_fixtures import own_server, pytest_runtest_makereport

__all__ = ["bench", "engine", "own_server", "pytest_generate_tests", "pytest_runtest_makereport"]


def pytest_generate_tests(metafunc):
    parametrize_bench(metafunc)
